"""Draws of questions with replacement, and the intervals that follow from them (Efron 1979).

Shapes, here and in all of `scores`: n questions, M models, V operating points of a router, B draws. A draw is a row
of weights [B, n] that says how often each question was drawn; its first row is all ones, so entry 0 of every result
is the point estimate. Figures of two routers on the same weights may be subtracted draw by draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float

    @property
    def exists(self) -> bool:
        """Whether the sample has the figure, and some draw too."""
        return bool(np.isfinite([self.value, self.low, self.high]).all())

    def document(self) -> dict[str, float] | None:
        """As JSON has it: null where there is no such figure."""
        return dict(vars(self)) if self.exists else None


def draws(questions: int, seed: int, count: int = DRAWS) -> Floats:
    """Weights [1 + count, n]: the sample itself, then draws with replacement."""
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + count, questions), np.float32)
    if questions:
        picked = rng.integers(0, questions, (count, questions))
        for row, pick in enumerate(picked, 1):
            weights[row] = np.bincount(pick, minlength=questions)
    return weights.astype(np.float64)


def interval(values: Floats) -> Interval:
    """Entry 0 is the value, the others give the interval; draws in which the metric has no value are left
    out."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def mean(weights: Floats, values: Floats) -> Floats:
    """Mean over questions: [B, n] and [n] or [n, V] → [B] or [B, V]."""
    found: Floats = (weights @ values) / weights.sum(axis=1).reshape((-1,) + (1,) * (values.ndim - 1))
    return found


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN, not an infinity, where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return found
