"""One ridge regression a model, on embedding and surface features."""

from __future__ import annotations

from tradewind.training import estimator, linear
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.linear import Linear


class RidgePerModel(Tuned):
    """The penalty is chosen among `penalties`, the strongest first; in rows, on inputs of spread 1."""

    def __init__(self, penalties: tuple[float, ...] = (30_000, 10_000, 3_000, 1_000, 300, 100, 30), seed: int = 0) -> None:
        self.penalties = penalties
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.penalties

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Linear:
        return linear.ridge(x, score, setting)


ENTRY = Entry("ridge", "a ridge regression for each model", estimator.on_texts(RidgePerModel), RidgePerModel)
