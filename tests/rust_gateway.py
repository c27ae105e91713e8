"""The data plane without Python as a process: the binary that `cargo build -p tradewind-gateway` makes, or the one that a
variable names.
"""

from __future__ import annotations

import os
from pathlib import Path

BINARY = Path(os.environ.get("TRADEWIND_TEST_GATEWAY", Path(__file__).parents[1] / "target" / "debug" / "tradewind-gateway"))


def environment(**settings: object) -> dict[str, str]:
    """Our variables without those of this process that are a data plane's, and these settings by their variables."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("TRADEWIND_")}
    return ours | {f"TRADEWIND_{name.upper()}": str(value) for name, value in settings.items()}
