"""The questions that routers are compared on: what each of them decides there, and what that earns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tradewind import bootstrap
from tradewind.training import guards
from tradewind.training.datasets import DataSet
from tradewind.training.estimators import task_mean
from tradewind.training.routing import ProductionRouter, Routed, Router
from tradewind.training.scores import TABLE, Scores, measure
from tradewind.training.scores.case import Case

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """The questions of one pool, and the draws of them that all routers share."""

    tested: DataSet
    learned: DataSet
    """what operating points are chosen on"""
    weights: Floats
    """[B, n]"""
    told: Case
    """the task mean's"""

    @classmethod
    def of(cls, tested: DataSet, learned: DataSet, seed: int) -> Ground:
        """With draws by the seed."""
        told = task_mean.TaskMean(learned)
        weights = bootstrap.draws(len(tested), seed)
        return cls(tested, learned, weights, Case(tested, learned, told.route(tested), told.route(learned), weights))

    def score(self, here: Routed, there: Routed) -> Scores:
        """All figures of a router that chose so."""
        return measure(Case(self.tested, self.learned, here, there, self.weights, self.told))

    def judged(self, here: Routed, there: Routed) -> dict[str, Floats]:
        """Draws of the metrics by which a router is judged, alone."""
        case = Case(self.tested, self.learned, here, there, self.weights)
        return {row.name: row.compute(case) for row in TABLE if row.name in guards.JUDGED_BY and row.allowed(case)}

    def decide(self, router: Router, record: Path | None = None) -> tuple[Routed, Routed]:
        """A router's choices on both sides; those on the evaluated one are appended to `record`."""
        if isinstance(router, ProductionRouter) and record is not None:
            here = router.route_and_record(self.tested, record)
        else:
            here = router.route(self.tested)
        return here, here if _same(self.learned, self.tested) else router.route(self.learned)


def _same(a: DataSet, b: DataSet) -> bool:
    return a.name == b.name and a.ids == b.ids
