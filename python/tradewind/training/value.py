"""Routing value on held-out questions, in numpy: for choosing settings and for the gates (see `forecast`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training import datasets, forecast, metrics, routing
from tradewind.training.corpus import Material
from tradewind.training.datasets import DataSet
from tradewind.training.routing import Forecasts, Routed
from tradewind.training.tier1 import Tier1

Floats = npt.NDArray[np.float64]


def route(fitted: Tier1, material: Material) -> Routed:
    """What the predictor would choose; every model of the set has a profile."""
    prediction = fitted.predict(material.x)
    profiles = [fitted.profiles[name] for name in material.data.models]
    quality, _ = forecast.quality(prediction, fitted.parameters, profiles)
    tokens = forecast.output_tokens(prediction, fitted.parameters, profiles)
    return routing.sweep(Forecasts(quality, routing.forecast_cost(material.data, tokens)))


@dataclass(frozen=True)
class Value:
    """A router's value and the Zero router's on the same draws, [B] each: AIQ, or the mean over all shares of
    strong calls where costs are missing (APGR in units of score), so that sets can be averaged."""

    router: Floats
    zero: Floats
    metric: str


def measure(tested: DataSet, learned: DataSet, here: Routed, there: Routed, weights: Floats) -> Value | None:
    """None where the set can be judged by neither AIQ nor APGR."""
    if datasets.is_priced(tested) and datasets.is_priced(learned):
        singles = metrics.mean(weights, tested.cost_usd)
        low, high = singles.min(axis=1), singles.max(axis=1)
        router = metrics.aiq(*metrics.operating_points(tested, learned, here, there, weights), low, high)
        zero = metrics.aiq(*metrics.zero_points(tested, learned, weights), low, high)
        return Value(router, zero, "aiq")
    if len(tested.models) == 2:
        weak, strong = np.argsort(learned.score.mean(axis=0), kind="stable").tolist()
        gain = here.quality[:, strong] - here.quality[:, weak]
        curve = metrics.call_curve(weights, gain, tested.score[:, weak], tested.score[:, strong])
        lift = metrics.mean(weights, tested.score[:, strong] - tested.score[:, weak])
        base = metrics.mean(weights, tested.score[:, weak])
        return Value(base + metrics.apgr(curve) * lift, base + 0.5 * lift, "apgr")
    return None


def pools(materials: Sequence[Material]) -> list[Material]:
    """The part of each set that can be evaluated (see `datasets.pool`): decided on the whole set, before any
    split."""
    found = []
    for material in materials:
        kept = datasets.pool(material.data)
        row_of = {query_id: row for row, query_id in enumerate(material.data.ids)}
        rows = np.array([row_of[query_id] for query_id in kept.ids], np.int64)
        found.append(Material(kept, material.x[rows], material.other[rows]))
    return found
