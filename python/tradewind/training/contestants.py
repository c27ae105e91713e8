"""Routers that stand side by side in one evaluation: the evaluated ones, and the four that every table has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tradewind.artifacts import predictor
from tradewind.errors import UsageError
from tradewind.training import manifest, production, user_router
from tradewind.training.datasets import DataSet
from tradewind.training.estimators import knn, length, mean, task_mean
from tradewind.training.fitting import Entry, Given
from tradewind.training.routing import ProductionRouter, Router
from tradewind.training.splits import Cold, Split

ZERO = "zero"
PREDICTOR = "predictor"

Build = Callable[[DataSet | None, DataSet], Router]
"""From a pool's rows outside the split (None: it has none) and the pool to its router."""


@dataclass(frozen=True)
class Contestant:
    """A router by name, before it has seen the pool that it is to decide on."""

    name: str
    what: str
    """as the document says it"""
    build: Build
    trained_on: frozenset[str] | None = None
    """first digits of the stems that it was trained on; None: nobody knows"""
    sets: frozenset[str] = frozenset()
    """data sets that it was trained on"""
    learns: bool = True
    """whether `build` learns more from the pool's rows than profiles"""

    def domain(self, data: DataSet, router: Router) -> str:
        """`in` if it was trained on questions of the set, `transfer` if it had of it profiles at most."""
        learned_here = self.learns and not isinstance(router, ProductionRouter)
        return "in" if learned_here or data.name in self.sets else "transfer"


def shipped(place: Path | None) -> Contestant:
    """The predictor artifact at `place`, heads frozen; None is the shipped one."""
    artifact = predictor.read(place)

    def build(learned: DataSet | None, pool: DataSet) -> Router:
        return production.router(artifact.graph, artifact.profiles, learned, pool)

    sets = frozenset(str(entry["set"]) for entry in artifact.manifest.get("data", ()))
    return Contestant(PREDICTOR, artifact.digest, build, manifest.training_stems(artifact.folder), sets)


def of_the_user(name: str, split: Split) -> Contestant:
    """A class of the user's own."""
    found = user_router.named(name)
    if found.learns and split.held_out is None:
        raise UsageError(f"`{found.name}` has `fit`, which needs a split: without one it would learn what it is tested on")

    def build(learned: DataSet | None, pool: DataSet) -> Router:
        return found.router(_needed(found.name, learned, pool, split) if found.learns else pool if learned is None else learned)

    return Contestant(name, name, build, learns=found.learns)


def fitted(entry: Entry, given: Given, split: Split) -> Contestant:
    """An estimator, fitted without the evaluated questions."""
    routers = entry.prepare(given)

    def build(learned: DataSet | None, pool: DataSet) -> Router:
        return routers(_needed(entry.name, learned, pool, split))

    return Contestant(entry.name, f"fitted: {entry.name}", build, _stems(given), _names(given))


def started_cold(entry: Entry, given: Given, split: Split, cold: Cold) -> Contestant:
    """An estimator that was fitted without a model, and then got some of its graded answers."""
    kept = replace(given, sets=[_without(data, cold.model) for data in given.sets])
    routers = entry.prepare(kept)

    def build(learned: DataSet | None, pool: DataSet) -> Router:
        return routers(_thinned(_needed(entry.name, learned, pool, split), cold, given.seed))

    what = f"fitted: {entry.name}, {cold.model} from {cold.answers} answers"
    return Contestant(f"{entry.name}:cold", what, build, _stems(given), _names(given))


def baselines(given: Given | None) -> list[Contestant]:
    """Zero, task mean, length only, kNN: what every router is to be read beside.

    With nothing to learn from outside the evaluated questions (`given` is None, or a pool without such rows)
    Zero and task mean stand for what means known in hindsight would give, and the others are left out.
    """
    known = given or Given([], [], 0)
    return [
        Contestant(name, entry.about, _from_rows(entry.prepare(known)), _stems(known), _names(known))
        for name, entry in BASELINES.items()
        if given is not None or name in HINDSIGHT
    ]


BASELINES = {ZERO: mean.ENTRY} | {entry.name: entry for entry in (task_mean.ENTRY, length.ENTRY, knn.ENTRY)}
"""The rows of the estimator table behind them: `mean` is the Zero router."""
HINDSIGHT = (ZERO, task_mean.ENTRY.name)
"""Those that need no rows outside the split."""


def _from_rows(routers: Callable[[DataSet], Router]) -> Build:
    def build(learned: DataSet | None, pool: DataSet) -> Router:
        return routers(pool if learned is None else learned)

    return build


def _needed(name: str, learned: DataSet | None, pool: DataSet, split: Split) -> DataSet:
    if learned is None:
        raise UsageError(f"split `{split.name}` holds out every question of `{pool.name}`: nothing to fit `{name}` on")
    return learned


def _without(data: DataSet, model: str) -> DataSet:
    return data.with_models([column for column, name in enumerate(data.models) if name != model])


def _thinned(data: DataSet, cold: Cold, seed: int) -> DataSet:
    """Without all but some answers of the model, drawn by the seed; its prices stay known."""
    column = data.models.index(cold.model)
    hidden = np.random.default_rng(seed).permutation(len(data))[cold.answers :]
    score, tokens = data.score.copy(), data.output_tokens.copy()
    score[hidden, column] = tokens[hidden, column] = np.nan
    return replace(data, score=score, output_tokens=tokens)


def _stems(given: Given) -> frozenset[str]:
    return frozenset(str(stem)[: manifest.STEM_DIGITS] for data in given.sets for stem in data.stems)


def _names(given: Given) -> frozenset[str]:
    return frozenset(data.name for data in given.sets)
