"""RouteLLM (Ong et al. 2024, arXiv:2406.18665): a weak and a strong model, and the share of calls to the latter.

Curves run through every question by falling forecast gain. The repository takes eleven thresholds (deciles of its
scores) and `np.interp` on accuracy for CPT, which is wrong where the curve falls; the first crossing is taken here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.scores.case import Case, once
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CallCurve:
    """PGR against the share of calls to the strong model, [B, n + 1] each (section 3)."""

    share: Floats
    recovered: Floats


def call_curve(weights: Floats, gain: Floats, weak: Floats, strong: Floats) -> CallCurve:
    """Questions go to the strong model by falling forecast `gain` [n]; weak and strong are scores [n].

    Performance gap recovered, PGR(p) = (r(p) − r(weak)) / (r(strong) − r(weak)). Equal gains share one step, so that
    their order cannot matter. NaN in a draw in which both models are equal.
    """
    order = np.argsort(-gain, kind="stable")
    drawn = weights[:, order]
    total = drawn.sum(axis=1, keepdims=True)
    share = np.cumsum(drawn, axis=1) / total
    lift = np.cumsum(drawn * (strong - weak)[order], axis=1) / total
    last = np.append(np.diff(gain[order]) != 0, True)
    share, lift = share[:, last], lift[:, last]
    zero = np.zeros((len(drawn), 1))
    whole = np.where(lift[:, -1:] == 0, np.nan, lift[:, -1:])
    recovered = np.concatenate([zero, lift], axis=1) / whole
    return CallCurve(np.concatenate([zero, share], axis=1), recovered)


def pgr(curve: CallCurve, share: float) -> Floats:
    """PGR at a share of strong calls, [B]; random routing has `share`."""
    return np.array([np.interp(share, x, y) for x, y in zip(curve.share, curve.recovered, strict=True)])


def apgr(curve: CallCurve) -> Floats:
    """Area under the call curve by the trapezoid rule, [B]; random routing has .5."""
    return np.asarray(np.trapezoid(curve.recovered, curve.share, axis=1))


def apgr10(curve: CallCurve) -> Floats:
    """Mean of PGR at 10 %, 20 % … 100 % of strong calls, [B], as the paper's text has it; random routing has .55."""
    return np.asarray(np.mean([pgr(curve, step / 10) for step in range(1, 11)], axis=0))


def cpt(curve: CallCurve, target: float) -> Floats:
    """Call-performance threshold: the smallest share of strong calls at which PGR reaches `target`, [B]; random
    routing has `target`. NaN where there is no PGR."""
    reached = curve.recovered >= target
    at = np.argmax(reached, axis=1)
    rows = np.arange(len(at))
    before = np.maximum(at - 1, 0)
    low, high = curve.recovered[rows, before], curve.recovered[rows, at]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(high > low, (target - low) / (high - low), 1.0)
    found = curve.share[rows, before] + step * (curve.share[rows, at] - curve.share[rows, before])
    found = np.where(reached.any(axis=1), found, 1.0)
    return np.where(np.isnan(curve.recovered[:, -1]), np.nan, found)


@once
def curve_of(case: Case) -> CallCurve:
    """A pair's questions by the router's forecast gain."""
    weak, strong = case.pair
    gain = case.here.quality[:, strong] - case.here.quality[:, weak]
    return call_curve(case.weights, gain, case.tested.score[:, weak], case.tested.score[:, strong])


def _told(case: Case) -> Floats:
    assert case.told is not None
    return apgr(curve_of(case.told))


PAPER = "RouteLLM, arXiv:2406.18665, section 3"

METRICS = (
    Metric("apgr", "APGR, by trapezoids", PAPER, "higher", lambda case: apgr(curve_of(case)), ("pair",)),
    Metric("apgr10", "APGR, mean of ten shares", PAPER, "higher", lambda case: apgr10(curve_of(case)), ("pair",)),
    Metric("pgr50", "PGR at half of the calls", PAPER, "higher", lambda case: pgr(curve_of(case), 0.5), ("pair",)),
    Metric("cpt50", "CPT(50 %)", PAPER, "lower", lambda case: cpt(curve_of(case), 0.5), ("pair",)),
    Metric("cpt80", "CPT(80 %)", PAPER, "lower", lambda case: cpt(curve_of(case), 0.8), ("pair",)),
    Metric("task_mean_apgr", "APGR of the task mean, which is told the task", PAPER, "higher", _told, ("pair", "task labels")),
)
