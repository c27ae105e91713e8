"""What routing would have cost on a log, and how good it is forecast to be, against always calling one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tradewind import bootstrap, core
from tradewind.artifacts.plan import PlanSource
from tradewind.calibration import dials, inputs
from tradewind.calibration.deciding import Decided, Floats, Ints, called, picked, tabulate
from tradewind.calibration.dial import turned
from tradewind.calibration.inputs import Inputs, Prepared
from tradewind.calibration.ladder import BILLIONTHS, Ladder
from tradewind.errors import UsageError, listed

STEPS = (1, 2, 5)
"""Of a decade of the curve."""


@dataclass(frozen=True)
class Comparison:
    """The calls that the baseline could answer."""

    decided: Decided
    baseline: int
    """Column."""

    @property
    def cost_usd(self) -> Floats:
        """[n]: of the baseline, forecast."""
        return self.decided.cost_nanousd[:, self.baseline] / 1e9

    @property
    def quality(self) -> Floats:
        """[n]: of the baseline, forecast."""
        return self.decided.quality[:, self.baseline]


def run(given: Inputs, baseline: str, curve: bool = False) -> dict[str, Any]:
    """The document of `savings --json`. Raises `UsageError` where nothing can be compared."""
    prepared = inputs.prepare(given)
    answers = prepared.decider.answers(prepared.plan, prepared.calls)
    decided, refused = tabulate(prepared.plan, prepared.calls, answers)
    unusable = (*prepared.unusable, *refused)
    inputs.need_calls(len(decided), unusable, given.log)
    column = decided.column(baseline)
    why_not = decided.why_not(column)
    able = decided.able(column)
    if not able.any():
        reasons = listed(sorted({reason for reason in why_not if reason}))
        raise UsageError(f"`{baseline}` could have answered none of the {len(decided)} calls: {reasons}", "--baseline")
    compared = Comparison(decided.select(able), column)
    return {
        "plan": core.plan_id(prepared.plan.to_json()),
        "baseline": decided.models[column],
        "calls": len(prepared.calls) + len(prepared.unusable),
        "n": len(compared.decided),
        **figures(compared, compared.decided.chosen, given.seed),
        "models": models(compared.decided, compared.decided.chosen),
        "policies": policies(prepared.plan, compared.decided),
        "baseline_cannot": cannot(decided.select(~able), why_not),
        "observed": observed(prepared, decided, given),
        "curve": curve_of(prepared, compared, given) if curve else None,
        "unusable": inputs.unusable_document(unusable),
    }


def figures(compared: Comparison, columns: Ints, seed: int) -> dict[str, Any]:
    """Cost and quality of both, and what lies between them, with intervals: of the same draws, hence paired."""
    cost, quality = (picked(table, columns) for table in (compared.decided.cost_nanousd / 1e9, compared.decided.quality))
    table = np.column_stack([compared.cost_usd, cost, compared.quality, quality])
    before, after, good, routed = bootstrap.sums(table, seed).T
    n = len(cost)
    rows = {
        "baseline_cost_usd": before,
        "routed_cost_usd": after,
        "saved": bootstrap.ratio(before - after, before),
        "baseline_quality": good / n,
        "routed_quality": routed / n,
        "quality_difference": (routed - good) / n,
    }
    return {name: inputs.interval_document(bootstrap.interval(values)) for name, values in rows.items()}


def models(decided: Decided, columns: Ints) -> list[dict[str, Any]]:
    """Which models the calls go to, the most called first."""
    rows = []
    for column, calls in Counter(columns.tolist()).most_common():
        cost = float(decided.cost_nanousd[columns == column, column].sum()) / 1e9
        rows.append({"model": decided.models[column], "calls": calls, "share": calls / len(columns), "cost_usd": cost})
    return rows


def policies(plan: PlanSource, decided: Decided) -> list[dict[str, Any]]:
    """Which policies took the calls, and where their dials stand."""
    rows = []
    for route in plan.routes:
        if calls := decided.routes.count(route.id):
            strategy = route.strategy["type"]
            dial = dials.TABLE.get(strategy)
            setting = {dial.field: dial.get(route)} if dial is not None else {}
            rows.append({"policy": route.id, "strategy": strategy, "calls": calls, **setting})
    return rows


def cannot(decided: Decided, why_not: Sequence[str | None]) -> dict[str, Any]:
    """The calls that the baseline could not have answered: they are routed, and not compared."""
    reasons = Counter(reason for reason in why_not if reason is not None)
    cost = float(picked(decided.cost_nanousd, decided.chosen).sum()) / 1e9
    return {"n": len(decided), "reasons": dict(sorted(reasons.items())), "routed_cost_usd": cost}


def observed(prepared: Prepared, decided: Decided, given: Inputs) -> dict[str, Any] | None:
    """What the calls of the log did cost, beside the forecast of the same models on the same calls.

    `None` where nothing is told.
    """
    told = [(row, call.observed) for row, call in enumerate(decided.calls) if call.observed is not None]
    if not told:
        return None
    planner = core.Planner(prepared.plan.to_json(), list(prepared.decider.predictors), given.executor)
    cost = forecast = 0.0
    compared = 0
    for row, seen in told:
        column = candidate(decided, row, seen.model)
        if column is None:
            continue
        spent = seen.cost_usd
        if spent is None and seen.input_tokens is not None and seen.output_tokens is not None:
            spent = planner.cost(decided.models[column], seen.input_tokens, seen.output_tokens) / 1e9
        if spent is not None:
            compared += 1
            cost += spent
            forecast += float(decided.cost_nanousd[row, column]) / 1e9
    return {"calls": len(told), "n": compared, "cost_usd": cost, "forecast_cost_usd": forecast}


def candidate(decided: Decided, row: int, name: str) -> int | None:
    """Column of a call's candidate by id or name; `None` where there is none, or more than one."""
    found = [
        column for column in np.flatnonzero(~np.isnan(decided.quality[row])).tolist() if called(decided.models[column], name)
    ]
    return found[0] if len(found) == 1 else None


def curve_of(prepared: Prepared, compared: Comparison, given: Inputs) -> list[dict[str, Any]]:
    """The same figures over the willingness to pay of all policies that have one."""
    dial = dials.TABLE["utility"]
    routes = [route for route in prepared.plan.routes if route.strategy["type"] == dial.strategy]
    if not set(compared.decided.routes) & {route.id for route in routes}:
        raise UsageError("--curve needs calls that a policy with strategy `Utility` takes", "--curve")
    turning = {route.id for route in routes}
    calls = compared.decided.calls
    ends = []
    for setting in dial.ends:
        plan = turned(prepared.plan, turning, dial, setting)
        ends.append(tabulate(plan, calls, prepared.decider.answers(plan, calls))[0])
    ladder = dial.climb(routes[0], ends)
    rows = []
    for setting in grid(ladder):
        columns = ladder.chosen(setting)
        rows.append(
            {
                dial.field: setting / BILLIONTHS,
                **figures(compared, columns, given.seed),
                "models": models(compared.decided, columns),
            }
        )
    return rows


def grid(ladder: Ladder) -> list[int]:
    """Settings for a curve: 0, then 1, 2 and 5 of each decade round where all but the outermost hundredths of the steps are."""
    if not len(ladder.at):
        return [0]
    low, high = np.percentile(ladder.at, [1, 99])
    all_of_them = [step * 10**decade for decade in range(15) for step in STEPS]
    first = max((setting for setting in all_of_them if setting <= low), default=1)
    last = min((setting for setting in all_of_them if setting >= high), default=all_of_them[-1])
    return [0, *(setting for setting in all_of_them if first <= setting <= last)]
