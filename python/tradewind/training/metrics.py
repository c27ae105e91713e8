"""Metrics of routers, one function each. All of them work on B bootstrap draws of the questions at once.

Shapes: n questions, M models, V operating points of a router, B draws. A draw is a row of weights [B, n] that
says how often each question was drawn; its first row is all ones, so entry 0 of every result is the point
estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.datasets import DataSet
from tradewind.training.routing import Routed

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float | None]:
        """As JSON has it: null where a figure does not exist (a metric without a value in any draw)."""
        return {name: number if np.isfinite(number) else None for name, number in vars(self).items()}


def draws(questions: int, seed: int, count: int = DRAWS) -> Floats:
    """Weights [1 + count, n]: the sample itself, then draws with replacement (Efron 1979)."""
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + count, questions), np.float32)
    if questions:
        picked = rng.integers(0, questions, (count, questions))
        for row, pick in enumerate(picked, 1):
            weights[row] = np.bincount(pick, minlength=questions)
    return weights.astype(np.float64)


def interval(values: Floats) -> Interval:
    """Entry 0 is the value, the others give the interval; draws in which the metric has no value are left
    out."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def mean(weights: Floats, values: Floats) -> Floats:
    """Mean over questions: [B, n] and [n] or [n, V] → [B] or [B, V]."""
    found: Floats = (weights @ values) / weights.sum(axis=1).reshape((-1,) + (1,) * (values.ndim - 1))
    return found


def hull(cost: Floats, quality: Floats) -> Rows:
    """Indices of the non-decreasing convex hull, by rising cost (RouterBench, arXiv:2403.12031, section 3.2).

    Andrew's monotone chain over the upper side; then what costs more and is not better falls away. Its first
    point is the cheapest one (the best of the cheapest).
    """
    order = np.lexsort((-quality, cost))
    kept: list[int] = []
    for point in order.tolist():
        if kept and quality[point] <= quality[kept[-1]]:
            continue
        while len(kept) >= 2 and _turns_left(cost, quality, kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return np.array(kept, np.int64)


def _turns_left(cost: Floats, quality: Floats, a: int, b: int, c: int) -> bool:
    """Whether b lies on or below the segment from a to c."""
    return bool((quality[b] - quality[a]) * (cost[c] - cost[a]) <= (quality[c] - quality[a]) * (cost[b] - cost[a]))


def aiq(cost: Floats, quality: Floats, cheapest: Floats, dearest: Floats) -> Floats:
    """Average improvement in quality (RouterBench, section 3.3): ∫ R̃(c) dc / (c_max − c_min) over [c_min,
    c_max].

    R̃ runs through the operating points [B, V] (the vertices of a hull that was chosen on other questions) by
    random mixing of neighbours; left of the first point it mixes with answering nothing (0, 0), right of the
    last it stays. `cheapest` and `dearest` [B] are the mean costs of the cheapest and the dearest single
    model. An absolute mean quality, to be read beside the Zero router's over the same range.
    """
    found = np.empty(len(cost))
    for draw in range(len(cost)):
        order = np.argsort(cost[draw], kind="stable")
        x = np.concatenate([[0.0], cost[draw, order]])
        y = np.concatenate([[0.0], quality[draw, order]])
        found[draw] = _mean_height(x, y, float(cheapest[draw]), float(dearest[draw]))
    return found


def _mean_height(x: Floats, y: Floats, low: float, high: float) -> float:
    if high <= low:
        return float(np.interp(low, x, y))
    inside = (x > low) & (x < high)
    knots = np.concatenate([[low], x[inside], [high]])
    heights = np.concatenate([[np.interp(low, x, y)], y[inside], [np.interp(high, x, y)]])
    return float(np.trapezoid(heights, knots) / (high - low))


def cost_at(cost: Floats, quality: Floats, target: Floats) -> Floats:
    """The least cost at which the curve through [B, V] reaches the quality `target` [B]; NaN where it never
    does."""
    found = np.full(len(cost), np.nan)
    for draw in range(len(cost)):
        order = np.argsort(cost[draw], kind="stable")
        x = np.concatenate([[0.0], cost[draw, order]])
        y = np.concatenate([[0.0], quality[draw, order]])
        at = int(np.argmax(y >= target[draw]))
        if y[at] < target[draw]:
            continue
        if at == 0:
            found[draw] = 0.0
            continue
        share = (target[draw] - y[at - 1]) / (y[at] - y[at - 1])
        found[draw] = x[at - 1] + share * (x[at] - x[at - 1])
    return found


def saved(cost: Floats, quality: Floats, best_cost: Floats, best_quality: Floats) -> Floats:
    """Share of the best single model's cost that is saved at its quality (CostSave, LLMRouterBench,
    arXiv:2601.07206).

    0 where the curve does not reach that quality more cheaply: then the best model itself is the router.
    """
    needed = cost_at(cost, quality, best_quality)
    return np.where(np.isnan(needed), 0.0, np.maximum(1 - needed / best_cost, 0.0))


def oracle(score: Floats, cost: Floats) -> tuple[Floats, Floats]:
    """Score and cost [n] of the best answer to each question, the cheapest among ties (RouterBench, section
    3.4)."""
    best = score.max(axis=1)
    tied = np.where(score >= best[:, None], np.nan_to_num(cost, nan=0.0), np.inf)
    return best, tied.min(axis=1)


def wtp_utility(weights: Floats, willingness: float, score: Floats, cost: Floats) -> Floats:
    """Mean of willingness·score − cost, USD per question (RouterBench, section 3.1); score and cost [n]."""
    return willingness * mean(weights, score) - mean(weights, cost)


@dataclass(frozen=True)
class CallCurve:
    """PGR against the share of calls to the strong model, [B, n + 1] each (RouteLLM, arXiv:2406.18665,
    section 3)."""

    share: Floats
    recovered: Floats


def call_curve(weights: Floats, gain: Floats, weak: Floats, strong: Floats) -> CallCurve:
    """Questions go to the strong model by falling forecast `gain` [n]; weak and strong are scores [n].

    PGR(p) = (r(p) − r(weak)) / (r(strong) − r(weak)). Equal gains share one step, so that their order cannot
    matter.
    """
    order = np.argsort(-gain, kind="stable")
    drawn = weights[:, order]
    total = drawn.sum(axis=1, keepdims=True)
    share = np.cumsum(drawn, axis=1) / total
    lift = np.cumsum(drawn * (strong - weak)[order], axis=1) / total
    last = np.append(np.diff(gain[order]) != 0, True)
    share, lift = share[:, last], lift[:, last]
    zero = np.zeros((len(drawn), 1))
    # A draw in which both models are equal has no PGR.
    whole = np.where(lift[:, -1:] == 0, np.nan, lift[:, -1:])
    recovered = np.concatenate([zero, lift], axis=1) / whole
    return CallCurve(np.concatenate([zero, share], axis=1), recovered)


def apgr(curve: CallCurve) -> Floats:
    """Area under the call curve by the trapezoid rule, [B]; random routing has .5."""
    return np.asarray(np.trapezoid(curve.recovered, curve.share, axis=1))


def cpt(curve: CallCurve, target: float) -> Floats:
    """The smallest share of strong calls at which PGR reaches `target`, [B]; random routing has `target`.

    NaN where there is no PGR.
    """
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


def zero_points(tested: DataSet, learned: DataSet, weights: Floats) -> tuple[Floats, Floats]:
    """The Zero router: the hull of single models, chosen on training rows; (cost, quality) [B, V] on test
    rows."""
    vertices = hull(learned.cost_usd.mean(axis=0), learned.score.mean(axis=0))
    return mean(weights, tested.cost_usd[:, vertices]), mean(weights, tested.score[:, vertices])


def operating_points(tested: DataSet, learned: DataSet, here: Routed, there: Routed, weights: Floats) -> tuple[Floats, Floats]:
    """A router's hull over levels of willingness, chosen on training rows; (cost, quality) [B, V] on test
    rows."""
    cost, quality = (_picked(table, there.choice).mean(axis=0) for table in (learned.cost_usd, learned.score))
    vertices = hull(cost, quality)
    chosen = here.choice[:, vertices]
    return (
        mean(weights, _picked(tested.cost_usd, chosen)),
        mean(weights, _picked(tested.score, chosen)),
    )


def _picked(table: Floats, choice: npt.NDArray[np.int16]) -> Floats:
    found: Floats = np.take_along_axis(table, choice.astype(np.int64), axis=1)
    return found
