"""A decision as JSON has it, typed: which model, why, what the others would have been worth."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """A model in a decision."""

    model: str
    """`namespace/pool/name`."""
    quality: float
    """Forecast, 0 to 1."""
    quality_sd: float
    """Its uncertainty."""
    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    """Forecast."""
    first_token_ms: float | None
    """Observed or declared; `None` where nothing is known."""
    utility: float | None
    """Willingness to pay × quality − cost in USD, where the strategy trades."""
    admitted: bool
    reason: str | None
    """The policy that refused it."""

    @property
    def cost_usd(self) -> float:
        """Forecast cost in USD."""
        return self.cost_nanousd / 1e9

    @property
    def name(self) -> str:
        """The model's name within its pool."""
        return self.model.split("/", 2)[2]


@dataclass(frozen=True)
class Objective:
    """What quality, money and time were worth."""

    willingness_to_pay_usd: float | None
    min_quality: float | None
    max_request_usd: float | None
    first_token_ms: float | None
    when_unsatisfied: str
    relaxed: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """A decision; `document` is the JSON it was read from."""

    id: str
    plan: str
    predictor: str
    route: str
    asked_for: str
    """The model or alias of the request."""
    input_tokens: int
    needs: tuple[str, ...]
    template_bytes: int
    """Of the text's beginning, which recurs from call to call and was not shown to the predictor."""
    objective: Objective
    chosen: Candidate
    ranking: tuple[Candidate, ...]
    """The admitted, best first."""
    propensity: float
    candidates: tuple[Candidate, ...]
    """All, in the route's order."""
    document: Mapping[str, Any]


def from_json(document: bytes) -> Decision:
    """Reads a decision that the core wrote."""
    given: dict[str, Any] = json.loads(document)
    candidates = tuple(_candidate(candidate) for candidate in given["candidates"])
    by_model = {candidate.model: candidate for candidate in candidates}
    request, objective = given["request"], given["objective"]
    return Decision(
        id=given["id"],
        plan=given["plan"],
        predictor=given["predictor"],
        route=given["route"],
        asked_for=request["model"],
        input_tokens=request["input_tokens"],
        needs=tuple(request["needs"]),
        template_bytes=request["template_bytes"],
        objective=Objective(
            willingness_to_pay_usd=objective["willingness_to_pay_usd"],
            min_quality=objective["min_quality"],
            max_request_usd=objective["max_request_usd"],
            first_token_ms=objective["first_token_ms"],
            when_unsatisfied=objective["when_unsatisfied"],
            relaxed=tuple(objective["relaxed"]),
        ),
        chosen=by_model[given["chosen"]],
        ranking=tuple(by_model[model] for model in given["ranking"]),
        propensity=given["propensity"],
        candidates=candidates,
        document=given,
    )


def _candidate(given: Mapping[str, Any]) -> Candidate:
    return Candidate(
        model=given["model"],
        quality=_single(given["quality"]),
        quality_sd=_single(given["quality_sd"]),
        input_tokens=given["input_tokens"],
        output_tokens=given["output_tokens"],
        cost_nanousd=given["cost_nanousd"],
        first_token_ms=given["first_token_ms"],
        utility=given["utility"],
        admitted=given["admitted"],
        reason=given["reason"],
    )


def _single(value: float) -> float:
    # The core writes an `f32` by its shortest decimal; its exact value is the nearest single.
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single
