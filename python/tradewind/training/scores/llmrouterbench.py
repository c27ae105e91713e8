"""LLMRouterBench (Li et al. 2026, arXiv:2601.07206): a router beside random choice, the best single model, the oracle and
the Pareto front. Gains are fractions of what they are compared with; the paper shows hundreds of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import ratio
from tradewind.training.scores.frontier import Points, cost_at
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]


def gain(routed: Floats, other: Floats) -> Floats:
    """(routed − other) / other, [B]: Gain@R beside random choice, Gain@B and PerfGain beside the best single model."""
    return ratio(routed - other, other)


def gap(routed: Floats, oracle: Floats) -> Floats:
    """Gap@O = (oracle − routed) / oracle, [B]."""
    return ratio(oracle - routed, oracle)


def cost_save(cost: Floats, quality: Floats, best_cost: Floats, best_quality: Floats) -> Floats:
    """CostSave, [B]: the largest cut of the best single model's cost at an operating point [B, V] that is at least as
    good. Negative where only dearer ones are; NaN where none is."""
    least = np.where(quality >= best_quality[:, None], cost, np.inf).min(axis=1)
    return ratio(best_cost - np.where(np.isinf(least), np.nan, least), best_cost)


def saved(cost: Floats, quality: Floats, best_cost: Floats, best_quality: Floats) -> Floats:
    """CostSave on the whole curve, [B]: operating points [B, V] may be mixed.

    0 where the curve does not reach that quality more cheaply: then the best model itself is the router.
    """
    needed = cost_at(cost, quality, best_quality)
    return ratio(best_cost - np.fmin(needed, best_cost), best_cost)


def pareto_distance(points: Points, rivals: Points, dearest: Floats) -> Floats:
    """ParetoDist, [B]: mean distance of a router's operating points [B, V] to the nearest point of the Pareto front of
    these and its `rivals` [B, W] together; 0 for a router that no rival dominates anywhere.

    Euclidean, with costs divided by the dearest single model's [B] and quality as it is: the paper does not print its
    scales, so compare only figures of ours. NaN where all models are free.
    """
    # Draws × points × (cost, quality); all models of a pool are free in no more than a few draws.
    unit = np.where(dearest > 0, dearest, np.nan)[:, None]
    own = np.stack([points.cost / unit, points.quality], axis=-1)
    everyone = np.concatenate([own, np.stack([rivals.cost / unit, rivals.quality], axis=-1)], axis=1)
    apart = np.linalg.norm(own[:, :, None] - everyone[:, None], axis=-1)
    return np.asarray(np.where(_dominated(everyone)[:, None], np.inf, apart).min(axis=2).mean(axis=1))


def _dominated(points: Floats) -> npt.NDArray[np.bool_]:
    """Which of the points [B, K, 2] another one dominates: no dearer and no worse, and one of them better, [B, K]."""
    cost, quality = points[..., 0], points[..., 1]
    no_dearer = cost[:, None, :] <= cost[:, :, None]
    no_worse = quality[:, None, :] >= quality[:, :, None]
    better = (cost[:, None, :] < cost[:, :, None]) | (quality[:, None, :] > quality[:, :, None])
    return np.asarray((no_dearer & no_worse & better).any(axis=2))


PAPER = "LLMRouterBench, arXiv:2601.07206"

METRICS = (
    Metric("score", "Mean score where cost is no object (AvgAcc)", PAPER, "higher", lambda case: case.quality),
    Metric("best_single", "Mean score of the best single model", PAPER, "higher", lambda case: case.best_quality),
    Metric("random", "Mean score of random choice", PAPER, "higher", lambda case: case.random),
    Metric("gain_at_random", "Gain@R", PAPER, "higher", lambda case: gain(case.quality, case.random)),
    Metric("gain_at_best", "Gain@B", PAPER, "higher", lambda case: gain(case.quality, case.best_quality)),
    Metric("gap_at_oracle", "Gap@O", PAPER, "lower", lambda case: gap(case.quality, case.oracle)),
    Metric(
        "perf_gain",
        "PerfGain, the curve's best point beside the best single model",
        PAPER,
        "higher",
        lambda case: gain(case.points.quality[:, -1], case.best_quality),
        ("costs",),
    ),
    Metric(
        "saved_at_best_single",
        "CostSave at the best single model's quality, by mixing",
        PAPER,
        "higher",
        lambda case: saved(*case.points, case.best_cost, case.best_quality),
        ("costs",),
    ),
    Metric(
        "cost_save",
        "CostSave, operating points alone",
        PAPER,
        "higher",
        lambda case: cost_save(*case.points, case.best_cost, case.best_quality),
        ("costs",),
    ),
    Metric(
        "pareto_distance",
        "ParetoDist to the front of router and single models",
        PAPER,
        "lower",
        lambda case: pareto_distance(case.points, Points(case.single_cost, case.single_quality), case.dearest),
        ("costs",),
    ),
)
