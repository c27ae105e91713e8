"""One router's figures on one pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.training import datasets, metrics
from tradewind.training.datasets import DataSet
from tradewind.training.metrics import Interval
from tradewind.training.routing import WILLINGNESS, Routed

Floats = npt.NDArray[np.float64]

UTILITY_AT = (0.0001, 0.001, 0.01, 0.1)
"""USD per request at which the mean utility is reported."""


@dataclass(frozen=True)
class Scores:
    """One set's figures. A metric that the set does not allow is None."""

    n: int
    models: tuple[str, ...]
    values: dict[str, Interval | None]
    frontier: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    draws: dict[str, Floats] = field(default_factory=dict)
    """[B] each: what the intervals are of; the same draws of questions for every router"""

    def document(self) -> dict[str, Any]:
        """As `evaluate --json` writes it."""
        return {
            "n": self.n,
            "models": list(self.models),
            **{name: value.document() if value and np.isfinite(value.value) else None for name, value in self.values.items()},
            "frontier": self.frontier,
            **self.facts,
        }


def measure(
    tested: DataSet,
    learned: DataSet,
    here: Routed,
    there: Routed,
    told_here: Routed,
    told_there: Routed,
    weights: Floats,
) -> Scores:
    """All metrics of one pool from the choices on test rows (`here`) and on training rows (`there`)."""
    best = int(np.lexsort((np.nan_to_num(learned.cost_usd).mean(axis=0), -learned.score.mean(axis=0)))[0])
    final_choice = here.choice[:, -1]
    rows = np.arange(len(tested))
    routed_score = tested.score[rows, final_choice]
    oracle_score, oracle_cost = metrics.oracle(tested.score, tested.cost_usd)
    single = metrics.mean(weights, tested.score[:, best])
    drawn: dict[str, Floats | None] = dict.fromkeys(
        ("aiq", "zero", "aiq_minus_zero", "task_mean", "saved_at_best_single", "apgr", "cpt50", "cpt80")
    )
    drawn |= {
        "score": metrics.mean(weights, routed_score),
        "oracle": metrics.mean(weights, oracle_score),
        "best_single": single,
        "random": metrics.mean(weights, tested.score.mean(axis=1)),
    }
    frontier: dict[str, Any] = {"best_single_model": tested.models[best]}
    if datasets.is_priced(tested) and datasets.is_priced(learned):
        drawn |= _priced(tested, learned, here, there, told_here, told_there, weights, best)
        frontier |= _frontier(tested, learned, here, there)
        frontier["oracle_cost_usd"] = float(oracle_cost.mean())
    if len(tested.models) == 2:
        drawn |= _pair(tested, learned, here, told_here, weights)
    values = {name: None if found is None else metrics.interval(found) for name, found in drawn.items()}
    draws = {name: found for name, found in drawn.items() if found is not None}
    return Scores(len(tested), tested.models, values, frontier, draws=draws)


def _priced(
    tested: DataSet,
    learned: DataSet,
    here: Routed,
    there: Routed,
    told_here: Routed,
    told_there: Routed,
    weights: Floats,
    best: int,
) -> dict[str, Floats]:
    singles = metrics.mean(weights, tested.cost_usd)
    low, high = singles.min(axis=1), singles.max(axis=1)
    zero = _area(metrics.zero_points(tested, learned, weights), low, high)
    routed = metrics.operating_points(tested, learned, here, there, weights)
    aiq = _area(routed, low, high)
    told = _area(metrics.operating_points(tested, learned, told_here, told_there, weights), low, high)
    best_cost, best_score = singles[:, best], metrics.mean(weights, tested.score[:, best])
    values: dict[str, Floats] = {
        "aiq": aiq,
        "zero": zero,
        "aiq_minus_zero": aiq - zero,
        "task_mean": told,
        "saved_at_best_single": metrics.saved(*routed, best_cost, best_score),
    }
    rows = np.arange(len(tested))
    for at in UTILITY_AT:
        column = int(np.argmin(np.abs(np.log(np.array(WILLINGNESS)) - np.log(at))))
        picked = here.choice[:, column]
        utility = metrics.wtp_utility(weights, WILLINGNESS[column], tested.score[rows, picked], tested.cost_usd[rows, picked])
        values[f"utility_at_{at:g}"] = utility
    return values


def _area(operating: tuple[Floats, Floats], low: Floats, high: Floats) -> Floats:
    return metrics.aiq(*operating, low, high)


def _frontier(tested: DataSet, learned: DataSet, here: Routed, there: Routed) -> dict[str, Any]:
    once = np.ones((1, len(tested)))

    def listed(operating: tuple[Floats, Floats]) -> list[list[float]]:
        return [
            [float(f"{cost:.6g}"), round(float(quality), 5)]
            for cost, quality in zip(operating[0][0], operating[1][0], strict=True)
        ]

    return {
        "router": listed(metrics.operating_points(tested, learned, here, there, once)),
        "zero": listed(metrics.zero_points(tested, learned, once)),
        "singles": {
            model: [float(f"{cost:.6g}"), round(float(quality), 5)]
            for model, cost, quality in zip(tested.models, tested.cost_usd.mean(axis=0), tested.score.mean(axis=0), strict=True)
        },
    }


def _pair(tested: DataSet, learned: DataSet, here: Routed, told_here: Routed, weights: Floats) -> dict[str, Floats]:
    weak, strong = np.argsort(learned.score.mean(axis=0), kind="stable").tolist()

    def curve(routed: Routed) -> metrics.CallCurve:
        gain = routed.quality[:, strong] - routed.quality[:, weak]
        return metrics.call_curve(weights, gain, tested.score[:, weak], tested.score[:, strong])

    found = curve(here)
    return {
        "apgr": metrics.apgr(found),
        "cpt50": metrics.cpt(found, 0.5),
        "cpt80": metrics.cpt(found, 0.8),
        "task_mean_apgr": metrics.apgr(curve(told_here)),
    }
