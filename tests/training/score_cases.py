"""Small outcome tables as arrays, and routers on them, for tests of metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from tradewind import bootstrap
from tradewind.training.datasets import DataSet
from tradewind.training.routing import WILLINGNESS, Forecasts, Routed, sweep
from tradewind.training.scores.case import Case

Floats = npt.NDArray[np.float64]


def table(score: Floats, cost: Floats | None = None, task: str = "ours/all") -> DataSet:
    """A set of n questions × M models with these scores and costs (none: not priced)."""
    n, models = score.shape
    unknown = np.full(score.shape, np.nan)
    names = tuple(f"q{row}" for row in range(n))
    return DataSet(
        name="ours",
        licence="ours",
        source="sha256:ours",
        ids=names,
        texts=names,
        variants=names,
        tasks=np.full(n, task),
        stems=np.array(names),
        kept=np.ones(n, bool),
        models=tuple(f"m{column:02}" for column in range(models)),
        score=score,
        cost_usd=unknown if cost is None else cost,
        output_tokens=unknown,
        input_price=np.full(models, np.nan),
        output_price=np.full(models, np.nan),
    )


def chosen(*settings: list[int]) -> Routed:
    """A router with these choices, a list of n models for each setting; its forecasts are what it chooses last."""
    choice = np.array(settings, np.int16).T
    return Routed(choice, (choice[:, -1:] == np.arange(choice.max() + 1)).astype(np.float64))


def singles(data: DataSet) -> Routed:
    """Each model for all questions, one a setting."""
    choice = np.tile(np.arange(len(data.models), dtype=np.int16), (len(data), 1))
    return Routed(choice, np.tile(data.score.mean(axis=0), (len(data), 1)))


def case(data: DataSet, router: Routed, weights: Floats | None = None, told: Routed | None = None) -> Case:
    """A router whose operating points are chosen on the rows that it is scored on."""
    drawn = np.ones((1, len(data))) if weights is None else weights
    above = None if told is None else Case(data, data, told, told, drawn)
    return Case(data, data, router, router, drawn, above)


def drawn_case(seed: int, questions: int = 30, models: int = 4, task: str = "mmlu_pro/law") -> Case:
    """Scores, costs and forecasts at random; test rows are not training rows; the task mean is told nothing."""
    rng = np.random.default_rng(seed)
    cost = np.geomspace(1e-5, 1e-3, models) * rng.uniform(0.5, 2.0, (2, questions, models))
    ability = np.linspace(0.3, 0.7, models)
    score = (rng.random((2, questions, models)) < ability).astype(np.float64)
    # Both answers are there in each column, whatever the seed.
    score[:, 0], score[:, 1] = 0.0, 1.0
    tested, learned = (table(score[part], cost[part], task) for part in (0, 1))
    seen = [np.clip(0.5 * score[part] + 0.5 * rng.random(score[part].shape), 0, 1) for part in (0, 1)]
    here, there = (sweep(Forecasts(seen[part], cost[part])) for part in (0, 1))
    mean = [sweep(Forecasts(np.tile(ability, (questions, 1)), cost[part])) for part in (0, 1)]
    weights = bootstrap.draws(questions, seed, 20)
    return Case(tested, learned, here, there, weights, Case(tested, learned, mean[0], mean[1], weights))


SEEDS = st.integers(0, 2**32 - 1)
LEVELS = len(WILLINGNESS)
