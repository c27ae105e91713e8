"""Knows nothing of the question: each model's mean score and cost. Its router is the Zero router without
mixing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradewind.training import estimator
from tradewind.training.datasets import DataSet
from tradewind.training.estimator import Estimator, Floats, Inputs, Tables
from tradewind.training.fitting import Entry
from tradewind.training.onnx_graph import Graph


@dataclass(frozen=True)
class Constant:
    """The same for every question."""

    cells: Floats
    """[M]"""

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return np.tile(self.cells, (len(x), 1))

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as a node."""
        del x
        return graph.add("Identity", graph.constant(self.cells[None]))


class Mean(Estimator):
    """Each model's mean; x may have no columns."""

    def _learn_quality(self, tables: Tables) -> Constant:
        return self._learn_amount(tables.x, tables.score)

    def _learn_amount(self, x: Inputs, amount: Floats) -> Constant:
        return Constant(np.nanmean(amount, axis=0))


def _nothing(data: DataSet) -> Inputs:
    return np.zeros((len(data), 0), np.float32)


ENTRY = Entry("mean", "each model's mean score, whatever the question", estimator.on_rows(Mean, _nothing), Mean)
