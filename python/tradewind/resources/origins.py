"""Where each part of a plan source came from, so that the core's problems name file, line and field of a
resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tradewind.errors import Problem
from tradewind.resources import problems
from tradewind.resources.documents import Document, Path

# Place in the plan → place in the resource, the longest first. What is not listed has the same name, or
# maps to its parent.
_MODEL: Mapping[str, Path] = {
    "price.input_nanousd_per_million": ("price", "inputPerMillion"),
    "price.output_nanousd_per_million": ("price", "outputPerMillion"),
    "price.cached_input_nanousd_per_million": ("price", "cachedInputPerMillion"),
    "limits.context_tokens": ("limits", "contextTokens"),
    "limits.output_tokens": ("limits", "outputTokens"),
    "limits.concurrent_requests": ("limits", "concurrentRequestsPerGateway"),
    "latency.first_token_ms": ("latency", "firstToken"),
    "latency.output_tokens_per_second": ("latency", "outputTokensPerSecond"),
    "upstream.dialect": ("upstream", "dialect"),
    "upstream": ("upstream",),
    "profile": ("quality",),
    "id": ("name",),
}
_ROUTE: Mapping[str, Path] = {
    "strategy.utility.willingness_to_pay_usd": ("strategy", "utility", "willingnessToPayUSD"),
    "strategy.weighted.weights": ("strategy", "weighted", "weights"),
    "strategy.pinned.model": ("strategy", "pinned", "model"),
    "strategy": ("strategy",),
    "constraints.min_quality": ("constraints", "minQuality"),
    "constraints.max_request_nanousd": ("constraints", "maxRequestUSD"),
    "constraints.first_token_ms": ("constraints", "firstTokenWithin"),
    "constraints": ("constraints",),
    "timeouts.request_ms": ("timeouts", "request"),
    "timeouts.first_token_ms": ("timeouts", "firstToken"),
    "timeouts.stream_idle_ms": ("timeouts", "streamIdle"),
    "retry_attempts": ("retry", "attempts"),
    "aliases": ("match", "models"),
    "when": ("match", "when"),
    "callers": ("callers",),
    "second_tier.ambiguity": ("predictor", "secondTier", "ambiguity"),
    "second_tier.weight": ("predictor", "secondTier", "weight"),
    "second_tier": ("predictor", "secondTier"),
    "predictor": ("predictor",),
    "profiles": ("predictor",),
    "candidates": ("poolRefs",),
}
_PLACE = re.compile(r"^(models|routes)\[(\d+)\]\.?(.*)$")


class Origins:
    """Documents in the order of the plan's models and routes."""

    def __init__(self) -> None:
        self._models: list[tuple[Document, Path]] = []
        self._routes: list[tuple[Document, Path]] = []

    def add_model(self, document: Document, path: Path) -> None:
        """The next model of the plan."""
        self._models.append((document, path))

    def add_route(self, document: Document) -> None:
        """The next route of the plan."""
        self._routes.append((document, ("spec",)))

    def locate(self, found: Mapping[str, Any]) -> Problem:
        """A problem of the core, at its place in a resource; without one, at its place in the plan."""
        code, message, accepted = found["code"], found["message"], tuple(found["accepted"])
        place = _PLACE.match(found["path"])
        if place is None:
            return Problem(code, message, found["path"], accepted=accepted, severity=found["severity"])
        group, index, rest = place.groups()
        documents, names = (self._models, _MODEL) if group == "models" else (self._routes, _ROUTE)
        document, path = documents[int(index)]
        inner = next(
            (to for start, to in names.items() if rest == start or re.match(rf"{re.escape(start)}[.\[]", rest)),
            (),
        )
        return problems.problem(document, (*path, *inner), code, message, accepted, found["severity"])
