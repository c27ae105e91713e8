"""The command line, as tests run it in their own process."""

from __future__ import annotations

from collections.abc import Callable

Tradewind = Callable[..., tuple[int, str, str]]
"""What fixture `tradewind` gives: runs a command; gives exit status, stdout, stderr."""
