"""What both commands read: a log, a configuration, a predictor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tradewind import engine
from tradewind.artifacts import plan as plans
from tradewind.artifacts import predictor as predictors
from tradewind.artifacts.plan import PlanSource
from tradewind.bootstrap import Interval
from tradewind.calibration import log
from tradewind.calibration.deciding import Decider
from tradewind.calibration.log import Call, Unusable
from tradewind.errors import UsageError

MOST_SHOWN = 1000
"""Unusable lines listed; all are counted."""


@dataclass(frozen=True)
class Inputs:
    """As the command line has them."""

    log: Path
    config: Path | None = None
    predictor: Path | None = None
    predictor_cache: Path | None = None
    executor: str = "native"
    alias: str | None = None
    tenant: str = "default"
    seed: int = 0
    """Of strategies that randomise, and of the bootstrap."""


@dataclass(frozen=True)
class Prepared:
    """Read, with nothing decided yet."""

    plan: PlanSource
    decider: Decider
    calls: tuple[Call, ...]
    unusable: tuple[Unusable, ...]


def prepare(inputs: Inputs) -> Prepared:
    """Reads everything. Raises `UsageError` and `ConfigurationError` where something cannot be read."""
    loaded = engine.load(inputs.config or engine.default_config(), predictors.read(inputs.predictor), inputs.predictor_cache)
    lines = list(log.read(inputs.log, inputs.alias))
    return Prepared(
        plans.from_document(json.loads(loaded.plan)),
        Decider(loaded.predictors.graphs, inputs.executor, inputs.tenant, inputs.seed),
        tuple(line for line in lines if isinstance(line, Call)),
        tuple(line for line in lines if isinstance(line, Unusable)),
    )


def need_calls(found: int, unusable: Sequence[Unusable], place: Path) -> None:
    """A log without any call that can be decided is no log."""
    if not found:
        why = f": {unusable[0].message}" if unusable else ""
        raise UsageError(f"no call of {place} can be used{why}", str(place))


def unusable_document(unusable: Sequence[Unusable]) -> dict[str, Any]:
    """As JSON has it: counted by reason, and listed."""
    codes = [line.code for line in unusable]
    return {
        "n": len(unusable),
        "reasons": {code: codes.count(code) for code in sorted(set(codes))},
        "lines": [line.document() for line in sorted(unusable, key=lambda line: (line.file, line.number))[:MOST_SHOWN]],
    }


def interval_document(found: Interval) -> dict[str, float | None]:
    """As JSON has it: null for each number that there is not."""
    return {name: number if np.isfinite(number) else None for name, number in asdict(found).items()}
