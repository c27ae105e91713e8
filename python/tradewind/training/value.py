"""Routing value on held-out questions, in numpy: for choosing settings and for the gates (see `forecast`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training import datasets, forecast, routing
from tradewind.training.corpus import Material
from tradewind.training.datasets import DataSet
from tradewind.training.routing import Forecasts, Routed
from tradewind.training.scores import routellm, routerbench
from tradewind.training.scores.case import Case
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
    case = Case(tested, learned, here, there, weights)
    if "costs" in case.allows:
        router, zero = (routerbench.aiq(*points, case.cheapest, case.dearest) for points in (case.points, case.zero))
        return Value(router, zero, "aiq")
    if "pair" in case.allows:
        weak, strong = (case.single_quality[:, model] for model in case.pair)
        # In units of score: APGR of the way from the weak model to the strong one; random routing goes half of it.
        recovered = routellm.apgr(routellm.curve_of(case))
        return Value(weak + recovered * (strong - weak), weak + 0.5 * (strong - weak), "apgr")
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
