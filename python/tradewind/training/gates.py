"""What a predictor must show before it is published.

Non-inferiority: on each validation set and each left-out task (tasks with few questions pooled by set), the
95 % interval of router − Zero, paired over questions, does not lie below 0; and the mean over the left-out
tasks is at least −.003. Gain: the value over Zero on the validation sets, pooled by questions, has a lower
bound above 0. Value is AIQ, or for a pair without costs the mean score over all shares of strong calls (APGR
in units of score).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind import bootstrap
from tradewind.bootstrap import Interval
from tradewind.training import recipe, tier1, value
from tradewind.training.corpus import Corpus, Material
from tradewind.training.recipe import Say, silent
from tradewind.training.tier1 import Settings, Tier1

Floats = npt.NDArray[np.float64]

MEAN_FLOOR = -0.003
DRAWS = 500


@dataclass(frozen=True)
class Comparison:
    """Router − Zero on some questions."""

    name: str
    n: int
    metric: str
    difference: Interval
    draws: Floats
    """[B]"""

    @property
    def inferior(self) -> bool:
        """Whether the interval lies below 0."""
        return self.difference.high < 0

    def document(self) -> dict[str, Any]:
        """For the manifest."""
        rounded = {key: round(number, 5) for key, number in asdict(self.difference).items()}
        return {"name": self.name, "n": self.n, "metric": self.metric, **rounded}


@dataclass(frozen=True)
class Gates:
    """Both gates with their figures."""

    validation: tuple[Comparison, ...]
    tasks: tuple[Comparison, ...]

    @property
    def inferior(self) -> tuple[Comparison, ...]:
        """Where the router is worse than not routing."""
        return tuple(found for found in (*self.validation, *self.tasks) if found.inferior)

    @property
    def task_mean(self) -> float:
        """Mean difference over the left-out tasks."""
        return float(np.mean([found.difference.value for found in self.tasks])) if self.tasks else 0.0

    @property
    def gain(self) -> Interval:
        """Validation sets pooled, each weighted by its questions."""
        if not self.validation:
            return Interval(0.0, 0.0, 0.0)
        weight = np.array([found.n for found in self.validation], float)
        return bootstrap.interval(weight @ np.stack([found.draws for found in self.validation]) / weight.sum())

    @property
    def not_inferior(self) -> bool:
        """The first gate."""
        return not self.inferior and self.task_mean >= MEAN_FLOOR

    @property
    def gains(self) -> bool:
        """The second gate."""
        return self.gain.low > 0

    @property
    def passed(self) -> bool:
        """Both."""
        return self.not_inferior and self.gains

    def document(self) -> dict[str, Any]:
        """For the manifest and for `train --json`."""
        return {
            "passed": self.passed,
            "non_inferiority": {
                "passed": self.not_inferior,
                "inferior": [found.name for found in self.inferior],
                "task_mean": round(self.task_mean, 5),
                "task_mean_floor": MEAN_FLOOR,
                "validation": [found.document() for found in self.validation],
                "left_out_tasks": [found.document() for found in self.tasks],
            },
            "gain": {
                "passed": self.gains,
                **{key: round(number, 5) for key, number in asdict(self.gain).items()},
            },
        }


def check(corpus: Corpus, held_out: frozenset[str], fitted: Tier1, settings: Settings, seed: int, say: Say = silent) -> Gates:
    """`fitted` has not seen the stems in `held_out`; for the left-out tasks other predictors are fitted
    alike."""
    pools = value.pools(corpus.materials)
    parts = zip(recipe.only(pools, held_out), recipe.without(pools, held_out), strict=True)
    validation = [compare(here.data.name, fitted, here, there, seed) for here, there in parts]
    tasks = _left_out(corpus, pools, settings, seed, say)
    return Gates(tuple(found for found in validation if found is not None), tuple(tasks))


def compare(name: str, fitted: Tier1, tested: Material, learned: Material, seed: int) -> Comparison | None:
    """Router against Zero on the same draws; None where nothing can be measured."""
    if not len(tested.data) or not len(learned.data) or not recipe.known(fitted, tested):
        return None
    weights = bootstrap.draws(len(tested.data), seed, DRAWS)
    found = value.measure(tested.data, learned.data, value.route(fitted, tested), value.route(fitted, learned), weights)
    if found is None:
        return None
    difference = found.router - found.zero
    return Comparison(name, len(tested.data), found.metric, bootstrap.interval(difference), difference)


def _left_out(corpus: Corpus, pools: Sequence[Material], settings: Settings, seed: int, say: Say) -> list[Comparison]:
    """Whole tasks are left out together, a quarter of them at a time; other quarters than settings were
    chosen on."""
    found = []
    for fold in range(recipe.TASK_FOLDS):
        held_out = recipe.task_fold(corpus.materials, fold, seed + 1)
        kept = tuple(m for m in recipe.without(corpus.materials, held_out) if len(m.data))
        if not held_out or not kept:
            continue
        say(f"leaving out tasks, {fold + 1} of {recipe.TASK_FOLDS}", 0, 1)
        fitted = tier1.fit(replace(corpus, materials=kept), settings, seed)
        for pool, rest in zip(pools, recipe.without(pools, held_out), strict=True):
            for name, rows in recipe.task_groups(pool.data, fold, seed + 1):
                compared = compare(name, fitted, pool.take(rows), rest, seed)
                if compared is not None:
                    found.append(compared)
    return found
