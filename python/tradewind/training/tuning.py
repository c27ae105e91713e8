"""Chooses an estimator's setting by what it is worth to a router, on rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tradewind.training.routing import WILLINGNESS
from tradewind.training.scores import frontier, routellm, routerbench
from tradewind.training.scores.case import weak_and_strong

Floats = npt.NDArray[np.float64]

FOLDS = 4
ENOUGH = 40
"""Rows; with fewer, the first and most cautious setting is taken unseen."""

Held = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64], float], Floats]
"""(rows to fit, rows to forecast, setting) → quality of the latter, [rows, M]"""


def best(settings: Sequence[float], forecast: Held, score: Floats, cost_usd: Floats | None, seed: int) -> float:
    """The setting whose forecasts, each made without its own quarter of the rows, route best; the first among equals.

    `settings` are in order, the most cautious first. `score` and `cost_usd` are [n, M], missing cells NaN.
    """
    if len(settings) == 1 or len(score) < ENOUGH:
        return settings[0]
    fold = np.random.default_rng(seed).permutation(len(score)) % FOLDS
    values = []
    for setting in settings:
        quality = np.empty(score.shape)
        for held in range(FOLDS):
            quality[fold == held] = forecast(np.flatnonzero(fold != held), np.flatnonzero(fold == held), setting)
        values.append(routing_value(quality, score, cost_usd))
    return settings[int(np.argmax(values))]


def routing_value(quality: Floats, score: Floats, cost_usd: Floats | None) -> float:
    """What forecasts [n, M] earn on these rows: AIQ, at the models' mean costs; without costs the area under the call
    curve for a pair (RouteLLM's APGR in units of score), else the score of the model with the highest forecast.

    A model that did not answer a question is not chosen for it.
    """
    forecast = np.where(np.isnan(score), -np.inf, quality)
    rows = np.arange(len(score))
    if cost_usd is not None:
        return _aiq(forecast, score, cost_usd)
    if score.shape[1] == 2:
        return _pair(forecast, score)
    return float(np.nanmean(score[rows, forecast.argmax(axis=1)]))


def _aiq(forecast: Floats, score: Floats, cost_usd: Floats) -> float:
    rows = np.arange(len(score))
    single = np.nanmean(cost_usd, axis=0)
    cost = np.where(np.isnan(cost_usd), single, cost_usd)
    points = []
    for willingness in WILLINGNESS:
        choice = np.argmax(willingness * forecast - single, axis=1)
        points.append((cost[rows, choice].mean(), np.nanmean(score[rows, choice])))
    spent, earned = np.array(points).T
    vertices = frontier.hull(spent, earned)
    low, high = np.array([single.min()]), np.array([single.max()])
    return float(routerbench.aiq(spent[None, vertices], earned[None, vertices], low, high)[0])


def _pair(forecast: Floats, score: Floats) -> float:
    complete = ~np.isnan(score).any(axis=1)
    forecast, score = forecast[complete], score[complete]
    weak, strong = weak_and_strong(score)
    lift = float((score[:, strong] - score[:, weak]).mean())
    if lift == 0:
        return float(score[:, weak].mean())
    gain = forecast[:, strong] - forecast[:, weak]
    curve = routellm.call_curve(np.ones((1, len(score))), gain, score[:, weak], score[:, strong])
    return float(score[:, weak].mean() + lift * routellm.apgr(curve)[0])
