"""What a plan decides on the calls of a log, as tables: the production `decide`, nothing is modelled here.

Shapes: n calls, M models (all candidates of the plan, in the order of their ids, by which strategies break ties).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind import core
from tradewind.artifacts.plan import PlanSource
from tradewind.calibration.log import Call, Unusable
from tradewind.errors import TradewindError, UsageError, unknown

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CHUNK = 2000
"""Calls decided at once: their decisions are held as JSON meanwhile, about 2 KB each."""

CANNOT_ANSWER = frozenset({"capability", "context_length", "output_length"})
"""Policies whose refusal says that a model cannot answer, and not only that it should not."""

REFUSED = -1
"""In place of a column: the call is refused."""


@dataclass(frozen=True)
class Decider:
    """How plans decide on a log: predictors, executor, whose calls they are, the draw."""

    predictors: Sequence[bytes]
    executor: str = "native"
    tenant: str = "default"
    seed: int = 0

    def answers(self, plan: PlanSource, calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
        """For each call its decision, or `{"id", "error"}`, as JSON has it."""
        planner = core.Planner(plan.to_json(), list(self.predictors), self.executor)
        for recorded, group in groupby(calls, lambda call: call.file if call.capture is None else None):
            found = list(group)
            if recorded is None:
                yield from (_again(planner, call) for call in found)
                continue
            for start in range(0, len(found), CHUNK):
                lines = numbered(found[start : start + CHUNK])
                decided = planner.decide_lines(lines, tenant=self.tenant, seed=self.seed)
                yield from map(json.loads, decided.splitlines())


def numbered(calls: Iterable[Call]) -> bytes:
    """Lines of `decide`, each at the number that it has in its file: errors name it, and empty lines are skipped."""
    parts: list[bytes] = []
    at = 1
    for call in calls:
        parts += [b"\n" * (call.number - at), call.request, b"\n"]
        at = call.number + 1
    return b"".join(parts)


def _again(planner: core.Planner, call: Call) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(planner.decide_again(json.dumps(call.capture).encode(), call.id))
        return answer
    except TradewindError as error:
        return {"id": call.id, "error": {"code": error.code, "message": error.message, "path": error.path}}


@dataclass(frozen=True)
class Decided:
    """Decisions on n calls."""

    models: tuple[str, ...]
    """Ids of the M models."""
    calls: tuple[Call, ...]
    routes: tuple[str, ...]
    """By call: the policy that took it."""
    quality: Floats
    """[n, M]: forecast; NaN where the model is no candidate."""
    cost_nanousd: Floats
    """[n, M]: forecast."""
    reasons: tuple[Mapping[int, str], ...]
    """By call: the policy that refused a candidate, by column."""
    rankings: tuple[tuple[int, ...], ...]
    """By call: columns of the admitted, best first."""
    limited: Bools
    """[n]: whether a cap on the cost or a deadline holds for the call."""

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def chosen(self) -> Ints:
        """[n]: columns."""
        return np.array([ranking[0] for ranking in self.rankings], np.int64)

    def select(self, keep: Bools) -> Decided:
        """The calls that are kept."""
        rows = np.flatnonzero(keep)
        return Decided(
            self.models,
            tuple(self.calls[row] for row in rows),
            tuple(self.routes[row] for row in rows),
            self.quality[rows],
            self.cost_nanousd[rows],
            tuple(self.reasons[row] for row in rows),
            tuple(self.rankings[row] for row in rows),
            self.limited[rows],
        )

    def column(self, name: str) -> int:
        """Of the model called so, by its id or by its name within its pool."""
        found = [at for at, model in enumerate(self.models) if called(model, name)]
        if len(found) > 1:
            raise UsageError(f"several pools have a model `{name}`; expected one of {', '.join(self.models)}", name)
        if not found:
            raise UsageError(unknown("model", name, self.models), name)
        return found[0]

    def able(self, column: int) -> Bools:
        """[n]: whether the model could have answered."""
        return np.array([reason is None for reason in self.why_not(column)], np.bool_)

    def why_not(self, column: int) -> list[str | None]:
        """By call: why the model could not have answered it; `None` where it could."""
        absent = np.isnan(self.quality[:, column])
        reasons = (reason.get(column) for reason in self.reasons)
        return [
            "not_a_candidate" if missing else reason if reason in CANNOT_ANSWER else None
            for missing, reason in zip(absent, reasons, strict=True)
        ]


def tabulate(plan: PlanSource, calls: Sequence[Call], answers: Iterable[Mapping[str, Any]]) -> tuple[Decided, list[Unusable]]:
    """Tables of the calls that were routed, and the others with the reason."""
    models = tuple(sorted({model for route in plan.routes for model in route.candidates}))
    columns = {model: column for column, model in enumerate(models)}
    aliases = {route.id: route.aliases for route in plan.routes}
    kept: list[Call] = []
    unusable: list[Unusable] = []
    rows: list[_Row] = []
    for call, answer in zip(calls, answers, strict=True):
        if "error" in answer:
            error = answer["error"]
            unusable.append(Unusable(call.file, call.number, _id(answer), error["code"], error["message"]))
        elif answer["request"]["model"] not in aliases[answer["route"]]:
            unusable.append(_named(call, answer))
        else:
            kept.append(call)
            rows.append(_row(answer, columns))
    return _decided(models, kept, rows), unusable


def called(model: str, name: str) -> bool:
    """Whether a model, `namespace/pool/name`, is meant by this id or name within its pool."""
    return name in (model, model.split("/", 2)[2])


def choices(models: Sequence[str], answers: Iterable[Mapping[str, Any]]) -> Ints:
    """[n]: the column of the model that was chosen, or `REFUSED`."""
    columns = {model: column for column, model in enumerate(models)}
    return np.array([columns[answer["chosen"]] if "chosen" in answer else REFUSED for answer in answers], np.int64)


def picked(table: Floats, columns: Ints) -> Floats:
    """[n]: each call's value at its column; 0 where it is refused."""
    values = np.take_along_axis(table, np.maximum(columns, 0)[:, None], axis=1)[:, 0]
    return np.where(columns == REFUSED, 0.0, values)


@dataclass(frozen=True)
class _Row:
    route: str
    quality: list[float]
    cost: list[float]
    reasons: dict[int, str]
    ranking: tuple[int, ...]
    limited: bool


def _row(answer: Mapping[str, Any], columns: Mapping[str, int]) -> _Row:
    quality, cost = [np.nan] * len(columns), [np.nan] * len(columns)
    reasons: dict[int, str] = {}
    for candidate in answer["candidates"]:
        column = columns[candidate["model"]]
        quality[column], cost[column] = candidate["quality"], candidate["cost_nanousd"]
        if candidate["reason"] is not None:
            reasons[column] = candidate["reason"]
    objective = answer["objective"]
    limited = objective["max_request_usd"] is not None or objective["first_token_ms"] is not None
    return _Row(answer["route"], quality, cost, reasons, tuple(columns[model] for model in answer["ranking"]), limited)


def _decided(models: tuple[str, ...], calls: list[Call], rows: list[_Row]) -> Decided:
    shape = (len(rows), len(models))
    return Decided(
        models,
        tuple(calls),
        tuple(row.route for row in rows),
        # The core computes in singles and writes their shortest decimals.
        np.array([row.quality for row in rows], np.float32).astype(np.float64).reshape(shape),
        np.array([row.cost for row in rows], np.float64).reshape(shape),
        tuple(row.reasons for row in rows),
        tuple(row.ranking for row in rows),
        np.array([row.limited for row in rows], np.bool_),
    )


def _id(answer: Mapping[str, Any]) -> str | None:
    return None if answer["id"] is None else str(answer["id"])


def _named(call: Call, answer: Mapping[str, Any]) -> Unusable:
    model = answer["request"]["model"]
    message = f"the call names the model `{model}`, so that nothing is traded; `--alias` lets all calls ask for an alias"
    return Unusable(call.file, call.number, call.id, "names_a_model", message)
