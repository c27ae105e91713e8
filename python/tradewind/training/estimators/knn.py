"""The mean score of the nearest training questions (RouterBench, arXiv:2403.12031), shrunk to the
model's mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training import estimator
from tradewind.training.distill import DIMENSIONS
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.onnx_graph import Graph

CHUNK = 512


@dataclass(frozen=True)
class Neighbours:
    """mean + Σ_{k nearest} (cell − mean) / (k + shrinkage), by cosine; a missing cell counts as the mean.

    Where the k-th and the next neighbour are equally far, the graph may count the other one.
    """

    z: npt.NDArray[np.float32]
    """[n, D] of the training questions"""
    residual: npt.NDArray[np.float32]
    """[n, M]: cell − mean, 0 where missing"""
    mean: Floats
    """[M]"""
    count: int
    """k"""
    shrinkage: float

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        z = x[:, : self.z.shape[1]]
        found = np.empty((len(z), len(self.mean)))
        for start in range(0, len(z), CHUNK):
            part = slice(start, start + CHUNK)
            nearest = np.argpartition(-(z[part] @ self.z.T), self.count - 1, axis=1)[:, : self.count]
            found[part] = self.residual[nearest].sum(axis=1, dtype=np.float64)
        return self.mean + found / (self.count + self.shrinkage)

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        similarity = graph.add("MatMul", graph.leading(x, self.z.shape[1]), graph.constant(self.z.T))
        nearest = graph.add_second("TopK", similarity, graph.constant([self.count], np.int64))
        rows = graph.add("Gather", graph.constant(self.residual), nearest)
        total = graph.add("ReduceSum", rows, graph.constant([1], np.int64), keepdims=0)
        shrunk = graph.add("Div", total, graph.constant(self.count + self.shrinkage))
        return graph.add("Add", shrunk, graph.constant(self.mean))


class NearestNeighbours(Tuned):
    """k is chosen among `neighbours`, the largest first."""

    def __init__(
        self,
        neighbours: tuple[int, ...] = (400, 200, 100, 50, 20, 10),
        shrinkage: float = 10.0,
        embedding: int = DIMENSIONS,
        seed: int = 0,
    ) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        """Questions with the model's mean beside the k nearest."""
        self.embedding = embedding
        """Leading columns of x, by which questions are near."""
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.neighbours

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Neighbours:
        mean = np.nanmean(score, axis=0)
        residual = np.nan_to_num(score - mean).astype(np.float32)
        return Neighbours(x[:, : self.embedding], residual, mean, min(int(setting), len(x)), self.shrinkage)

    def _learn_amount(self, x: Inputs, amount: Floats) -> Neighbours:
        return self._learn(x, amount, self.setting_)


ENTRY = Entry(
    "knn", "the mean score of the nearest training questions", estimator.on_texts(NearestNeighbours), NearestNeighbours
)
