"""Routers under evaluation: each says, for every question and every willingness to pay, which model it
picks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tradewind import core
from tradewind.artifacts import plan
from tradewind.artifacts.plan import PlanSource
from tradewind.errors import TradewindError, from_code
from tradewind.training.datasets import BYTES_PER_TOKEN, DataSet

Floats = npt.NDArray[np.float64]
Choices = npt.NDArray[np.int16]

WILLINGNESS: tuple[float, ...] = tuple(float(f"{10 ** (step / 5):.3g}") for step in range(-35, 11))
"""USD per request for quality from 0 to 1: five a decade, from 1e-7 to 100."""

NAMESPACE = "default"
CHUNK = 2000
BODY_OVERHEAD_BYTES = 60
"""Of a chat completions body round one user message."""


@dataclass(frozen=True)
class Routed:
    """What a router did with n questions."""

    choice: Choices
    """[n, G]: column of the chosen model at each willingness to pay"""
    quality: Floats
    """[n, M]: its forecasts"""
    forecasts: bool = True
    """Whether `quality` says how good answers will be, and not only which are better than others."""


class Router(Protocol):
    """Decides on the questions of one pool."""

    def route(self, data: DataSet) -> Routed:
        """Decides on every question at every willingness to pay."""
        ...


@dataclass(frozen=True)
class Forecasts:
    """Forecast quality and cost (USD), [n, M] each."""

    quality: Floats
    cost_usd: Floats


def sweep(forecasts: Forecasts, willingness: Sequence[float] = WILLINGNESS) -> Routed:
    """The largest willingness·quality − cost, as the core's strategy `utility` has it; the first among
    equals."""
    columns = [np.argmax(value * forecasts.quality - forecasts.cost_usd, axis=1) for value in willingness]
    return Routed(np.stack(columns, axis=1).astype(np.int16), forecasts.quality)


def list_prices(data: DataSet) -> tuple[Floats, Floats]:
    """USD per million input and output tokens of each model, [M] each, for plans.

    Where the table has none: what the set's own costs come to per token; where these are missing too, one
    dollar for every model of the set, so that quality alone decides.
    """
    input_price, output_price = data.input_price.copy(), data.output_price.copy()
    if np.isnan(data.cost_usd).any():
        unit = np.ones(len(data.models))
        return (unit, unit) if np.isnan(input_price + output_price).any() else (input_price, output_price)
    prompt = np.array([len(text.encode()) for text in data.texts]) / BYTES_PER_TOKEN
    tokens = prompt[:, None] + np.nan_to_num(data.output_tokens, nan=200.0)
    per_token = data.cost_usd.sum(axis=0) / tokens.sum(axis=0) * 1e6
    return (
        np.where(np.isnan(input_price), per_token, input_price),
        np.where(np.isnan(output_price), per_token, output_price),
    )


def forecast_cost(data: DataSet, output_tokens: Floats) -> Floats:
    """USD [n, M], by the plan's prices: what the core will forecast, up to rounding."""
    input_price, output_price = list_prices(data)
    body = np.array([len(text.encode()) + BODY_OVERHEAD_BYTES for text in data.texts])
    return (np.ceil(body / BYTES_PER_TOKEN)[:, None] * input_price + output_tokens * output_price) / 1e6


def plan_source(data: DataSet, profiles: Sequence[plan.Profile], digest: str) -> PlanSource:
    """The plan under evaluation: one route `auto` over the set's pool, at list prices."""
    input_price, output_price = list_prices(data)
    models = tuple(
        plan.Model(
            id=f"{NAMESPACE}/{_safe(data.name)}/{_safe(name)}",
            upstream=plan.Upstream("http://evaluation.invalid/v1", "openai", name),
            price=plan.Price(_nanousd(input_price[i]), _nanousd(output_price[i])),
            limits=plan.Limits(context_tokens=100_000_000, output_tokens=1_000_000),
            profile=plan.profile_key(profiles[i]),
        )
        for i, name in enumerate(data.models)
    )
    route = plan.Route(
        id=f"{NAMESPACE}/{_safe(data.name)}",
        aliases=("auto",),
        predictor=digest,
        candidates=tuple(model.id for model in models),
        strategy={"type": "utility", "utility": {"willingness_to_pay_usd": 0.02}},
    )
    return PlanSource(plan.table(profiles), models, (route,))


def _refusal(line: bytes) -> TradewindError:
    """Why the core did not decide on an evaluated question."""
    refused = json.loads(line)
    error = refused["error"]
    return from_code(error["code"], f"{refused['id']} is not decided on: {error['message']}", error["path"])


def _safe(name: str) -> str:
    """As names of models and pools must be."""
    return re.sub(r"[^A-Za-z0-9._:-]", "-", name)


def _nanousd(usd_per_million: float) -> int:
    return round(float(usd_per_million) * 1e9)


class ProductionRouter:
    """The shipped `decide`, on a plan."""

    def __init__(self, source: PlanSource, predictor: bytes) -> None:
        self.source = source
        self.predictor = predictor
        self._planner = core.Planner(source.to_json(), [predictor])
        self._column = {model.id.encode(): column for column, model in enumerate(source.models)}

    def decisions(self, data: DataSet) -> Iterator[bytes]:
        """One decision a line, in the order of questions, then of willingness to pay; in chunks of whole
        lines."""
        step = max(1, CHUNK // len(WILLINGNESS))
        for start in range(0, len(data), step):
            lines = []
            for row in range(start, min(start + step, len(data))):
                body = {"model": "auto", "messages": [{"role": "user", "content": data.texts[row]}]}
                text = json.dumps(body, ensure_ascii=False)
                lines += [
                    f'{{"id":{json.dumps(f"{data.ids[row]}@{value:g}")},"body":{text},"willingness_to_pay_usd":{value!r}}}'
                    for value in WILLINGNESS
                ]
            yield self._planner.decide_lines("\n".join(lines).encode())

    def route(self, data: DataSet) -> Routed:
        """Decides on every question at every willingness to pay."""
        return self.route_and_record(data, None)

    def route_and_record(self, data: DataSet, record: Path | None) -> Routed:
        """The same; the decisions are appended to `record`."""
        chosen: list[int] = []
        quality: list[list[float]] = []
        for chunk in self.decisions(data):
            if record is not None:
                with record.open("ab") as file:
                    file.write(chunk)
            lines = chunk.splitlines()
            for line in lines:
                found = re.search(rb'"chosen":"([^"]+)"', line)
                if found is None:
                    raise _refusal(line)
                chosen.append(self._column[found.group(1)])
            for line in lines[:: len(WILLINGNESS)]:
                by_id = {c["model"]: c["quality"] for c in json.loads(line)["candidates"]}
                quality.append([by_id[model.id] for model in self.source.models])
        choice = np.array(chosen, np.int16).reshape(len(data), len(WILLINGNESS))
        return Routed(choice, np.array(quality).reshape(len(data), len(data.models)))
