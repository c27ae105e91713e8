"""UniRoute (Jitkrittum et al. 2025, arXiv:2502.08773): the deferral curve, quality against mean cost, one point for each
level of willingness, with costs divided by the dearest model's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import ratio
from tradewind.training.scores.frontier import cost_at, integral
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]


def area(cost: Floats, quality: Floats, dearest: Floats) -> Floats:
    """Area under the deferral curve through [B, G], [B]: from its first point to the dearest model's cost [B], which is 1.

    No hull is taken: a level that costs more and is worse counts as it is. Right of the last point quality stays.
    """
    found = np.full(len(cost), np.nan)
    for draw in np.flatnonzero(dearest > 0):
        order = np.argsort(cost[draw], kind="stable")
        x, y = cost[draw, order] / dearest[draw], quality[draw, order]
        found[draw] = integral(x, y, min(float(x[0]), 1.0), 1.0)
    return found


def qnc(cost: Floats, quality: Floats, best_cost: Floats, best_quality: Floats, dearest: Floats) -> Floats:
    """Quality-neutral cost, [B]: the least cost at which the curve reaches the most accurate single model, by the dearest
    model's cost.

    By the dearest's, not by the most accurate's: else the published Zero router could not have 87.5 % on EmbedLLM.
    Where the curve reaches that quality at a higher cost or not at all, the most accurate model itself is the router.
    """
    needed = cost_at(cost, quality, best_quality)
    return ratio(np.fmin(needed, best_cost), dearest)


def peak(quality: Floats) -> Floats:
    """Peak accuracy, [B], of operating points [B, V] by rising training quality: the last one's.

    The paper takes the largest on the test rows, which is chance where many levels are nearly equal.
    """
    return quality[:, -1]


PAPER = "UniRoute, arXiv:2502.08773"

METRICS = (
    Metric(
        "uniroute_area",
        "Area under the deferral curve",
        PAPER,
        "higher",
        lambda case: area(*case.settings, case.dearest),
        ("costs",),
    ),
    Metric(
        "qnc",
        "QNC, relative cost at the best single model's quality",
        PAPER,
        "lower",
        lambda case: qnc(*case.points, case.best_cost, case.best_quality, case.dearest),
        ("costs",),
    ),
    Metric("peak", "Peak accuracy", PAPER, "higher", lambda case: peak(case.points.quality), ("costs",)),
)
