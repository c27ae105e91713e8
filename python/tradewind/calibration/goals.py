"""What a setting is to reach on a log. Each is a sum over calls, divided by what does not depend on the setting.

Shapes: n calls, E steps of a ladder, P values between its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tradewind.calibration.deciding import Bools, Decided, Floats, Ints, picked

ROUNDING = 1e-9
"""By which a sum may miss a goal."""


@dataclass(frozen=True)
class Pool:
    """What goals look at: the calls, with what they are measured against."""

    decided: Decided
    cheapest: Ints
    """[n]: each call's cheapest candidate within the limits: what it goes to at the least setting."""
    baseline: int
    """Column of the model that would be called without routing."""
    comparable: Bools
    """[n]: whether the baseline could answer."""


class Goal(Protocol):
    """A target of one kind."""

    @property
    def kind(self) -> str:
        """snake_case name."""
        ...

    @property
    def target(self) -> float:
        """From 0 to 1."""
        ...

    def part(self, pool: Pool, rows: Ints, columns: Ints) -> Floats:
        """What calls add to the sum at the columns that they go to."""
        ...

    def whole(self, pool: Pool) -> Floats:
        """[n]: what the sum is divided by."""
        ...

    def pick(self, values: Floats, one_call: float) -> tuple[int, bool]:
        """Which of the values [P], by rising setting, comes up to the goal or next to it, and whether it does.

        `one_call` is the share of one call in all of them.
        """
        ...


@dataclass(frozen=True)
class Share:
    """The share of calls that go to a model, or to any but their cheapest.

    For pools what calls to the strong model are for pairs (RouteLLM, arXiv:2406.18665, section 3).
    """

    target: float
    of: int | None = None
    """A column; `None` for all but each call's cheapest."""
    kind: str = "share"

    def part(self, pool: Pool, rows: Ints, columns: Ints) -> Floats:
        """1 for a call that counts."""
        counts = columns != pool.cheapest[rows] if self.of is None else columns == self.of
        return np.asarray(counts, np.float64)

    def whole(self, pool: Pool) -> Floats:
        """All calls."""
        return np.ones(len(pool.decided))

    def pick(self, values: Floats, one_call: float) -> tuple[int, bool]:
        """The nearest: it comes up to the goal within one call."""
        missed = np.abs(values - self.target)
        best = int(np.argmin(missed))
        return best, bool(missed[best] <= one_call + ROUNDING)


@dataclass(frozen=True)
class Saving:
    """The share of the baseline's cost that is saved, on the calls that the baseline could answer."""

    target: float
    kind: str = "saving"

    def part(self, pool: Pool, rows: Ints, columns: Ints) -> Floats:
        """Nano-dollars that a call saves."""
        spared = pool.decided.cost_nanousd[rows, pool.baseline] - picked(pool.decided.cost_nanousd[rows], columns)
        return np.where(pool.comparable[rows], spared, 0.0)

    def whole(self, pool: Pool) -> Floats:
        """The baseline's nano-dollars."""
        return np.where(pool.comparable, pool.decided.cost_nanousd[:, pool.baseline], 0.0)

    def pick(self, values: Floats, one_call: float) -> tuple[int, bool]:
        """The largest setting that saves enough, hence the best quality."""
        enough = np.flatnonzero(values >= self.target - ROUNDING)
        return (int(enough[-1]), True) if len(enough) else (int(np.argmax(values)), False)


@dataclass(frozen=True)
class QualityFloor:
    """The mean forecast quality."""

    target: float
    kind: str = "quality_floor"

    def part(self, pool: Pool, rows: Ints, columns: Ints) -> Floats:
        """The forecast; a refused call has none."""
        return picked(pool.decided.quality[rows], columns)

    def whole(self, pool: Pool) -> Floats:
        """All calls."""
        return np.ones(len(pool.decided))

    def pick(self, values: Floats, one_call: float) -> tuple[int, bool]:
        """The smallest setting that is good enough, hence the least cost."""
        enough = np.flatnonzero(values >= self.target - ROUNDING)
        return (int(enough[0]), True) if len(enough) else (int(np.argmax(values)), False)
