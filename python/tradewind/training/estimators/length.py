"""Sees only how long a question is: what any router has to beat before it can claim to read.

Each model's score is a line in the logarithm of the text's length (ridge regression). For a pair the forecast
gain is then the difference of two lines, so questions are ordered by length, in the direction that the
training rows say ("prompt length only" of RouteLLM's pair).
"""

from __future__ import annotations

import numpy as np

from tradewind import core
from tradewind.training import estimator, features, linear
from tradewind.training.datasets import DataSet
from tradewind.training.estimator import Estimator, Floats, Inputs, Tables
from tradewind.training.fitting import Entry
from tradewind.training.linear import Bounded, Linear

FEATURE = "log_bytes"


class LengthLines(Estimator):
    """Of x only the surface feature `log_bytes` counts; the surface features are the last columns."""

    def __init__(self, penalty: float = 20.0) -> None:
        self.penalty = penalty
        """Questions at which a slope is shrunk to half of the least squares one."""

    def _learn_quality(self, tables: Tables) -> Linear:
        return self._lines(tables.x, tables.score)

    def _learn_amount(self, x: Inputs, amount: Floats) -> Bounded:
        return linear.bounded(self._lines(x, amount), amount)

    def _lines(self, x: Inputs, cells: Floats) -> Linear:
        names = core.feature_names()
        column = x.shape[1] - len(names) + names.index(FEATURE)
        found = linear.ridge(x[:, [column]], cells, self.penalty)
        weight = np.zeros((x.shape[1], cells.shape[1]))
        weight[column] = found.weight[0]
        return Linear(weight, found.intercept)


def _surface(data: DataSet) -> Inputs:
    return features.of(data.texts).surface


ENTRY = Entry(
    "length",
    "a line over the logarithm of the text's length, one a model",
    estimator.on_rows(LengthLines, _surface),
    LengthLines,
)
