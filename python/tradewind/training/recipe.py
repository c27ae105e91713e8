"""How the shipped predictor is made from a corpus: settings chosen by routing value on held-out questions,
then one fit.

Everything here happens on training questions alone; `evaluate --fit tier1` and `train` share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.training import forecast, splits, tier1, value
from tradewind.training.corpus import Corpus, Material, Own
from tradewind.training.datasets import DataSet
from tradewind.training.prompts import spearman
from tradewind.training.tier1 import Settings, Tier1

Floats = npt.NDArray[np.float64]
Say = Callable[[str, int, int], None]

TUNED_SHARE = 0.2
"""of the training stems, held out while settings are chosen"""
TASK_FOLDS = 4
LARGE_TASK = 300
CLUSTER_SDS = (0.02, 0.05, 0.1, 0.2, 0.4)
DIRECT_SHARES = (0.0, 0.3, 0.5)
ALIKE_SPLITS = 3
"""Rehearsals where what comes is like what was learned: one split alone says little between settings this close."""
HARM = 10.0
"""How much more harm counts than good"""
MINIMUM_SET = 100
"""Held-out questions below which a set has no say."""


def silent(stage: str, done: int, total: int) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Trial:
    """One setting and what it was worth above Zero, in units of score."""

    cluster_sd: float
    direct_share: float
    in_domain: float
    """mean over sets of held-out questions"""
    left_out: float
    """mean over left-out tasks"""
    worst: float
    """mean over all of them of what lies below Zero: doing harm weighs more than doing good"""

    @property
    def merit(self) -> float:
        """What is maximised where what comes may not be like what was learned."""
        return self.in_domain + self.left_out + HARM * self.worst


@dataclass(frozen=True)
class Choice:
    """The settings, and how they were found."""

    settings: Settings
    trials: tuple[Trial, ...]

    def document(self) -> dict[str, Any]:
        """For the manifest."""
        trials = [{name: round(number, 5) for name, number in asdict(trial).items()} for trial in self.trials]
        return {"settings": asdict(self.settings), "trials": trials}


def fit(
    corpus: Corpus, seed: int, say: Say = silent, settings: Settings | None = None, alike: bool = False
) -> tuple[Tier1, Choice]:
    """Chooses, then fits on everything."""
    chosen = choose(corpus, settings or Settings(), seed, say, alike)
    return tier1.fit(corpus, chosen.settings, seed, _part(say, "fitting")), chosen


def choose(corpus: Corpus, settings: Settings, seed: int, say: Say, alike: bool) -> Choice:
    """How freely topics tell models apart and how much the direct forecast says, by routing value: on held-out questions and,
    where what comes may not be `alike`, on left-out tasks."""
    if alike:  # Then there are no other tasks, whose outcomes bear out a part of the difficulty only.
        settings = replace(settings, trust=1.0)
    rehearsals = _rehearsals(corpus, settings, seed, say, alike)
    trials: list[Trial] = []
    for sd in CLUSTER_SDS:
        say("choosing shrinkage", len(trials), len(CLUSTER_SDS) * len(DIRECT_SHARES))
        trials += _attempts(rehearsals, sd)
    best = max(trials, key=lambda trial: trial.in_domain if alike else trial.merit)
    return Choice(replace(settings, cluster_sd=best.cluster_sd, direct_share=best.direct_share), tuple(trials))


@dataclass(frozen=True)
class Rehearsal:
    """A predictor fitted without some questions, and these questions."""

    fitted: Tier1
    learned: tuple[Material, ...]
    tested: tuple[tuple[Material, Material], ...]
    """(held-out rows, training rows) of pools"""
    in_domain: bool


def _rehearsals(corpus: Corpus, settings: Settings, seed: int, say: Say, alike: bool) -> list[Rehearsal]:
    """Some with held-out questions and, where what comes may not be alike, some with left-out tasks."""
    sets = [material.data for material in corpus.materials]
    drawn = [splits.held_out(sets, seed + 1000 * again, TUNED_SHARE) for again in range(ALIKE_SPLITS if alike else 1)]
    parts = [*drawn, *(task_fold(corpus.materials, fold, seed) for fold in range(0 if alike else TASK_FOLDS))]
    pools = value.pools(corpus.materials)
    found = []
    for number, held_out in enumerate(parts):
        learned = tuple(m for m in without(corpus.materials, held_out) if len(m.data))
        if not held_out or not learned:
            continue
        stage = f"rehearsing, {number + 1} of {len(parts)}"
        fitted = tier1.fit(replace(corpus, materials=learned), settings, seed, _part(say, stage))
        tested = []
        for pool, rest in zip(pools, without(pools, held_out), strict=True):
            groups = (
                [np.isin(pool.data.stems, sorted(held_out))]
                if number < len(drawn)
                else [rows for _, rows in task_groups(pool.data, number - len(drawn), seed)]
            )
            here = [pool.take(rows) for rows in groups if rows.sum() >= MINIMUM_SET]
            if len(rest.data) and known(fitted, pool):
                tested += [(part, rest) for part in here]
        found.append(Rehearsal(fitted, learned, tuple(tested), number < len(drawn)))
    return found


def _attempts(rehearsals: Sequence[Rehearsal], sd: float) -> list[Trial]:
    """One for each share of the direct forecast."""
    shrunk = [tier1.with_cluster_sd(rehearsal.fitted, rehearsal.learned, sd) for rehearsal in rehearsals]
    return [_attempt(rehearsals, [tier1.with_direct_share(f, share) for f in shrunk], sd, share) for share in DIRECT_SHARES]


def _attempt(rehearsals: Sequence[Rehearsal], changed: Sequence[Tier1], sd: float, share: float) -> Trial:
    inside: list[float] = []
    outside: list[float] = []
    for rehearsal, fitted in zip(rehearsals, changed, strict=True):
        found = [gain(fitted, here, there) for here, there in rehearsal.tested]
        (inside if rehearsal.in_domain else outside).extend(number for number in found if number is not None)
    return Trial(
        sd,
        share,
        _mean(inside),
        _mean(outside),
        _mean([min(number, 0.0) for number in (*inside, *outside)]),
    )


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else 0.0


def gain(fitted: Tier1, tested: Material, learned: Material) -> float | None:
    """Routing value above Zero's on one pool; None where it cannot be measured."""
    once = np.ones((1, len(tested.data)))
    values = value.measure(tested.data, learned.data, value.route(fitted, tested), value.route(fitted, learned), once)
    return None if values is None else float(values.router[0] - values.zero[0])


def task_fold(materials: Sequence[Material], fold: int, seed: int) -> frozenset[str]:
    """The stems of a quarter of all tasks, wherever these questions occur."""
    return frozenset(
        str(stem)
        for material in materials
        for stem, task in zip(material.data.stems, material.data.tasks, strict=True)
        if splits.fold_of(str(task), seed, TASK_FOLDS) == fold
    )


def task_groups(data: DataSet, fold: int, seed: int) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """(name, mask): each large task of the fold, and its small ones together."""
    small = np.zeros(len(data), bool)
    found = []
    for task in np.unique(data.tasks):
        if splits.fold_of(str(task), seed, TASK_FOLDS) != fold:
            continue
        rows = data.tasks == task
        if rows.sum() >= LARGE_TASK:
            found.append((f"{data.name}: {task}", rows))
        else:
            small |= rows
    if small.any():
        found.append((f"{data.name}: small tasks, part {fold + 1}", small))
    return found


def known(fitted: Tier1, material: Material) -> bool:
    """Whether every model of the set has a profile."""
    return all(model in fitted.profiles for model in material.data.models)


def without(materials: Sequence[Material], held_out: frozenset[str]) -> list[Material]:
    """The rows outside the split."""
    barred = sorted(held_out)
    return [material.take(~np.isin(material.data.stems, barred)) for material in materials]


def only(materials: Sequence[Material], held_out: frozenset[str]) -> list[Material]:
    """The rows inside the split."""
    allowed = sorted(held_out)
    return [material.take(np.isin(material.data.stems, allowed)) for material in materials]


def chat_ranking(fitted: Tier1, own: Own, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Spearman(label, forecast gain of the dear over the cheap model) on our own prompts, by pair; and the
    share of the prompts beyond the radius."""
    prediction = fitted.predict(own.x)
    found: dict[str, Any] = {
        "n": len(own.labels),
        "difficulty": _round(spearman(prediction.difficulty.mean(axis=1), own.labels)),
    }
    for cheap, dear in pairs:
        if cheap in fitted.profiles and dear in fitted.profiles:
            quality, _ = forecast.quality(prediction, fitted.parameters, [fitted.profiles[cheap], fitted.profiles[dear]])
            found[f"{dear} over {cheap}"] = _round(spearman(quality[:, 1] - quality[:, 0], own.labels))
    near = forecast.nearness(prediction, fitted.parameters)
    found["share_beyond_inner_radius"] = _round(float((near < 1).mean()))
    found["share_beyond_outer_radius"] = _round(float((near <= 0).mean()))
    return found


def _round(number: float) -> float:
    return round(number, 4)


def _part(say: Say, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: say(stage, done, total)
