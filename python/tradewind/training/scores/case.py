"""One router on one pool, and what several metrics read of it; each is found once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import mean
from tradewind.training import datasets
from tradewind.training.datasets import DataSet
from tradewind.training.routing import Routed
from tradewind.training.scores import references
from tradewind.training.scores.frontier import Points, hull

Floats = npt.NDArray[np.float64]
Found = TypeVar("Found")

Need = Literal["costs", "pair", "forecasts", "many models", "reference", "task labels"]
"""What a metric may ask of a set or a router, beyond scores and choices."""

MANY = 20
"""Models: pools of ten strong and of ten weak ones then have none in common."""


@dataclass(frozen=True)
class Case:
    """What a router chose on test rows (`here`) and on training rows (`there`), to be scored on the former.

    Whatever is chosen (operating points, the best single model, which of a pair is strong) is chosen on training
    rows.
    """

    tested: DataSet
    learned: DataSet
    here: Routed
    there: Routed
    weights: Floats
    """[B, n] over test rows, see `tradewind.bootstrap`"""
    told: Case | None = None
    """the task mean's, which is told each question's task, on the same rows and weights"""
    found: dict[Callable[[Case], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """see `once`"""

    @cached_property
    def allows(self) -> frozenset[Need]:
        """The needs that are met."""
        met: dict[Need, bool] = {
            "costs": datasets.is_priced(self.tested) and datasets.is_priced(self.learned),
            "pair": len(self.tested.models) == 2,
            "forecasts": self.here.forecasts,
            "many models": len(self.tested.models) >= MANY,
            "reference": references.known(self.tested.tasks),
            "task labels": self.told is not None,
        }
        return frozenset(need for need, is_met in met.items() if is_met)

    @cached_property
    def single_cost(self) -> Floats:
        """Mean cost of each single model, [B, M]."""
        return mean(self.weights, self.tested.cost_usd)

    @cached_property
    def single_quality(self) -> Floats:
        """Mean score of each single model, [B, M]."""
        return mean(self.weights, self.tested.score)

    @cached_property
    def cheapest(self) -> Floats:
        """Mean cost of the cheapest single model, [B]."""
        return np.asarray(self.single_cost.min(axis=1))

    @cached_property
    def dearest(self) -> Floats:
        """Mean cost of the dearest single model, [B]."""
        return np.asarray(self.single_cost.max(axis=1))

    @cached_property
    def best(self) -> int:
        """The best single model, the cheapest among equals."""
        learned = self.learned
        return int(np.lexsort((np.nan_to_num(learned.cost_usd).mean(axis=0), -learned.score.mean(axis=0)))[0])

    @property
    def best_cost(self) -> Floats:
        """Its mean cost, [B]."""
        return self.single_cost[:, self.best]

    @property
    def best_quality(self) -> Floats:
        """Its mean score, [B]."""
        return self.single_quality[:, self.best]

    @cached_property
    def pair(self) -> tuple[int, int]:
        """(the weak model, the strong one) of a pair."""
        return weak_and_strong(self.learned.score)

    @cached_property
    def trained(self) -> Points:
        """Each level of willingness on training rows, [G]."""
        cost, quality = (picked(table, self.there.choice).mean(axis=0) for table in (self.learned.cost_usd, self.learned.score))
        return Points(cost, quality)

    @cached_property
    def settings(self) -> Points:
        """Each level of willingness on test rows, [B, G]."""
        cost, quality = (
            mean(self.weights, picked(table, self.here.choice)) for table in (self.tested.cost_usd, self.tested.score)
        )
        return Points(cost, quality)

    @cached_property
    def points(self) -> Points:
        """The router's operating points, [B, V]: the hull over levels of willingness, by rising training cost."""
        chosen = self.here.choice[:, hull(*self.trained)]
        cost, quality = (mean(self.weights, picked(table, chosen)) for table in (self.tested.cost_usd, self.tested.score))
        return Points(cost, quality)

    @cached_property
    def zero(self) -> Points:
        """The Zero router's, [B, V]: the hull of single models (RouterBench, section 3.2)."""
        vertices = hull(self.learned.cost_usd.mean(axis=0), self.learned.score.mean(axis=0))
        return Points(self.single_cost[:, vertices], self.single_quality[:, vertices])

    @cached_property
    def quality(self) -> Floats:
        """Mean score where cost is no object, [B]."""
        return self.settings.quality[:, -1]

    @cached_property
    def random(self) -> Floats:
        """Mean score of a model drawn anew for each question, [B]."""
        return np.asarray(self.single_quality.mean(axis=1))

    @cached_property
    def oracle(self) -> Floats:
        """Mean score of the best answer to each question, [B]."""
        return mean(self.weights, self.tested.score.max(axis=1))


def once(find: Callable[[Case], Found]) -> Callable[[Case], Found]:
    """What one family's metrics read of a case, found once for it."""

    @wraps(find)
    def known(case: Case) -> Found:
        if find not in case.found:
            case.found[find] = find(case)
        found: Found = case.found[find]
        return found

    return known


def weak_and_strong(score: Floats) -> tuple[int, int]:
    """Columns of a pair's scores [n, 2] by rising mean; the first of equals is the weak one."""
    weak, strong = np.argsort(score.mean(axis=0), kind="stable").tolist()
    return weak, strong


def picked(table: Floats, choice: npt.NDArray[np.integer]) -> Floats:
    """Cells [n, G] of a table [n, M] at the chosen columns [n, G]."""
    found: Floats = np.take_along_axis(table, choice.astype(np.int64), axis=1)
    return found
