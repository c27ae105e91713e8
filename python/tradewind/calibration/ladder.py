"""How the choices of n calls change as a setting rises: step by step, exactly.

Settings are whole billionths, the finest that a policy can hold: every step lies on one, so that a value between two steps
can always be written into a policy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradewind.calibration.deciding import Ints

BILLIONTHS = 1_000_000_000


@dataclass(frozen=True)
class Ladder:
    """E steps, in their order; a call may take several, upwards."""

    start: Ints
    """[n]: columns chosen at 0."""
    at: Ints
    """[E]: the least setting at which the step is taken, in billionths."""
    call: Ints
    """[E]: rows."""
    before: Ints
    """[E]: columns."""
    after: Ints
    """[E]: columns."""
    top: int
    """The largest setting."""

    def chosen(self, setting: int) -> Ints:
        """[n]: columns at a setting."""
        taken = self.at <= setting
        columns = self.start.copy()
        # Of several steps of one call the last one is kept.
        columns[self.call[taken]] = self.after[taken]
        return columns


@dataclass(frozen=True)
class Rung:
    """Steps that calls take side by side: at most one each."""

    at: Ints
    call: Ints
    before: Ints
    after: Ints


def ladder(start: Ints, rungs: list[Rung], top: int) -> Ladder:
    """From the rungs, which rise for each call; steps above the top are left out."""
    empty = np.zeros(0, np.int64)
    at, call, before, after = (
        np.concatenate([empty, *(getattr(rung, name) for rung in rungs)]) for name in ("at", "call", "before", "after")
    )
    order = np.argsort(at, kind="stable")
    order = order[at[order] <= top]
    return Ladder(start, at[order], call[order], before[order], after[order], top)


def decimal(setting: int) -> str:
    """A setting as a policy has it: a decimal string without needless zeros."""
    whole, rest = divmod(setting, BILLIONTHS)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def shortest(low: int, high: int) -> int:
    """The setting from `low` to `high` with the fewest places, nearest to their middle."""
    unit = 10**15
    while (high // unit) * unit < low:
        unit //= 10
    middle = round((low + high) / 2 / unit) * unit
    return min(max(middle, -(-low // unit) * unit), (high // unit) * unit)
