"""Rules between fields: one table for the pydantic types, `plan check` and the CRDs' CEL.

What concerns one field alone (pattern, length, range, default) stands in its type, from which the CRD
schema is generated too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tradewind.resources import formats


@dataclass(frozen=True)
class Rule:
    """One row: a predicate that must hold of every value of a shape."""

    id: str
    """Stable snake_case name, the problem's code."""
    kind: str
    """Resource that it stands in."""
    path: str
    """Where, in the resource."""
    shape: str
    """Class of the value, in `resources/`."""
    field: str
    """Field of the value that the problem points at; empty for the value itself."""
    message: str
    """What is wrong, as a sentence."""
    holds: Callable[[Any], bool]
    """The predicate over the parsed value."""
    cel: str
    """The same over the resource, where `self` is the value."""


TABLE: tuple[Rule, ...] = (
    Rule(
        id="one_upstream",
        kind="ModelPool",
        path="spec.models[].upstream",
        shape="Upstream",
        field="",
        message="exactly one of `url`, `service` says where the model is served",
        holds=lambda self: (self.url is None) != (self.service is None),
        cel="has(self.url) != has(self.service)",
    ),
    Rule(
        id="one_quality",
        kind="ModelPool",
        path="spec.models[].quality",
        shape="Quality",
        field="",
        message="exactly one of `profile`, `prior` says how good the model is",
        holds=lambda self: (self.profile is None) != (self.prior is None),
        cel="has(self.profile) != has(self.prior)",
    ),
    Rule(
        id="prior_is_certain",
        kind="ModelPool",
        path="spec.models[].quality",
        shape="Quality",
        field="prior",
        message='a prior lies between "0" and "1", both excluded: nothing is certain before it was tried',
        holds=lambda self: self.prior is None or 0 < formats.number(self.prior) < 1,
        cel="!has(self.prior) || (double(self.prior) > 0.0 && double(self.prior) < 1.0)",
    ),
    Rule(
        id="output_exceeds_context",
        kind="ModelPool",
        path="spec.models[].limits",
        shape="Limits",
        field="outputTokens",
        message="`outputTokens` is at most `contextTokens`, which holds prompt and answer together",
        holds=lambda self: self.output_tokens <= self.context_tokens,
        cel="self.outputTokens <= self.contextTokens",
    ),
    Rule(
        id="latency_is_zero",
        kind="ModelPool",
        path="spec.models[].latency",
        shape="Latency",
        field="firstToken",
        message="a latency is longer than 0",
        holds=lambda self: _lasts(self.first_token),
        cel="!has(self.firstToken) || duration(self.firstToken) > duration('0s')",
    ),
    Rule(
        id="duplicate_model",
        kind="ModelPool",
        path="spec",
        shape="ModelPoolSpec",
        field="models",
        message="two models of a pool have the same name",
        holds=lambda self: _distinct(model.name for model in self.models),
        cel="self.models.all(a, self.models.exists_one(b, b.name == a.name))",
    ),
    Rule(
        id="duplicate_pool",
        kind="RoutingPolicy",
        path="spec",
        shape="RoutingPolicySpec",
        field="poolRefs",
        message="a pool is referred to twice",
        holds=lambda self: _distinct((ref.namespace, ref.name) for ref in self.pool_refs),
        cel="self.poolRefs.all(a, self.poolRefs.exists_one(b, b.name == a.name && "
        "(has(a.namespace) ? a.namespace : '') == (has(b.namespace) ? b.namespace : '')))",
    ),
    Rule(
        id="duplicate_alias",
        kind="RoutingPolicy",
        path="spec.match",
        shape="Match",
        field="models",
        message="an alias is listed twice",
        holds=lambda self: _distinct(self.models),
        cel="self.models.all(a, self.models.exists_one(b, b == a))",
    ),
    Rule(
        id="strategy_utility",
        kind="RoutingPolicy",
        path="spec.strategy",
        shape="Strategy",
        field="utility",
        message="`utility` stands with type `Utility`, and only there",
        holds=lambda self: (self.type == "Utility") == (self.utility is not None),
        cel="(self.type == 'Utility') == has(self.utility)",
    ),
    Rule(
        id="strategy_pinned",
        kind="RoutingPolicy",
        path="spec.strategy",
        shape="Strategy",
        field="pinned",
        message="`pinned` stands with type `Pinned`, and only there",
        holds=lambda self: (self.type == "Pinned") == (self.pinned is not None),
        cel="(self.type == 'Pinned') == has(self.pinned)",
    ),
    Rule(
        id="strategy_weighted",
        kind="RoutingPolicy",
        path="spec.strategy",
        shape="Strategy",
        field="weighted",
        message="`weighted` stands with type `Weighted`, and only there",
        holds=lambda self: (self.type == "Weighted") == (self.weighted is not None),
        cel="(self.type == 'Weighted') == has(self.weighted)",
    ),
    Rule(
        id="duplicate_weight",
        kind="RoutingPolicy",
        path="spec.strategy.weighted",
        shape="Weighted",
        field="weights",
        message="a model has two weights",
        holds=lambda self: _distinct(weight.model for weight in self.weights),
        cel="self.weights.all(a, self.weights.exists_one(b, b.model == a.model))",
    ),
    Rule(
        id="no_weight",
        kind="RoutingPolicy",
        path="spec.strategy.weighted",
        shape="Weighted",
        field="weights",
        message="at least one weight is larger than 0",
        holds=lambda self: any(weight.weight > 0 for weight in self.weights),
        cel="self.weights.exists(a, a.weight > 0)",
    ),
    Rule(
        id="deadline_is_zero",
        kind="RoutingPolicy",
        path="spec.constraints",
        shape="Constraints",
        field="firstTokenWithin",
        message="a deadline is longer than 0",
        holds=lambda self: _lasts(self.first_token_within),
        cel="!has(self.firstTokenWithin) || duration(self.firstTokenWithin) > duration('0s')",
    ),
    Rule(
        id="timeout_is_zero",
        kind="RoutingPolicy",
        path="spec.timeouts",
        shape="Timeouts",
        field="",
        message="a timeout is longer than 0",
        holds=lambda self: _lasts(self.request) and _lasts(self.first_token) and _lasts(self.stream_idle),
        cel="[self.request, self.firstToken, self.streamIdle].all(a, duration(a) > duration('0s'))",
    ),
    Rule(
        id="first_token_after_request",
        kind="RoutingPolicy",
        path="spec.timeouts",
        shape="Timeouts",
        field="firstToken",
        message="`firstToken` is at most `request`, which holds all attempts",
        holds=lambda self: formats.milliseconds(self.first_token) <= formats.milliseconds(self.request),
        cel="duration(self.firstToken) <= duration(self.request)",
    ),
)


def of(shape: str) -> tuple[Rule, ...]:
    """The rules of a shape."""
    return tuple(rule for rule in TABLE if rule.shape == shape)


def _distinct(values: Iterable[object]) -> bool:
    listed = list(values)
    return len(set(listed)) == len(listed)


def _lasts(duration: str | None) -> bool:
    return duration is None or formats.milliseconds(duration) > 0
