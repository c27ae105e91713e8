"""Quality in parts of a set: by task, by language, by length. Choices are those at the highest willingness to pay,
so that parts can be compared whatever their prices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training import language
from tradewind.training.results import Result, Standing
from tradewind.training.scores import bootstrap
from tradewind.training.scores.bootstrap import Interval

Floats = npt.NDArray[np.float64]

LENGTHS = (0, 50, 100, 200, 400, 800, 1600)
"""Characters at which a class of lengths begins."""
DRAWS = 500


@dataclass(frozen=True)
class Part:
    """Some questions of a set."""

    name: str
    n: int
    score: Interval
    """of the first evaluated router"""
    over_best: Interval
    """its score − the best single model's, paired"""
    best_single: float
    oracle: float
    routers: dict[str, float]
    """mean score of every router"""


def by_task(result: Result) -> list[Part]:
    """By name."""
    tasks = [str(task) for task in result.tested.tasks]
    return _parts(result, tasks, sorted(set(tasks)))


def by_language(result: Result) -> list[Part]:
    """The commonest first."""
    guesses = [language.guess(text) for text in result.tested.texts]
    names, counts = np.unique(guesses, return_counts=True)
    return _parts(result, guesses, [str(names[place]) for place in np.argsort(-counts, kind="stable")])


def by_length(result: Result) -> list[Part]:
    """The shortest first."""
    places = np.searchsorted(LENGTHS, [len(text) for text in result.tested.texts], side="right") - 1
    return _parts(result, [_length(place) for place in places], [_length(place) for place in range(len(LENGTHS))])


def _length(place: int) -> str:
    low = LENGTHS[place]
    return f"{low}–{LENGTHS[place + 1] - 1}" if place + 1 < len(LENGTHS) else f"{low}+"


def picked(result: Result, standing: Standing) -> Floats:
    """Scores [n] of what a router chose at the highest willingness to pay."""
    found: Floats = result.tested.score[np.arange(len(result.tested)), standing.here.choice[:, -1]]
    return found


def _parts(result: Result, labels: Iterable[str], names: Iterable[str]) -> list[Part]:
    label = np.array(list(labels))
    best = result.tested.models.index(result.first.scores.frontier["best_single_model"])
    single, oracle = result.tested.score[:, best], result.tested.score.max(axis=1)
    by_router = {standing.name: picked(result, standing) for standing in result.standings}
    first = by_router[result.first.name]
    found = []
    for name in names:
        rows = label == name
        count = int(rows.sum())
        if not count:
            continue
        weights = bootstrap.draws(count, 0, DRAWS)
        found.append(
            Part(
                name,
                count,
                bootstrap.interval(bootstrap.mean(weights, first[rows])),
                bootstrap.interval(bootstrap.mean(weights, (first - single)[rows])),
                float(single[rows].mean()),
                float(oracle[rows].mean()),
                {router: float(score[rows].mean()) for router, score in by_router.items()},
            )
        )
    return found
