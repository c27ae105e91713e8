"""The setting of a policy that reaches a goal on a log: RouteLLM's calibration of a threshold on a sample of calls
(arXiv:2406.18665, section 4), for pools and for other goals.

The choices of all calls are known at every setting, step by step; nothing is scanned. What is found is decided again by the
production `decide`, under the plan with that setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tradewind import bootstrap, core
from tradewind.artifacts.plan import Route
from tradewind.bootstrap import Interval
from tradewind.calibration import dials, inputs, savings
from tradewind.calibration.deciding import REFUSED, Decided, Floats, Ints, choices, picked, tabulate
from tradewind.calibration.dial import Dial, turned
from tradewind.calibration.goals import Goal, Pool, QualityFloor, Saving, Share
from tradewind.calibration.inputs import Inputs, Prepared
from tradewind.calibration.ladder import BILLIONTHS, Ladder, decimal, shortest
from tradewind.calibration.log import Unusable
from tradewind.errors import Internal, UsageError, listed, unknown


@dataclass(frozen=True)
class Wish:
    """A goal before the models of the log are known."""

    goal: Goal
    of: str | None = None
    """The model that a share is of."""
    baseline: str | None = None
    """`None` for the best on average."""
    policy: str | None = None
    """`None` where the log has calls of one only."""


@dataclass(frozen=True)
class Curve:
    """A goal over the setting: P values, between its P − 1 steps."""

    start: Floats
    """[n]: parts at the least setting."""
    whole: Floats
    """[n]"""
    change: Floats
    """[E]: of the part, at each step that changes one."""
    call: Ints
    """[E]"""
    last: Ints
    """[P − 1]: the last step at each setting."""
    at: Ints
    """[P − 1]: settings, in billionths."""
    top: int

    def values(self, weights: Floats) -> Floats:
        """[P]: of calls that were drawn so often."""
        steps = np.cumsum(self.change * weights[self.call])[self.last]
        total: Floats = weights @ self.start + np.concatenate([[0.0], steps])
        return total / (weights @ self.whole)

    def setting(self, index: int) -> int:
        """The shortest setting at which the goal has its value number `index`. The last value holds for ever; it is taken where
        it has just been reached."""
        low = int(self.at[index - 1]) if index else 0
        high = int(self.at[index]) - 1 if index < len(self.at) else min(self.top, 2 * low)
        return shortest(low, high)


@dataclass(frozen=True)
class Found:
    """The setting, in billionths, and how sure it is."""

    setting: int
    met: bool
    interval: Interval
    """Of the value: over samples of the calls."""
    met_in_samples: float
    """In which share of them the goal can be reached at all."""
    achievable: tuple[float, float]


def run(given: Inputs, wish: Wish) -> dict[str, Any]:
    """The document of `calibrate --json`. Raises `UsageError` where there is nothing to calibrate."""
    prepared = inputs.prepare(given)
    route = policy(prepared, wish.policy, given)
    dial = _dial(route)
    ends, unusable, others = decide_ends(prepared, route, dial)
    inputs.need_calls(len(ends[0]), unusable, given.log)
    ladder = dial.climb(route, ends)
    pool = pool_of(ends[0], ladder, wish.baseline)
    of = ends[0].column(wish.of) if wish.of is not None else None
    goal = Share(wish.goal.target, of) if of is not None else wish.goal
    found = search(curve(ladder, pool, goal), goal, given.seed)
    columns = decide_at(prepared, pool, {route.id}, dial, found.setting)
    if (columns != ladder.chosen(found.setting)).any():
        raise Internal("internal", differing(route, dial, found.setting), route.id)
    return {
        "plan": core.plan_id(prepared.plan.to_json()),
        "policy": route.id,
        "strategy": dial.strategy,
        "field": dial.field,
        "goal": {"kind": goal.kind, "target": goal.target, "of": ends[0].models[of] if of is not None else None},
        "met": found.met,
        "value": decimal(found.setting),
        "interval": inputs.interval_document(found.interval),
        "met_in_samples": found.met_in_samples,
        "achievable": dict(zip(("low", "high"), found.achievable, strict=True)),
        "yaml": dial.yaml(decimal(found.setting)) if found.met else None,
        "baseline": pool.decided.models[pool.baseline],
        "calls": len(prepared.calls) + len(prepared.unusable),
        "n": len(pool.decided),
        "movable": len(set(ladder.call.tolist())),
        "achieved": figures(pool, columns, goal, given.seed),
        "models": savings.models(pool.decided, columns),
        "now": {"value": dial.get(route), **figures(pool, _now(prepared, pool), goal, given.seed)},
        "other_policies": others,
        "unusable": inputs.unusable_document(unusable),
    }


def differing(route: Route, dial: Dial, setting: int) -> str:
    """Says that what was found does not hold."""
    return (
        f"`decide` chooses otherwise at {dial.field} {decimal(setting)} than was computed; "
        f"are other limits of `{route.id}` relaxed with it (`whenUnsatisfied: BestEffort`)?"
    )


def policy(prepared: Prepared, name: str | None, given: Inputs) -> Route:
    """The policy of that name; without one, the only policy that takes calls of the log."""
    routes = {route.id: route for route in prepared.plan.routes}
    if name is not None:
        if name not in routes:
            raise UsageError(unknown("policy", name, sorted(routes)), "--policy")
        return routes[name]
    answers = prepared.decider.answers(prepared.plan, prepared.calls)
    decided, unusable = tabulate(prepared.plan, prepared.calls, answers)
    # A floor of today may refuse calls that a lower one does not.
    taking = sorted(set(decided.routes)) or (list(routes) if len(routes) == 1 else [])
    inputs.need_calls(len(taking), (*prepared.unusable, *unusable), given.log)
    if len(taking) > 1:
        raise UsageError(f"several policies take calls of this log; choose one with --policy: {listed(taking)}", "--policy")
    return routes[taking[0]]


def _dial(route: Route) -> Dial:
    strategy = route.strategy["type"]
    if strategy not in dials.TABLE:
        known = ", ".join(f"`{row.strategy}` ({row.field})" for row in dials.TABLE.values())
        message = f"policy `{route.id}` has strategy `{strategy}`, which has no setting to calibrate; expected one of {known}"
        raise UsageError(message, route.id)
    return dials.TABLE[strategy]


def decide_ends(prepared: Prepared, route: Route, dial: Dial) -> tuple[list[Decided], list[Unusable], dict[str, int]]:
    """The policy's calls, decided at the ends of the dial; what cannot be used; how many calls other policies take."""
    plan = turned(prepared.plan, {route.id}, dial, dial.ends[0])
    decided, refused = tabulate(plan, prepared.calls, prepared.decider.answers(plan, prepared.calls))
    others = {other: decided.routes.count(other) for other in sorted(set(decided.routes) - {route.id})}
    ends = [decided.select(np.array([taker == route.id for taker in decided.routes], np.bool_))]
    for setting in dial.ends[1:]:
        plan = turned(prepared.plan, {route.id}, dial, setting)
        ends.append(tabulate(plan, ends[0].calls, prepared.decider.answers(plan, ends[0].calls))[0])
    return ends, [*prepared.unusable, *refused], others


def pool_of(decided: Decided, ladder: Ladder, baseline: str | None) -> Pool:
    """What goals look at; without a baseline, the best model on average is it."""
    column = decided.column(baseline) if baseline is not None else best(decided)
    return Pool(decided, ladder.start, column, decided.able(column))


def best(decided: Decided) -> int:
    """Column of the model with the best mean forecast quality; a call that it could not answer counts as 0."""
    able = np.column_stack([decided.able(column) for column in range(len(decided.models))])
    return int(np.argmax(np.where(able, decided.quality, 0.0).sum(axis=0)))


def curve(ladder: Ladder, pool: Pool, goal: Goal) -> Curve:
    """What a goal comes to between the steps. Raises `UsageError` where it cannot be measured."""
    whole = goal.whole(pool)
    if not whole.sum():
        name = pool.decided.models[pool.baseline]
        raise UsageError(
            f"always calling `{name}` costs nothing, or it could answer no call: nothing can be saved", "--baseline"
        )
    change = goal.part(pool, ladder.call, ladder.after) - goal.part(pool, ladder.call, ladder.before)
    counts = change != 0
    at = ladder.at[counts]
    last = np.flatnonzero(np.append(np.diff(at) != 0, True)) if len(at) else np.zeros(0, np.int64)
    start = goal.part(pool, np.arange(len(pool.decided)), ladder.start)
    return Curve(start, whole, change[counts], ladder.call[counts], last, at[last], ladder.top)


def search(over: Curve, goal: Goal, seed: int) -> Found:
    """The setting that reaches the goal, and where it lies in samples of the calls."""
    calls = len(over.start)
    settings: list[float] = []
    met: list[bool] = []
    for weights in bootstrap.drawn(calls, seed, bootstrap.DRAWS):
        # A sample may leave out every call that the baseline has a cost for.
        if not weights @ over.whole:
            continue
        # In a sample a call may count several times.
        index, reached = goal.pick(over.values(weights), weights.max() / calls)
        settings.append(over.setting(index))
        met.append(reached)
    values = over.values(np.ones(calls))
    interval = bootstrap.interval(np.array(settings) / BILLIONTHS)
    return Found(int(settings[0]), met[0], interval, float(np.mean(met[1:] or met)), (float(values.min()), float(values.max())))


def decide_at(prepared: Prepared, pool: Pool, policies: set[str], dial: Dial, setting: int) -> Ints:
    """[n]: what the production `decide` chooses under the plan with that setting."""
    plan = turned(prepared.plan, policies, dial, setting)
    return choices(pool.decided.models, prepared.decider.answers(plan, pool.decided.calls))


def _now(prepared: Prepared, pool: Pool) -> Ints:
    return choices(pool.decided.models, prepared.decider.answers(prepared.plan, pool.decided.calls))


def figures(pool: Pool, columns: Ints, goal: Goal, seed: int) -> dict[str, Any]:
    """What a choice of models comes to: share of calls, cost, what is saved, quality; intervals hold the setting fixed."""
    share, saving, quality = goal if isinstance(goal, Share) else Share(0.0), Saving(0.0), QualityFloor(0.0)
    rows = np.arange(len(columns))
    table = np.column_stack(
        [
            share.part(pool, rows, columns),
            picked(pool.decided.cost_nanousd, columns),
            saving.part(pool, rows, columns),
            saving.whole(pool),
            quality.part(pool, rows, columns),
        ]
    )
    shared, spent, spared, always, good = bootstrap.sums(table, seed).T
    n = len(columns)
    found: dict[str, Floats] = {
        "share": shared / n,
        "cost_usd": spent / 1e9,
        "saved": bootstrap.ratio(spared, always),
        "quality": good / n,
    }
    refused = int((columns == REFUSED).sum())
    intervals = {name: inputs.interval_document(bootstrap.interval(values)) for name, values in found.items()}
    return {**intervals, "refused": refused}
