"""95 % intervals over questions or calls: the bootstrap (Efron 1979), percentile method.

They tell what others of the same kind would give. They do not tell how wrong a forecast is.

Shapes: n questions or calls, M models, V operating points of a router, B draws. A draw says how often each question was
drawn; the first says once, so entry 0 of every result is the point estimate. Figures of the same draws may be subtracted
draw by draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; NaN where it has none."""

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


def drawn(size: int, seed: int, count: int) -> Iterator[Floats]:
    """Weights [n], one draw after the other: the sample itself, then so many with replacement."""
    rng = np.random.default_rng(seed)
    yield np.ones(size)
    for _ in range(count):
        yield np.bincount(rng.integers(0, max(size, 1), size), minlength=size).astype(np.float64)


def draws(size: int, seed: int, count: int = DRAWS) -> Floats:
    """The same at once, [1 + count, n]."""
    weights = np.empty((1 + count, size))
    for row, draw in enumerate(drawn(size, seed, count)):
        weights[row] = draw
    return weights


def sums(columns: Floats, seed: int) -> Floats:
    """Sums over calls in each of `DRAWS` draws: [n, K] → [B, K]. No more than one draw is held at a time."""
    return np.array([weights @ columns for weights in drawn(len(columns), seed, DRAWS)])


def mean(weights: Floats, values: Floats) -> Floats:
    """Mean over questions: [B, n] and [n] or [n, V] → [B] or [B, V]."""
    found: Floats = (weights @ values) / weights.sum(axis=1).reshape((-1,) + (1,) * (values.ndim - 1))
    return found


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN, not an infinity, where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return found


def interval(values: Floats) -> Interval:
    """Entry 0 is the value, the others give the interval; draws in which there is no value are left out."""
    several = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(several, [2.5, 97.5]) if len(several) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))
