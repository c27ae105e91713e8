"""AutoMix (Aggarwal et al. 2024, arXiv:2310.12963): what a dollar above the small model buys, beside always calling the
large one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.training.scores.case import Case
from tradewind.training.scores.frontier import Points
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]


def delta_ibc(mixed: Points, small: Points, large: Points) -> Floats:
    """ΔIBC = (IBC − IBC_base) / IBC_base, of any common shape; IBC = (P − P_small) / (C − C_small), the base has the large
    model's P and C.

    A fraction; the paper shows hundreds of it. 0 for random mixing. NaN where nothing is spent above the small model,
    or where the large one is not both better and dearer: then there is no trade to improve.
    """
    spent, bought = mixed.cost - small.cost, mixed.quality - small.quality
    dearer, better = large.cost - small.cost, large.quality - small.quality
    # Sums of the same costs in another order differ in the last digit, and are nothing spent.
    exists = (dearer > 0) & (better > 0) & (spent > 1e-9 * dearer)
    by_base = bought * dearer / np.where(exists, spent * better, 1.0)
    return np.where(exists, by_base - 1, np.nan)


def _best_setting(case: Case) -> Floats:
    """At the level of willingness with the largest lift on training rows, as the repository's `train` chooses its
    threshold. NaN where no level has one."""
    weak, strong = case.pair
    cost, quality = case.learned.cost_usd.mean(axis=0), case.learned.score.mean(axis=0)
    small, large = (Points(cost[model], quality[model]) for model in (weak, strong))
    lifts = delta_ibc(case.trained, small, large)
    if np.isnan(lifts).all():
        return np.full(len(case.weights), np.nan)
    level = int(np.nanargmax(lifts))
    mixed = Points(case.settings.cost[:, level], case.settings.quality[:, level])
    small, large = (Points(case.single_cost[:, model], case.single_quality[:, model]) for model in (weak, strong))
    return delta_ibc(mixed, small, large)


METRICS = (
    Metric(
        "delta_ibc",
        "ΔIBC, quality per dollar above the small model",
        "AutoMix, arXiv:2310.12963; automix-llm/automix, automix/main.py",
        "higher",
        _best_setting,
        ("pair", "costs"),
    ),
)
