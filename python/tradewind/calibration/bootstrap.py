"""95 % intervals over calls: the bootstrap (Efron 1979), percentile method.

They tell what other calls of the same kind would give. They do not tell how wrong a forecast is.
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

    def document(self) -> dict[str, float | None]:
        """As JSON has it: null where there is none."""
        return {name: float(number) if np.isfinite(number) else None for name, number in vars(self).items()}


def draws(calls: int, seed: int) -> Iterator[Floats]:
    """Weights [n]: the log itself, then `DRAWS` samples with replacement: how often each call was drawn."""
    rng = np.random.default_rng(seed)
    yield np.ones(calls)
    for _ in range(DRAWS):
        yield np.bincount(rng.integers(0, calls, calls), minlength=calls).astype(np.float64)


def sums(columns: Floats, seed: int) -> Floats:
    """Sums over calls in each draw: [n, K] → [1 + DRAWS, K]."""
    return np.array([weights @ columns for weights in draws(len(columns), seed)])


def ratio(above: Floats, below: Floats) -> Floats:
    """Element by element; NaN where there is nothing below."""
    found: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return found


def interval(values: Floats) -> Interval:
    """Of the value in the log itself, which comes first, and in the draws; those without a value are left out."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))
