"""RouterArena (2025, arXiv:2510.00202): accuracy and cost in one number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.training.scores.case import Case
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]

BETA = 0.1
CHEAPEST, DEAREST = 0.0044, 200.0
"""USD per 1,000 questions, to which costs are clamped."""


def arena_score(accuracy: Floats, cost: Floats) -> Floats:
    """S = (1 + β)·A·C / (β·A + C), of any shape; cost in USD per question.

    C = (log2 c_max − log2 c) / (log2 c_max − log2 c_min) with c in USD per 1,000 questions, 1 for the cheapest. A
    fraction; the leaderboard shows hundreds of it (RouterDC: .3201 at $.07 → 33.75).
    """
    clamped = np.clip(1000 * cost, CHEAPEST, DEAREST)
    cheapness = np.log2(DEAREST / clamped) / np.log2(DEAREST / CHEAPEST)
    weighted = BETA * accuracy + cheapness
    # Both are 0 for a router that is never right at the highest price.
    return np.where(weighted > 0, (1 + BETA) * accuracy * cheapness / np.where(weighted > 0, weighted, 1.0), 0.0)


def _best_setting(case: Case) -> Floats:
    """At the level of willingness that has the best score on training rows: a router enters with one."""
    level = int(np.argmax(arena_score(case.trained.quality, case.trained.cost)))
    return arena_score(case.settings.quality[:, level], case.settings.cost[:, level])


METRICS = (
    Metric(
        "routerarena",
        "RouterArena score",
        "RouterArena, arXiv:2510.00202; RouteWorks/RouterArena, llm_evaluation/run.py",
        "higher",
        _best_setting,
        ("costs",),
    ),
)
