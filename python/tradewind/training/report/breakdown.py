"""Quality in parts of a set: by task, by language, by length.

Scores are those of the choices at the highest willingness to pay; what routing is worth over the whole range is the
gain over Zero, whose operating points and models are chosen on the whole set's training rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tradewind import bootstrap
from tradewind.bootstrap import Interval
from tradewind.training import datasets, value
from tradewind.training.results import Result, Standing

Floats = npt.NDArray[np.float64]

LENGTHS = (0, 50, 100, 200, 400, 800, 1600)
"""Characters at which a class of lengths begins."""
DRAWS = 200


@dataclass(frozen=True)
class Part:
    """Some questions of a set."""

    name: str
    n: int
    score: Interval
    """of the first evaluated router"""
    gain: Interval
    """what it is worth above Zero, paired, in units of score (see `gain_is`)"""
    best_single: float
    oracle: float
    routers: dict[str, float]
    """mean score of every router"""


def gain_is(result: Result) -> str:
    """What gains of this set are differences of."""
    if datasets.is_priced(result.tested):
        return "AIQ"
    return "mean score over all shares of strong calls" if len(result.tested.models) == 2 else "score"


def by_task(result: Result) -> list[Part]:
    """By name."""
    tasks = [str(task) for task in result.tested.tasks]
    return _parts(result, tasks, sorted(set(tasks)))


def by_language(result: Result) -> list[Part]:
    """The commonest first."""
    names, counts = np.unique(result.languages, return_counts=True)
    return _parts(result, result.languages, [str(names[place]) for place in np.argsort(-counts, kind="stable")])


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
        gained = _gain(result, rows, weights)
        found.append(
            Part(
                name,
                count,
                bootstrap.interval(bootstrap.mean(weights, first[rows])),
                bootstrap.interval(bootstrap.mean(weights, (first - single)[rows]) if gained is None else gained),
                float(single[rows].mean()),
                float(oracle[rows].mean()),
                {router: float(score[rows].mean()) for router, score in by_router.items()},
            )
        )
    return found


def _gain(result: Result, rows: npt.NDArray[np.bool_], weights: Floats) -> Floats | None:
    """[B]; None where only scores can be compared."""
    here = result.first.here
    part = replace(here, choice=here.choice[rows], quality=here.quality[rows])
    found = value.measure(result.tested.take(rows), result.learned, part, result.first.there, weights)
    return None if found is None else found.router - found.zero
