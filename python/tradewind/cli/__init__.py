"""The command line: typer and rich, one file a command. JSON goes to stdout, everything else to stderr.

Exit 0: done. 1: done, and something was found. 2: wrong usage or unreadable input. 3: failed.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Console script `tradewind`."""
    # ONNX Runtime reads it when its library loads; set before anything is imported that may load it.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from tradewind.cli.app import run

    sys.exit(run(sys.argv[1:]))
