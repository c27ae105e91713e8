"""RouterBench (Hu et al. 2024, arXiv:2403.12031; repository withmartian/routerbench).

Paper and repository disagree in AIQ; both are here. The repository plots sums of costs and takes a unit price as a
router's cost term; we take means, and each answer's own cost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.training.routing import WILLINGNESS
from tradewind.training.scores.case import Case, once
from tradewind.training.scores.frontier import integral
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]

UTILITY_AT = (0.0001, 0.001, 0.01, 0.1)
"""USD per request for quality 0→1 at which the mean utility is reported."""


def aiq(cost: Floats, quality: Floats, cheapest: Floats, dearest: Floats) -> Floats:
    """Average improvement in quality (section 3.3): ∫ R̃(c) dc / (c_max − c_min) over [c_min, c_max].

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
        low, high = float(cheapest[draw]), float(dearest[draw])
        found[draw] = integral(x, y, low, high) / (high - low) if high > low else np.interp(low, x, y)
    return found


def aiq_repository(cost: Floats, quality: Floats, dearest: Floats) -> Floats:
    """As the repository's `AIQ.py` has it: ∫ R̃(c) dc / c_max, from the first point (nothing lies left of it) to
    c_max, with the last point's quality right of it.

    Smaller than `aiq` by about c_min/c_max. There c_max is the dearest point of the routers that are compared; here
    it is the dearest single model, so that a figure does not depend on the others. NaN where all models are free.
    """
    found = np.full(len(cost), np.nan)
    for draw in np.flatnonzero(dearest > 0):
        order = np.argsort(cost[draw], kind="stable")
        x, y = cost[draw, order], quality[draw, order]
        found[draw] = integral(x, y, min(float(x[0]), float(dearest[draw])), float(dearest[draw])) / dearest[draw]
    return found


def oracle(score: Floats, cost: Floats) -> tuple[Floats, Floats]:
    """Score and cost [n] of the best answer to each question, the cheapest among ties (section 3.4).

    The repository gives questions that no model answers rightly a cost of 0; here they cost what the cheapest does.
    """
    best = score.max(axis=1)
    tied = np.where(score >= best[:, None], np.nan_to_num(cost, nan=0.0), np.inf)
    return best, tied.min(axis=1)


def wtp_utility(willingness: float, quality: Floats, cost: Floats) -> Floats:
    """willingness·quality − cost, USD per question (section 3.1), of mean quality and mean cost [B]."""
    return willingness * quality - cost


@once
def _aiq(case: Case) -> Floats:
    return aiq(*case.points, case.cheapest, case.dearest)


@once
def _zero(case: Case) -> Floats:
    return aiq(*case.zero, case.cheapest, case.dearest)


def _task_mean(case: Case) -> Floats:
    assert case.told is not None
    return _aiq(case.told)


def _utility(at: float) -> Metric:
    level = int(np.argmin(np.abs(np.log(np.array(WILLINGNESS)) - np.log(at))))

    def compute(case: Case) -> Floats:
        return wtp_utility(WILLINGNESS[level], case.settings.quality[:, level], case.settings.cost[:, level])

    title = f"Mean utility at ${at:g} for quality 0→1, USD"
    return Metric(f"utility_at_{at:g}", title, f"{PAPER}, section 3.1", "higher", compute, ("costs",))


PAPER = "RouterBench, arXiv:2403.12031"

METRICS = (
    Metric("aiq", "AIQ", f"{PAPER}, section 3.3", "higher", _aiq, ("costs",)),
    Metric("zero", "AIQ of the Zero router", f"{PAPER}, section 3.2", "higher", _zero, ("costs",)),
    Metric(
        "aiq_minus_zero", "AIQ − Zero", f"{PAPER}, section 3.3", "higher", lambda case: _aiq(case) - _zero(case), ("costs",)
    ),
    Metric(
        "task_mean",
        "AIQ of the task mean, which is told the task",
        f"{PAPER}, section 3.3",
        "higher",
        _task_mean,
        ("costs", "task labels"),
    ),
    Metric(
        "aiq_repository",
        "AIQ as the repository normalises it",
        "withmartian/routerbench, evaluation/AIQ.py",
        "higher",
        lambda case: aiq_repository(*case.points, case.dearest),
        ("costs",),
    ),
    Metric(
        "zero_repository",
        "AIQ of the Zero router as the repository normalises it",
        "withmartian/routerbench, evaluation/AIQ.py",
        "higher",
        lambda case: aiq_repository(*case.zero, case.dearest),
        ("costs",),
    ),
    Metric("oracle", "Mean score of the oracle", f"{PAPER}, section 3.4", "higher", lambda case: case.oracle),
    *(_utility(at) for at in UTILITY_AT),
)
