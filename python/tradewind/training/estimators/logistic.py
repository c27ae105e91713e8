"""One logistic regression a model, on embedding and surface features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from tradewind.training import estimator, linear
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.linear import Linear
from tradewind.training.onnx_graph import Graph


@dataclass(frozen=True)
class Logits:
    """σ of a linear map."""

    logit: Linear

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return linear.sigmoid(self.logit.predict(x))

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        return graph.add("Sigmoid", self.logit.add_to(graph, x))


class LogisticPerModel(Tuned):
    """The penalty is chosen among `penalties`, the strongest first; in rows, on inputs of spread 1."""

    def __init__(self, penalties: tuple[float, ...] = (3_000, 1_000, 300, 100, 30, 10), seed: int = 0) -> None:
        self.penalties = penalties
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.penalties

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Logits:
        def one(scaled: Floats, column: Floats) -> tuple[Floats, float]:
            # A score of .25 is a quarter of a right answer and three quarters of a wrong one.
            both = np.concatenate([scaled, scaled])
            right = np.repeat([1, 0], len(column))
            fitted = LogisticRegression(C=1 / setting, max_iter=1000).fit(both, right, np.concatenate([column, 1 - column]))
            return fitted.coef_[0], float(fitted.intercept_[0])

        return Logits(linear.fit(x, score, one))


ENTRY = Entry("logistic", "a logistic regression for each model", estimator.on_texts(LogisticPerModel), LogisticPerModel)
