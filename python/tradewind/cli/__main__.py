"""`python -m tradewind.cli`, for where the console script is not on the path."""

from tradewind.cli import main

main()
