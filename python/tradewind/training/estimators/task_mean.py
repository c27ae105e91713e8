"""Is told the task of each question, which no router in service is: the strongest simple baseline on known
tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Forecasts, Routed, sweep

SHRINKAGE = 10.0
"""Questions of a task at which its mean counts as much as the set's."""


@dataclass(frozen=True)
class TaskMean:
    """Shrunk means by task over these training rows; a task that is not among them has the set's."""

    trained: DataSet

    def route(self, data: DataSet) -> Routed:
        """The same forecast for all questions of a task."""
        return sweep(Forecasts(self._means(data, self.trained.score), self._means(data, np.nan_to_num(self.trained.cost_usd))))

    def _means(self, data: DataSet, cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        overall = cells.mean(axis=0)
        found = np.tile(overall, (len(data), 1))
        for task in np.unique(data.tasks):
            rows = cells[self.trained.tasks == task]
            found[data.tasks == task] = (rows.sum(axis=0) + SHRINKAGE * overall) / (len(rows) + SHRINKAGE)
        return found


def prepare(given: Given) -> Routers:
    """Nothing is shared between sets."""
    return TaskMean


ENTRY = Entry("task_mean", "each model's mean score on the question's task, which it is told", prepare)
