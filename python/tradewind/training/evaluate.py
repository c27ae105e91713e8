"""Replays the production `decide` on outcome tables and scores it: what a router would have earned on real
questions.

Operating points (levels of willingness to pay) are chosen on rows outside the evaluated split and scored
inside it; so are the Zero router's mixing of single models, the best single model, and which of a pair is the
strong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.artifacts import predictor
from tradewind.errors import UsageError, listed
from tradewind.training import (
    datasets,
    estimation,
    manifest,
    prices,
    production,
    prompts,
    report,
    splits,
    user_router,
)
from tradewind.training.datasets import DataSet
from tradewind.training.estimators import task_mean
from tradewind.training.fitting import Given, Routers
from tradewind.training.routing import WILLINGNESS, ProductionRouter, Router
from tradewind.training.scores import Scores, bootstrap, measure
from tradewind.training.splits import Split

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What `evaluate` is told."""

    data: Path
    sets: tuple[str, ...] = ()
    """empty: every set with question texts"""
    predictor: Path | None = None
    """folder or file; with neither this nor `fit` nor `router`, the shipped one"""
    fit: str | None = None
    """a row of the estimator table"""
    router: str | None = None
    """`module:Class` of the user's own (see `user_router`)"""
    split: str = "none"
    plans_out: Path | None = None
    decisions_out: Path | None = None
    report: Path | None = None
    seed: int = 0
    """of the bootstrap and of fitting"""


def run(options: Options, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything that the command does; gives its JSON document."""
    _refuse_contradictions(options)
    tables = _load(options, say)
    split = splits.parse(options.split, tables)
    routers, trained_on, what = _routers(options, split, tables, say)
    found: dict[str, Scores] = {}
    for data in tables:
        pool = datasets.pool(data)
        rows = split.tested(pool)
        tested, learned = pool.take(rows), pool.take(~rows)
        if not len(tested):
            continue
        say(f"{data.name}: {len(tested)} questions, {len(pool.models)} models")
        if len(learned):
            router: Router = routers(learned)
        else:
            router = _known_only(options, pool, split)
            learned = pool
        _publish_plan(options, pool.name, router)
        if options.decisions_out is not None and not found:
            options.decisions_out.parent.mkdir(parents=True, exist_ok=True)
            options.decisions_out.write_bytes(b"")
        scores = score(tested, learned, router, options)
        found[data.name] = replace(
            scores,
            facts={
                "share_of_questions_trained_on": _share_seen(tested, trained_on),
                "operating_points_chosen_on": "the evaluated rows themselves" if rows.all() else "rows outside the split",
                "licence": data.licence,
            },
        )
    if not found:
        raise UsageError(f"split `{options.split}` leaves no question to evaluate in {', '.join(d.name for d in tables)}")
    document = {
        "router": what,
        "split": options.split,
        "operating_points_chosen_on": ", or ".join(sorted({s.facts["operating_points_chosen_on"] for s in found.values()})),
        "willingness_to_pay_usd": list(WILLINGNESS),
        "sets": {name: scores.document() for name, scores in found.items()},
    }
    if options.report is not None:
        report.write(options.report, document)
    return document


def _refuse_contradictions(options: Options) -> None:
    named = [f"--{name}" for name in ("predictor", "fit", "router") if getattr(options, name) is not None]
    if len(named) > 1:
        raise UsageError(f"{listed(named)} exclude each other: give one of them", named[-1])
    if options.router is not None:
        _refuse_outputs(options, options.router)


def _refuse_outputs(options: Options, router: str) -> None:
    """Only what runs `decide` has a plan and decisions to write."""
    for flag, place in (("--plans-out", options.plans_out), ("--decisions-out", options.decisions_out)):
        if place is not None:
            raise UsageError(f"{flag} is for routers that run `decide` on a plan, which `{router}` does not", flag)


def _load(options: Options, say: Callable[[str], None]) -> list[DataSet]:
    """The named sets; else all that have question texts."""
    listed_prices = prices.load(options.data)
    if options.sets:
        return [datasets.load(options.data, name, listed_prices) for name in dict.fromkeys(options.sets)]
    tables = []
    for name in datasets.available(options.data):
        try:
            tables.append(datasets.load(options.data, name, listed_prices))
        except UsageError as error:
            say(f"left out: {error.message}")
    if not tables:
        raise UsageError(f"{options.data} holds no data set with question texts", str(options.data))
    return tables


def _routers(
    options: Options, split: Split, tables: Sequence[DataSet], say: Callable[[str], None]
) -> tuple[Routers, frozenset[str] | None, str]:
    """(router by pool, first digits of the stems it was trained on if that is known, what it is)"""
    if options.router is not None:
        found = user_router.named(options.router)
        if found.learns and split.held_out is None:
            raise UsageError(f"`{found.name}` has `fit`, which needs a split: without one it would learn what it is tested on")
        return found.router, None, found.name
    if options.fit is None:
        artifact = predictor.read(options.predictor)

        def shipped(learned: DataSet) -> Router:
            return production.router(artifact.graph, artifact.profiles, learned)

        return shipped, manifest.training_stems(artifact.folder), artifact.digest
    entry = estimation.named(options.fit)
    if split.held_out is None:
        raise UsageError(f"`--fit {entry.name}` needs a split: without one it would learn what it is tested on")
    say(f"fitting {entry.name}")
    given = _given(options, split, tables, say)
    stems = {str(stem)[: manifest.STEM_DIGITS] for data in given.sets for stem in data.stems}
    return entry.prepare(given), frozenset(stems), f"fitted: {entry.name}"


def _given(options: Options, split: Split, tables: Sequence[DataSet], say: Callable[[str], None]) -> Given:
    """The training sets without the evaluated questions. A set of the data folder that is not one of them is
    not learned from, except for profiles of its own models."""
    listed = prices.load(options.data)
    loaded = {data.name: data for data in tables}
    present = set(datasets.available(options.data))
    sets = []
    for name in datasets.TRAINING:
        if name not in present:
            continue
        data = loaded[name] if name in loaded else datasets.load(options.data, name, listed)
        sets.append(datasets.for_training(data.take(split.trained(data)), ()))
    if not any(len(data) for data in sets):
        # A folder of a user's own sets: these are then what there is to learn from.
        sets = [datasets.for_training(data.take(split.trained(data)), ()) for data in tables]
    return Given([data for data in sets if len(data)], prompts.halves(prompts.load())[0], options.seed, _stages(say))


def _stages(say: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Says each stage of fitting once."""
    said: set[str] = set()

    def report(stage: str, done: int, total: int) -> None:
        if stage not in said:
            said.add(stage)
            say(stage)

    return report


def _known_only(options: Options, pool: DataSet, split: Split) -> Router:
    given = options.router or options.fit
    known = user_router.named(options.router) if options.router is not None else None
    if known is not None and not known.learns:
        return known.router(pool)
    if given is not None:
        raise UsageError(f"split `{split.name}` holds out every question of `{pool.name}`: nothing to fit `{given}` on")
    artifact = predictor.read(options.predictor)
    return production.router(artifact.graph, artifact.profiles, None, pool)


def _share_seen(tested: DataSet, trained_on: frozenset[str] | None) -> float | None:
    if trained_on is None:
        return None
    seen = np.isin([stem[: manifest.STEM_DIGITS] for stem in tested.stems], sorted(trained_on))
    return round(float(seen.mean()), 4)


def _publish_plan(options: Options, name: str, router: Router) -> None:
    """Writes what `decide` needs to repeat the decisions: the plan, and the predictor if it was fitted here."""
    if not isinstance(router, ProductionRouter):
        _refuse_outputs(options, options.fit or "")
        return
    if options.plans_out is None:
        return
    options.plans_out.mkdir(parents=True, exist_ok=True)
    (options.plans_out / f"{name}.json").write_bytes(router.source.to_json())
    if options.fit is not None:
        predictor.write_bare(options.plans_out / "predictor", router.predictor)


def score(tested: DataSet, learned: DataSet, router: Router, options: Options) -> Scores:
    """Scores a router on one pool."""
    record = options.decisions_out if isinstance(router, ProductionRouter) else None
    if isinstance(router, ProductionRouter) and record is not None:
        here = router.route_and_record(tested, record)
    else:
        here = router.route(tested)
    there = here if learned is tested or _same(learned, tested) else router.route(learned)
    weights = bootstrap.draws(len(tested), options.seed)
    told = task_mean.TaskMean(learned)
    return measure(tested, learned, here, there, told.route(tested), told.route(learned), weights)


def _same(a: DataSet, b: DataSet) -> bool:
    return a.name == b.name and a.ids == b.ids
