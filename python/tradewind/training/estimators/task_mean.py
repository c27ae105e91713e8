"""Is told the task of each question, which no router in service is: the strongest simple baseline on known
tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.artifacts import plan
from tradewind.training import estimator
from tradewind.training.datasets import DataSet
from tradewind.training.estimator import Estimator, Floats, Inputs, Tables
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Routed

ALMOST = 1e-6
"""Quality of a profile is between this and 1 less this: its logit is finite."""


@dataclass(frozen=True)
class ByTask:
    """One row of cells a task; a task that is not among them has the overall one."""

    rows: Mapping[str, Floats]
    """[M] each"""
    overall: Floats
    """[M]"""

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return np.stack([self.rows.get(str(task), self.overall) for task in x[:, 0]])


class TaskMeans(Estimator):
    """Means by task, shrunk to the model's mean. x [n, 1] names the tasks."""

    quality_: ByTask

    def __init__(self, shrinkage: float = 10.0) -> None:
        self.shrinkage = shrinkage
        """Questions of a task at which its mean counts as much as the set's."""

    def _inputs(self, x: npt.ArrayLike, place: str) -> Inputs:
        found = np.asarray(x)
        estimator.need_rows(found, place)
        if found.shape[1] != 1 or found.dtype.kind not in "UO":
            raise estimator.refused(f"x has shape {found.shape} and type {found.dtype}; expected [n, 1] names of tasks", place)
        return found

    def _learn_quality(self, tables: Tables) -> ByTask:
        return self._learn_amount(tables.x, tables.score)

    def _learn_amount(self, x: Inputs, amount: Floats) -> ByTask:
        overall = np.nanmean(amount, axis=0)
        found = {}
        for task in np.unique(x[:, 0]):
            rows = amount[x[:, 0] == task]
            total, count = np.nansum(rows, axis=0), (~np.isnan(rows)).sum(axis=0)
            found[str(task)] = (total + self.shrinkage * overall) / (count + self.shrinkage)
        return ByTask(found, overall)

    def profiles(self, models: Sequence[str]) -> dict[str, dict[str, plan.Profile]]:
        """Its table by task and model, as the core runs it: a route for each task, whose models' profiles forecast that
        quality (and length, where `fit` was given output tokens) whatever the text."""
        quality = {task: self.predict([[task]])[0] for task in self.quality_.rows}
        tokens = {
            task: np.full(len(models), np.nan) if self.output_tokens_ is None else self.predict_output_tokens([[task]])[0]
            for task in quality
        }
        return {
            task: {model: _profile(*cells) for model, *cells in zip(models, quality[task], tokens[task], strict=True)}
            for task in quality
        }


def _profile(quality: float, tokens: float) -> plan.Profile:
    """σ(bias) is the quality: no slope, so the text does not matter."""
    kept = np.clip(quality, ALMOST, 1 - ALMOST)
    length = plan.Length() if np.isnan(tokens) else plan.Length(bias=float(np.log(max(tokens, 1.0))))
    return plan.Profile(bias=float(np.log(kept / (1 - kept))), slope=0.0, length=length)


@dataclass(frozen=True)
class TaskMean:
    """Its router, from these training rows."""

    trained: DataSet

    def route(self, data: DataSet) -> Routed:
        """The same forecast for all questions of a task."""
        return estimator.fit(TaskMeans(), self.trained, _tasks).route(data)


def _tasks(data: DataSet) -> Inputs:
    return data.tasks[:, None]


def prepare(given: Given) -> Routers:
    """Nothing is shared between sets."""
    return TaskMean


ENTRY = Entry("task_mean", "each model's mean score on the question's task, which it is told", prepare, TaskMeans)
