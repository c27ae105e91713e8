"""Matrix factorisation: logit = w·(v_m ⊙ (W x + b)) (EmbedLLM, arXiv:2410.02223; RouteLLM, arXiv:2406.18665)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradewind.training import estimator, linear
from tradewind.training.adam import Adam, minibatches
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.linear import Linear
from tradewind.training.onnx_graph import Graph

EPOCHS = 40
BATCH = 128
RATE = 0.01


@dataclass(frozen=True)
class Factors:
    """Weights of rank r."""

    projection: Linear
    """W x + b, [r]"""
    models: Floats
    """[r, M]: w ⊙ v_m, a column a model"""

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return linear.sigmoid(self.projection.predict(x) @ self.models)

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        projected = self.projection.add_to(graph, x)
        return graph.add("Sigmoid", graph.add("MatMul", projected, graph.constant(self.models)))


class MatrixFactorisation(Tuned):
    """The rank is chosen among `ranks`, the smallest first; trained by Adam on every answered cell."""

    def __init__(self, ranks: tuple[int, ...] = (2, 4, 8, 16, 32), penalty: float = 3_000.0, seed: int = 0) -> None:
        self.ranks = ranks
        self.penalty = penalty
        """Rows, of |W|²/2, on inputs of spread 1."""
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.ranks

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Factors:
        rng = np.random.default_rng(self.seed)
        scale = linear.Scale.of(x)
        weight = _start(x.shape[1], score, int(setting), rng)
        _descend(weight, scale.apply(x), score, self.penalty, rng)
        return Factors(scale.unscaled(weight["W"], weight["b"]), (weight["w"] * weight["v"]).T)


def _start(inputs: int, score: Floats, rank: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Forecasts each model's mean, through the first factor."""
    models = rng.normal(size=(score.shape[1], rank))
    share = np.clip(np.nanmean(score, axis=0), 0.01, 0.99)
    models[:, 0] = np.log(share / (1 - share))
    first = np.zeros(rank)
    first[0] = 1
    return {"W": 0.01 * rng.normal(size=(inputs, rank)), "b": first, "v": models, "w": np.ones(rank)}


def _descend(weight: dict[str, Floats], x: Floats, score: Floats, penalty: float, rng: np.random.Generator) -> None:
    """Adam on the mean negative log-likelihood of a row, in place."""
    adam = Adam(weight)
    total = EPOCHS * -(-len(x) // BATCH)
    for rows in minibatches(len(x), BATCH, EPOCHS, rng):
        for name, update in adam.updates(_gradient(weight, x[rows], score[rows], penalty / len(x))).items():
            weight[name] -= adam.rate(RATE, total) * update


def _gradient(weight: dict[str, Floats], x: Floats, score: Floats, penalty: float) -> dict[str, Floats]:
    projected = x @ weight["W"] + weight["b"]
    models = weight["w"] * weight["v"]
    # Missing cells have no error.
    error = np.nan_to_num(linear.sigmoid(projected @ models.T) - score) / len(x)
    through = error @ models
    of_models = error.T @ projected
    return {
        "W": x.T @ through + penalty * weight["W"],
        "b": through.sum(axis=0),
        "v": of_models * weight["w"],
        "w": (of_models * weight["v"]).sum(axis=0),
    }


ENTRY = Entry(
    "matrix_factorisation",
    "a factorisation of questions and models",
    estimator.on_texts(MatrixFactorisation),
    MatrixFactorisation,
)
