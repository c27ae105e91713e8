"""The dials: by the strategy that reads them, one file and one row each."""

from __future__ import annotations

from tradewind.calibration.dial import Dial
from tradewind.calibration.dials import floor, willingness

TABLE: dict[str, Dial] = {row.strategy: row for row in (willingness.ENTRY, floor.ENTRY)}
