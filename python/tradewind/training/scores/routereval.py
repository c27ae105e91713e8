"""RouterEval (Huang et al. 2025, arXiv:2503.10657): quality alone, and how it grows with the number of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import interval, mean, ratio
from tradewind.training.scores import references
from tradewind.training.scores.case import Case
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

SIZES = (3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Models in a pool; the paper has 3, 5 (easy) and 10, 100, 1000 (hard)."""

COMPARED = (3, 5, 10)
"""Sizes that have a row of their own: every set of many models has such pools."""


def v_r(weights: Floats, score: Floats, reference: Floats) -> Floats:
    """V_R = μ / reference, [B]: routed scores [n] beside a strong model's published score on each question's benchmark
    [n]."""
    return mean(weights, score) / mean(weights, reference)


def v_b(routed: Floats, best: Floats) -> Floats:
    """V_B = μ / μ(best single model of the pool), [B]; above 1 the router is better than any of its models.

    The paper takes the best in hindsight; here it is the best on training rows.
    """
    return ratio(routed, best)


def entropy(weights: Floats, probability: Floats) -> Floats:
    """E_p = −1/N Σ_x Σ_j p_j(x) log2 p_j(x), bits, [B], of selection probabilities [n, M]: 0 where one model is certain
    for every question, log2 M where nothing is known."""
    logarithm = np.log2(probability, out=np.zeros_like(probability), where=probability > 0)
    return mean(weights, -(probability * logarithm).sum(axis=1))


def softmax(quality: Floats) -> Floats:
    """Selection probabilities [n, M] from forecasts, as the repository's kNN makes them of mean correctness."""
    grown = np.exp(quality - quality.max(axis=1, keepdims=True))
    found: Floats = grown / grown.sum(axis=1, keepdims=True)
    return found


def r_o(share: float, oracle: Floats, random: Floats) -> Floats:
    """r_o(p), [B]: the oracle with probability p, else any model; its expectation. 1 is the oracle, 0 is random."""
    return share * oracle + (1 - share) * random


def groups(strength: Floats, size: int) -> dict[str, Rows]:
    """Pools of so many models: the strongest, the weakest, and evenly spaced ranks; each by falling `strength` [M].

    The paper draws its strong and weak pools from the upper and lower end; these are fixed.
    """
    order = np.argsort(-strength, kind="stable")
    spread = np.round(np.linspace(0, len(order) - 1, size)).astype(np.int64)
    return {"all_strong": order[:size], "all_weak": order[-size:], "strong_to_weak": order[spread]}


@dataclass(frozen=True)
class Pool:
    """A router that may choose among some of the models only, [B] each."""

    group: str
    members: Rows
    routed: Floats
    best: Floats
    oracle: Floats
    random: Floats

    @property
    def v_b(self) -> Floats:
        """See `v_b`."""
        return v_b(self.routed, self.best)


def pool(weights: Floats, score: Floats, quality: Floats, group: str, members: Rows) -> Pool:
    """The best forecast among `members` [m] (the first among equals, which is the strongest) on scores [n, M]."""
    allowed = score[:, members]
    rows = np.arange(len(score))
    routed = allowed[rows, np.argmax(quality[:, members], axis=1)]
    columns = np.stack([routed, allowed[:, 0], allowed.max(axis=1), allowed.mean(axis=1)], axis=1)
    return Pool(group, members, *mean(weights, columns).T)


def pools(case: Case, size: int) -> Iterator[Pool]:
    """The three groups of a size; who is strong follows from training rows."""
    for group, members in groups(case.learned.score.mean(axis=0), size).items():
        yield pool(case.weights, case.tested.score, case.here.quality, group, members)


def scaling(case: Case) -> list[dict[str, Any]]:
    """Model-level scaling: every pool of `SIZES` that is smaller than the set's, then the whole."""
    count = len(case.tested.models)
    sizes = [size for size in SIZES if size < count]
    found = [pool for size in sizes for pool in pools(case, size)]
    everyone = np.argsort(-case.learned.score.mean(axis=0), kind="stable")
    found.append(pool(case.weights, case.tested.score, case.here.quality, "all", everyone))
    return [
        {
            "models": len(each.members),
            "group": each.group,
            "members": [case.tested.models[member] for member in each.members],
            "score": interval(each.routed).document(),
            "v_b": interval(each.v_b).document(),
            "best_single": interval(each.best).document(),
            "oracle": interval(each.oracle).document(),
            "random": interval(each.random).document(),
        }
        for each in found
    ]


def _v_r(case: Case) -> Floats:
    final = case.here.choice[:, -1]
    return v_r(case.weights, case.tested.score[np.arange(len(final)), final], references.of(case.tested.tasks))


def _v_b_of(size: int) -> Metric:
    def compute(case: Case) -> Floats:
        return np.asarray(np.mean([each.v_b for each in pools(case, size)], axis=0))

    title = f"V_B in pools of {size}, mean of three groups"
    return Metric(f"v_b_m{size}", title, PAPER, "higher", compute, ("forecasts", "many models"))


PAPER = "RouterEval, arXiv:2503.10657"

METRICS = (
    Metric("v_r", "V_R, score by the reference's", PAPER, "higher", _v_r, ("reference",)),
    Metric(
        "v_b",
        "V_B, score by the best single model's",
        PAPER,
        "higher",
        lambda case: v_b(case.quality, case.best_quality),
    ),
    Metric(
        "e_p",
        "E_p, entropy of the selection, bits",
        PAPER,
        "higher",
        lambda case: entropy(case.weights, softmax(case.here.quality)),
        ("forecasts",),
    ),
    Metric(
        "r_o_50",
        "r_o(0.5), the oracle half of the time, else random",
        PAPER,
        "higher",
        lambda case: r_o(0.5, case.oracle, case.random),
    ),
    *(_v_b_of(size) for size in COMPARED),
)
