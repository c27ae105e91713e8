"""FrugalGPT (Chen et al. 2023, arXiv:2305.05176): what is saved at the accuracy of the best single model, with a strategy
that was chosen on training rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import ratio
from tradewind.training.scores.case import Case
from tradewind.training.scores.frontier import Points
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]


def frugal(cost: Floats, quality: Floats, best_cost: float, best_quality: float) -> int | None:
    """The cheapest setting [G] that is at least as accurate as the best single model and cheaper, all on training rows;
    None where there is none, and the best single model is the strategy."""
    fit = (quality >= best_quality) & (cost < best_cost)
    return int(np.argmin(np.where(fit, cost, np.inf))) if fit.any() else None


def saving(cost: Floats, best_cost: Floats) -> Floats:
    """1 − cost(strategy) / cost(best single model), [B]."""
    return ratio(best_cost - cost, best_cost)


def strategy(case: Case) -> Points:
    """What the chosen setting costs and scores on test rows, [B] each; where no setting is frugal, the best single
    model."""
    best = float(case.learned.cost_usd[:, case.best].mean()), float(case.learned.score[:, case.best].mean())
    level = frugal(*case.trained, *best)
    if level is None:
        return Points(case.best_cost, case.best_quality)
    return Points(case.settings.cost[:, level], case.settings.quality[:, level])


PAPER = "FrugalGPT, arXiv:2305.05176"

METRICS = (
    Metric(
        "frugal_saved",
        "FrugalGPT's saving, strategy chosen in training",
        PAPER,
        "higher",
        lambda case: saving(strategy(case).cost, case.best_cost),
        ("costs",),
    ),
    Metric(
        "frugal_score_change",
        "Score of that strategy − the best single model's",
        PAPER,
        "higher",
        lambda case: strategy(case).quality - case.best_quality,
        ("costs",),
    ),
)
