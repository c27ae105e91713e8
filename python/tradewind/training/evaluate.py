"""Replays the production `decide` on outcome tables and scores it: what a router would have earned on real
questions.

Operating points (levels of willingness to pay) are chosen on rows outside the evaluated split and scored
inside it; so are the Zero router's mixing of single models, the best single model, and which of a pair is the
strong one. Without a split all of them are chosen on the evaluated rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.artifacts import predictor
from tradewind.errors import UsageError
from tradewind.training import (
    contestants,
    datasets,
    estimation,
    guards,
    prices,
    prompts,
    sources,
    splits,
    spread,
)
from tradewind.training.contestants import Contestant
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Given
from tradewind.training.ground import Ground
from tradewind.training.results import Result, Round, Standing
from tradewind.training.routing import WILLINGNESS, ProductionRouter, Router
from tradewind.training.splits import Split

Say = Callable[[str], None]

COLD_START = "tier1"
"""The estimator that cold starts are of, where none is named."""


@dataclass(frozen=True)
class Options:
    """What `evaluate` is told."""

    data: Path
    sets: tuple[str, ...] = ()
    """empty: every set with question texts"""
    predictor: Path | None = None
    """folder or file; with neither this nor `fit` nor `router` the shipped one, and for a report every estimator"""
    fit: tuple[str, ...] = ()
    """rows of the estimator table"""
    router: tuple[str, ...] = ()
    """`module:Class` of the user's own (see `user_router`)"""
    split: str = "none"
    """a row of the protocol table with its argument (see `splits`)"""
    plans_out: Path | None = None
    decisions_out: Path | None = None
    report: Path | None = None
    seed: int = 0
    """of the bootstrap and of fitting"""


def run(options: Options, say: Say = lambda _: None) -> dict[str, Any]:
    """Everything that the command does; gives its JSON document."""
    tables = _load(options, say)
    chosen = splits.named(options.split, tables)
    _refuse_contradictions(options, chosen)
    learned = _learned(options, tables) if any(split.held_out is not None for split in chosen) else []
    what = ""
    rounds: list[Round] = []
    for split in chosen:
        given = _given(options, split, learned, say) if split.held_out is not None else None
        evaluated = _evaluated(options, split, given, say)
        what = evaluated[0].what
        rounds.append(Round(split.name, _play(options, split, tables, evaluated, given, say)))
    document = _document(options, what, rounds)
    if options.report is not None:
        # matplotlib takes a second to import, which only a report is worth.
        from tradewind.training import report

        say("writing the report")
        report.write(options.report, document, rounds)
    return document


def _document(options: Options, what: str, rounds: Sequence[Round]) -> dict[str, Any]:
    by_split = {each.split: each.document() for each in rounds}
    sets = spread.over(by_split) if len(rounds) > 1 else by_split[rounds[0].split]
    return {
        "router": what,
        "split": options.split,
        "operating_points_chosen_on": ", or ".join(sorted({found["operating_points_chosen_on"] for found in sets.values()})),
        "willingness_to_pay_usd": list(WILLINGNESS),
        "sets": sets,
        **({"by_split": by_split} if len(rounds) > 1 else {}),
    }


def _refuse_contradictions(options: Options, chosen: Sequence[Split]) -> None:
    outputs = {"--plans-out": options.plans_out, "--decisions-out": options.decisions_out}
    for flag in (flag for flag, place in outputs.items() if place is not None):
        if len(chosen) > 1:
            raise UsageError(f"{flag} needs one split; `{options.split}` is {len(chosen)}", flag)
        if options.router and not options.fit and options.predictor is None:
            _refuse_output(flag, options.router[0])
    if chosen[0].cold is not None and (options.predictor is not None or options.router):
        raise UsageError("a cold start is of estimators (`--fit`): what comes trained may know the model", options.split)


def _refuse_output(flag: str, router: str) -> None:
    """Only what runs `decide` has a plan and decisions to write."""
    raise UsageError(f"{flag} is for routers that run `decide` on a plan, which `{router}` does not", flag)


def _load(options: Options, say: Say) -> list[DataSet]:
    """The named sets; else all that have question texts."""
    listed_prices = prices.load(options.data)
    if options.sets:
        return [datasets.load(options.data, name, listed_prices) for name in dict.fromkeys(options.sets)]
    tables = []
    for name in datasets.available(options.data):
        try:
            tables.append(datasets.load(options.data, name, listed_prices))
        except (datasets.NoTexts, sources.NoFormat) as error:
            say(f"left out: {error.message}")
    if not tables:
        raise UsageError(f"{options.data} holds no data set with question texts", str(options.data))
    return tables


def _evaluated(options: Options, split: Split, given: Given | None, say: Say) -> list[Contestant]:
    """What was asked for: predictor, estimators, classes of the user's own; with nothing asked the shipped
    predictor, and for a report every estimator beside it."""
    entries = [estimation.named(name) for name in dict.fromkeys(options.fit)]
    if entries and given is None:
        raise UsageError(f"`--fit {entries[0].name}` needs a split: without one it would learn what it is tested on")
    if split.cold is not None and given is not None:
        found = []
        for entry in entries or [estimation.named(COLD_START)]:
            say(f"fitting {entry.name} with and without {split.cold.model}")
            found += [contestants.started_cold(entry, given, split, split.cold), contestants.fitted(entry, given, split)]
        return found
    nothing_asked = not (options.predictor or options.fit or options.router)
    found = [contestants.shipped(options.predictor)] if options.predictor or nothing_asked else []
    if given is not None:
        if nothing_asked and options.report is not None:
            entries = [entry for entry in estimation.TABLE if entry not in contestants.BASELINES.values()]
        for entry in entries:
            say(f"fitting {entry.name}")
            found.append(contestants.fitted(entry, given, split))
    return found + [contestants.of_the_user(name, split) for name in dict.fromkeys(options.router)]


def _learned(options: Options, tables: Sequence[DataSet]) -> list[DataSet]:
    """The evaluated sets and those training sets that there are."""
    listed = prices.load(options.data)
    loaded = {data.name: data for data in tables}
    present = set(datasets.available(options.data))
    training = [
        loaded[name] if name in loaded else datasets.load(options.data, name, listed)
        for name in datasets.TRAINING
        if name in present
    ]
    return [data for name, data in loaded.items() if name not in datasets.TRAINING] + training


def _given(options: Options, split: Split, learned: Sequence[DataSet], say: Say) -> Given:
    """These sets without the evaluated questions, and our own prompts."""
    sets = [datasets.for_training(data.take(split.trained(data)), ()) for data in learned]
    own = guards.not_asked(prompts.halves(prompts.load())[0], split.held_out or frozenset())
    return Given([data for data in sets if len(data)], own, options.seed, _stages(say), split.alike)


def _stages(say: Say) -> Callable[[str, int, int], None]:
    """Says each stage of fitting once."""
    said: set[str] = set()

    def report(stage: str, done: int, total: int) -> None:
        if stage not in said:
            said.add(stage)
            say(stage)

    return report


def _play(
    options: Options,
    split: Split,
    tables: Sequence[DataSet],
    evaluated: Sequence[Contestant],
    given: Given | None,
    say: Say,
) -> dict[str, Result]:
    """All routers on every set of a split."""
    others = [each for each in contestants.baselines(given) if each.name not in {one.name for one in evaluated}]
    found: dict[str, Result] = {}
    for data in tables:
        if not split.evaluates(data):
            continue
        pool = datasets.pool(data)
        rows = split.tested(pool)
        if not rows.any() or (split.cold and split.cold.model not in pool.models):
            continue
        say(f"{data.name}: {int(rows.sum())} questions, {len(pool.models)} models")
        found[data.name] = _set(options, pool, rows, evaluated, others, given, first=not found)
    if not found:
        raise UsageError(f"split `{split.name}` leaves no question to evaluate in {', '.join(d.name for d in tables)}")
    return found


def _set(
    options: Options,
    pool: DataSet,
    rows: npt.NDArray[np.bool_],
    evaluated: Sequence[Contestant],
    others: Sequence[Contestant],
    given: Given | None,
    first: bool,
) -> Result:
    """All routers on the evaluated rows of a pool; the decisions of the `first` begin their file."""
    tested, outside = pool.take(rows), pool.take(~rows) if not rows.all() else None
    if outside is not None:
        guards.refuse_leak("the routers", tested, outside)
    if given is not None:
        guards.refuse_leaks(given, tested)
    ground = Ground.of(tested, pool if outside is None else outside, options.seed)
    standings: list[Standing] = []
    for place, contestant in enumerate([*evaluated, *others]):
        if outside is None and contestant in others and contestant.name not in contestants.HINDSIGHT:
            continue
        router = contestant.build(outside, pool)
        if place == 0:
            _publish_plan(options, pool.name, router, contestant)
            if options.decisions_out is not None and first:
                options.decisions_out.parent.mkdir(parents=True, exist_ok=True)
                options.decisions_out.write_bytes(b"")
        here, there = ground.decide(router, options.decisions_out if place == 0 else None)
        domain = contestant.domain(tested, router)
        standings.append(Standing(contestant.name, domain, here, there, ground.score(here, there)))
    seen = {each.name: guards.seen(tested, each.trained_on) for each in evaluated}
    seen_by_first = seen[evaluated[0].name]
    facts = {
        "share_of_questions_trained_on": None if seen_by_first is None else round(float(seen_by_first.mean()), 4),
        "operating_points_chosen_on": "rows outside the split" if outside is not None else "the evaluated rows themselves",
        "licence": pool.licence,
    }
    flags = [flag for name, rows in seen.items() for flag in guards.flag_seen(name, tested, rows)]
    shuffled = {
        each.name: guards.middle([ground.judged(dealt, each.there) for dealt in guards.shuffled(each.here, options.seed)])
        for each in standings[: len(evaluated)]
    }
    return Result(tested, ground.learned, tuple(standings), len(evaluated), facts, shuffled, tuple(flags))


def _publish_plan(options: Options, name: str, router: Router, contestant: Contestant) -> None:
    """Writes what `decide` needs to repeat the decisions: the plan, and the predictor if it was fitted here."""
    if not isinstance(router, ProductionRouter):
        for flag, place in (("--plans-out", options.plans_out), ("--decisions-out", options.decisions_out)):
            if place is not None:
                _refuse_output(flag, contestant.name)
        return
    if options.plans_out is None:
        return
    options.plans_out.mkdir(parents=True, exist_ok=True)
    (options.plans_out / f"{name}.json").write_bytes(router.source.to_json())
    if contestant.name != contestants.PREDICTOR:
        predictor.write_bare(options.plans_out / "predictor", router.predictor)
