"""The metrics that `evaluate` reports: one file a family, one function and one row each; and all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import Interval, interval
from tradewind.training.scores import (
    automix,
    calibration,
    frugalgpt,
    llmrouterbench,
    routellm,
    routerarena,
    routerbench,
    routereval,
    uniroute,
)
from tradewind.training.scores.case import Case
from tradewind.training.scores.frontier import Points
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]

TABLE: tuple[Metric, ...] = (
    *routerbench.METRICS,
    *llmrouterbench.METRICS,
    *routellm.METRICS,
    *routereval.METRICS,
    *uniroute.METRICS,
    *routerarena.METRICS,
    *frugalgpt.METRICS,
    *automix.METRICS,
    *calibration.METRICS,
)


@dataclass(frozen=True)
class Scores:
    """One set's figures. A metric that the set or the router does not allow is None."""

    n: int
    models: tuple[str, ...]
    values: dict[str, Interval | None]
    """by the name of its row in `TABLE`"""
    frontier: dict[str, Any] = field(default_factory=dict)
    draws: dict[str, Floats] = field(default_factory=dict)
    """[B] of each metric that is allowed: on the same weights, two routers' figures may be subtracted draw by draw"""
    scaling: list[dict[str, Any]] | None = None
    """see `routereval.scaling`"""

    def document(self) -> dict[str, Any]:
        """As `evaluate --json` writes it."""
        return {
            "n": self.n,
            "models": list(self.models),
            **{name: value and value.document() for name, value in self.values.items()},
            "frontier": self.frontier,
            "scaling": self.scaling,
        }


def measure(case: Case) -> Scores:
    """All metrics of a router on a pool."""
    draws = {metric.name: metric.compute(case) for metric in TABLE if metric.allowed(case)}
    values = {metric.name: interval(draws[metric.name]) if metric.name in draws else None for metric in TABLE}
    scales = case.allows >= {"forecasts", "many models"}
    return Scores(
        len(case.tested),
        case.tested.models,
        values,
        _plotted(case),
        draws=draws,
        scaling=routereval.scaling(case) if scales else None,
    )


def _plotted(case: Case) -> dict[str, Any]:
    """What a plot of the set shows, on the sample itself: [mean cost, mean quality] of the operating points."""
    found: dict[str, Any] = {"best_single_model": case.tested.models[case.best]}
    if "costs" not in case.allows:
        return found
    singles = _listed(Points(case.single_cost, case.single_quality))
    _, oracle_cost = routerbench.oracle(case.tested.score, case.tested.cost_usd)
    return found | {
        "router": _listed(case.points),
        "zero": _listed(case.zero),
        "singles": dict(zip(case.tested.models, singles, strict=True)),
        "oracle_cost_usd": float(oracle_cost.mean()),
    }


def _listed(points: Points) -> list[list[float]]:
    return [
        [float(f"{cost:.6g}"), round(float(quality), 5)]
        for cost, quality in zip(points.cost[0], points.quality[0], strict=True)
    ]
