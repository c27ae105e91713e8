"""Adam (Kingma and Ba 2015, arXiv:1412.6980), with the rate on half a cosine; weight decay is the caller's (decoupled)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Values = Mapping[str, npt.NDArray[Any]]

FIRST, SECOND = 0.9, 0.999
"""β1 and β2."""
EPSILON = 1e-8


def minibatches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each step: every epoch all of them, shuffled anew when it begins."""
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]


class Adam:
    """Moments of the gradients of some weights, by name."""

    def __init__(self, weights: Values) -> None:
        self._first = {name: np.zeros_like(value) for name, value in weights.items()}
        self._second = {name: np.zeros_like(value) for name, value in weights.items()}
        self.step = 0

    def updates(self, gradient: Values) -> dict[str, npt.NDArray[Any]]:
        """What the next step takes off each weight, times the rate."""
        self.step += 1
        found = {}
        for name, first in self._first.items():
            second = self._second[name]
            first += (1 - FIRST) * (gradient[name] - first)
            second += (1 - SECOND) * (gradient[name] ** 2 - second)
            found[name] = first / (1 - FIRST**self.step) / (np.sqrt(second / (1 - SECOND**self.step)) + EPSILON)
        return found

    def rate(self, highest: float, total: int) -> float:
        """Of this step among so many: from the highest down to 0."""
        return float(highest * 0.5 * (1 + np.cos(np.pi * self.step / total)))
