"""Puts the models of all data sets on one scale of ability.

Rasch's model over (task, model) cells, logit P(right) = ability_m + special_{m, set} − difficulty_task, where
a model that occurs in several sets ties their tasks together. `special` is what a model is better at in one
set than elsewhere; both parts are shrunk, so that 95 % on saturated questions does not make a small model
look perfect on everything. The ability is drawn towards what models of that price usually reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.datasets import DataSet

Floats = npt.NDArray[np.float64]

SPECIAL_SD = 0.7
"""Prior spread of `special` in a set of one task, logits. A set of many tasks says more about ability:
there it is
divided by the number of tasks to the power of 3/4."""
MINIMUM_SPECIAL_SD = 0.05
DIFFICULTY_SD = 3.0
INTERACTION_SD = 0.4
"""Spread of a (task, model) cell round the model, logits: no cell counts for more than its share of this,
however many questions it has."""
MINIMUM_ABILITY_SD = 0.4
BINS = 8
"""Parts of a task's questions by forecast difficulty."""
ROUNDS = 8

# Gsm8k's questions are those of RouteLLM's task of that name.
SAME_TASK = {"gsm": "gsm8k"}


@dataclass(frozen=True)
class Scale:
    """Abilities in logits; zero is where the average training question is answered right half the time."""

    ability: Mapping[str, float]
    special: Mapping[tuple[str, str], float]
    """by (model, set)"""
    task_difficulty: Mapping[str, float]
    price_intercept: float
    price_slope: float
    """ability expected at a price: intercept + slope·log10(USD per million output tokens)"""
    ability_sd: float
    """spread round that expectation"""

    def expected(self, output_price: float) -> float:
        """The ability to expect of a model at this price (NaN: of any model)."""
        if np.isnan(output_price):
            return float(np.mean(list(self.ability.values())))
        return self.price_intercept + self.price_slope * float(np.log10(max(output_price, 1e-3)))


@dataclass(frozen=True)
class _Cells:
    """Answers of one model to one task's questions of about the same forecast difficulty."""

    task: npt.NDArray[np.int64]
    model: npt.NDArray[np.int64]
    pair: npt.NDArray[np.int64]
    right: Floats
    count: Floats
    task_count: Floats
    """the model's answers to the whole task"""
    difficulty: Floats
    """logits"""


def fit(sets: Sequence[DataSet], difficulty: Sequence[Floats] | None = None) -> Scale:
    """Penalised maximum likelihood by Newton's method; the price line and its spread re-estimated each
    round.

    `difficulty`, one array [n] for each set, is what a forecast says of the questions, logits: then abilities
    are those that go with this forecast, and a task's own difficulty is what the forecast does not see of it.
    """
    models = sorted({model for data in sets for model in data.models})
    pairs = [(model, data.name) for data in sets for model in data.models]
    tasks = sorted({SAME_TASK.get(str(task), str(task)) for data in sets for task in np.unique(data.tasks)})
    cells = _cells(sets, difficulty or [np.zeros(len(data)) for data in sets], models, pairs, tasks)
    price = _log_prices(sets, models)
    m, p, t = len(models), len(pairs), len(tasks)
    design = np.zeros((len(cells.right), m + p + t))
    rows = np.arange(len(cells.right))
    design[rows, cells.model] = 1
    design[rows, m + cells.pair] = 1
    design[rows, m + p + cells.task] = -1
    breadth = {data.name: len(np.unique(data.tasks)) for data in sets}
    special_sd = np.array([max(SPECIAL_SD / breadth[name] ** 0.75, MINIMUM_SPECIAL_SD) for _, name in pairs])
    value = np.zeros(m + p + t)
    line, spread = np.zeros(2), 1.0
    for _ in range(ROUNDS):
        centre = np.concatenate([line[0] + line[1] * price, np.zeros(p + t)])
        precision = np.concatenate([np.full(m, spread**-2), special_sd**-2, np.full(t, DIFFICULTY_SD**-2)])
        value = _newton(design, cells, value, centre, precision)
        line = np.polyfit(price, value[:m], 1)[::-1] if m > 2 and np.ptp(price) > 0 else np.array([value[:m].mean(), 0.0])
        residual = value[:m] - line[0] - line[1] * price
        spread = max(float(np.sqrt((residual**2).mean())), MINIMUM_ABILITY_SD)
    sizes = np.zeros(t)
    for data in sets:
        for task, count in zip(*np.unique(data.tasks, return_counts=True), strict=True):
            sizes[tasks.index(SAME_TASK.get(str(task), str(task)))] += count
    zero = float(value[m + p :] @ sizes / sizes.sum())
    return Scale(
        ability={model: float(value[i] - zero) for i, model in enumerate(models)},
        special={pair: float(value[m + i]) for i, pair in enumerate(pairs)},
        task_difficulty={task: float(value[m + p + i] - zero) for i, task in enumerate(tasks)},
        price_intercept=float(line[0] - zero),
        price_slope=float(line[1]),
        ability_sd=spread,
    )


def _cells(
    sets: Sequence[DataSet],
    difficulty: Sequence[Floats],
    models: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    tasks: Sequence[str],
) -> _Cells:
    model_at = {model: i for i, model in enumerate(models)}
    pair_at = {pair: i for i, pair in enumerate(pairs)}
    task_at = {task: i for i, task in enumerate(tasks)}
    found = []
    for data, forecast in zip(sets, difficulty, strict=True):
        for task in np.unique(data.tasks):
            rows = np.flatnonzero(data.tasks == task)
            at = task_at[SAME_TASK.get(str(task), str(task))]
            answered = (~np.isnan(data.score[rows])).sum(axis=0)
            for bin_ in _bins(rows, forecast):
                scores = data.score[bin_]
                counts = (~np.isnan(scores)).sum(axis=0)
                for column in np.flatnonzero(counts):
                    model = data.models[column]
                    right, place = float(np.nansum(scores[:, column])), (at, model_at[model], pair_at[model, data.name])
                    found.append((*place, right, float(counts[column]), float(answered[column]), float(forecast[bin_].mean())))
    columns = [np.array(part) for part in zip(*found, strict=True)]
    return _Cells(*columns)


def _bins(rows: npt.NDArray[np.int64], difficulty: Floats) -> list[npt.NDArray[np.int64]]:
    """A task's rows by rising difficulty, in parts within which it hardly differs."""
    if not np.ptp(difficulty[rows]):
        return [rows]
    ordered = rows[np.argsort(difficulty[rows], kind="stable")]
    return [part for part in np.array_split(ordered, BINS) if len(part)]


def _newton(design: Floats, cells: _Cells, start: Floats, centre: Floats, precision: Floats) -> Floats:
    value = start
    share = cells.right / cells.count
    for _ in range(30):
        logit = design @ value - cells.difficulty
        chance = 1 / (1 + np.exp(-logit))
        information = chance * (1 - chance)
        # With n questions, a task's logit has variance 1/(n·p·q) + INTERACTION_SD².
        count = cells.count / (1 + cells.task_count * information * INTERACTION_SD**2)
        gradient = design.T @ (count * (share - chance)) - precision * (value - centre)
        hessian = design.T @ (design * (count * information)[:, None]) + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        value = value + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-6:
            break
    return value


def _log_prices(sets: Sequence[DataSet], models: Sequence[str]) -> Floats:
    """log10 of the output price; models without a price get the mean."""
    prices = {model: price for data in sets for model, price in zip(data.models, data.output_price, strict=True)}
    logs = np.array([np.log10(max(prices[model], 1e-3)) for model in models])
    mean = 0.0 if np.isnan(logs).all() else float(np.nanmean(logs))
    return np.where(np.isnan(logs), mean, logs)
