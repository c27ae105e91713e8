"""Rules between fields: one table for the pydantic types, `plan check` and the CRDs' CEL.

What concerns one field alone (pattern, length, range, default) stands in its type, from which the CRD
schema is generated too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tradewind.resources import formats

Reason = Literal["FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"]
"""`FieldValueDuplicate` is none of them: the API server then leaves out the message."""


@dataclass(frozen=True)
class Rule:
    """One row: a predicate that must hold of every value of a shape."""

    id: str
    """Stable snake_case name, the problem's code."""
    shape: str
    """Class of the value, in `resources/`; the CRDs have the rule wherever a value of it stands."""
    field: str
    """Field of the value that the problem points at; empty for the value itself."""
    message: str
    """What is wrong, as a sentence."""
    holds: Callable[[Any], bool]
    """The predicate over the parsed value."""
    cel: str = ""
    """The same over the resource, where `self` is the value; empty where `otherwise` says why."""
    otherwise: str = ""
    """What holds it in the API server in place of CEL."""
    reason: Reason = "FieldValueInvalid"
    """The API server's word for the kind of mistake."""


TABLE: tuple[Rule, ...] = (
    Rule(
        id="one_upstream",
        shape="Upstream",
        field="",
        message="exactly one of `url`, `service` says where the model is served",
        holds=lambda self: (self.url is None) != (self.service is None),
        cel="has(self.url) != has(self.service)",
    ),
    Rule(
        id="one_quality",
        shape="Quality",
        field="",
        message="exactly one of `profile`, `profileRef`, `prior` says how good the model is",
        holds=lambda self: [self.profile, self.profile_ref, self.prior].count(None) == 2,
        cel="[has(self.profile), has(self.profileRef), has(self.prior)].filter(a, a).size() == 1",
    ),
    Rule(
        id="prior_is_certain",
        shape="Quality",
        field="prior",
        message='a prior lies between "0" and "1", both excluded: nothing is certain before it was tried',
        holds=lambda self: self.prior is None or 0 < formats.number(self.prior) < 1,
        cel="!has(self.prior) || (double(self.prior) > 0.0 && double(self.prior) < 1.0)",
    ),
    Rule(
        id="output_exceeds_context",
        shape="Limits",
        field="outputTokens",
        message="`outputTokens` is at most `contextTokens`, which holds prompt and answer together",
        holds=lambda self: self.output_tokens <= self.context_tokens,
        cel="self.outputTokens <= self.contextTokens",
    ),
    Rule(
        id="latency_is_zero",
        shape="Latency",
        field="firstToken",
        message="a latency is longer than 0",
        holds=lambda self: _lasts(self.first_token),
        cel="!has(self.firstToken) || duration(self.firstToken) > duration('0s')",
    ),
    Rule(
        id="duplicate_model",
        shape="ModelPoolSpec",
        field="models",
        message="two models of a pool have the same name",
        holds=lambda self: _distinct(model.name for model in self.models),
        otherwise="the list is a map by `name`",
    ),
    Rule(
        id="duplicate_capability",
        shape="Model",
        field="capabilities",
        message="a capability is listed twice",
        holds=lambda self: _distinct(self.capabilities),
        otherwise="the list is a set",
    ),
    Rule(
        id="audience_selector",
        shape="Audience",
        field="selector",
        message="`selector` stands with `from: Selector`, and only there",
        holds=lambda self: (self.from_ == "Selector") == (self.selector is not None),
        cel="(self.from == 'Selector') == has(self.selector)",
    ),
    Rule(
        id="one_predictor",
        shape="Predictor",
        field="",
        message="a predictor is either `default: {}`, or `url` and `sha256` together",
        holds=lambda self: (self.url is None) == (self.sha256 is None) and (self.default is None) != (self.url is None),
        cel="has(self.url) == has(self.sha256) && has(self.default) != has(self.url)",
    ),
    Rule(
        id="duplicate_pool",
        shape="RoutingPolicySpec",
        field="poolRefs",
        message="a pool is referred to twice",
        holds=lambda self: _distinct((ref.namespace, ref.name) for ref in self.pool_refs),
        cel="self.poolRefs.all(a, self.poolRefs.exists_one(b, b.name == a.name && "
        "(has(a.__namespace__) ? a.__namespace__ : '') == (has(b.__namespace__) ? b.__namespace__ : '')))",
    ),
    Rule(
        id="duplicate_alias",
        shape="Match",
        field="models",
        message="an alias is listed twice",
        holds=lambda self: _distinct(self.models),
        cel="self.models.all(a, self.models.exists_one(b, b == a))",
    ),
    Rule(
        id="strategy_utility",
        shape="Strategy",
        field="utility",
        message="`utility` stands with type `Utility`, and only there",
        holds=lambda self: (self.type == "Utility") == (self.utility is not None),
        cel="(self.type == 'Utility') == has(self.utility)",
    ),
    Rule(
        id="strategy_pinned",
        shape="Strategy",
        field="pinned",
        message="`pinned` stands with type `Pinned`, and only there",
        holds=lambda self: (self.type == "Pinned") == (self.pinned is not None),
        cel="(self.type == 'Pinned') == has(self.pinned)",
    ),
    Rule(
        id="strategy_weighted",
        shape="Strategy",
        field="weighted",
        message="`weighted` stands with type `Weighted`, and only there",
        holds=lambda self: (self.type == "Weighted") == (self.weighted is not None),
        cel="(self.type == 'Weighted') == has(self.weighted)",
    ),
    Rule(
        id="duplicate_weight",
        shape="Weighted",
        field="weights",
        message="a model has two weights",
        holds=lambda self: _distinct(weight.model for weight in self.weights),
        otherwise="the list is a map by `model`",
    ),
    Rule(
        id="no_weight",
        shape="Weighted",
        field="weights",
        message="at least one weight is larger than 0",
        holds=lambda self: any(weight.weight > 0 for weight in self.weights),
        cel="self.weights.exists(a, a.weight > 0)",
    ),
    Rule(
        id="deadline_is_zero",
        shape="Constraints",
        field="firstTokenWithin",
        message="a deadline is longer than 0",
        holds=lambda self: _lasts(self.first_token_within),
        cel="!has(self.firstTokenWithin) || duration(self.firstTokenWithin) > duration('0s')",
    ),
    Rule(
        id="timeout_is_zero",
        shape="Timeouts",
        field="",
        message="a timeout is longer than 0",
        holds=lambda self: _lasts(self.request) and _lasts(self.first_token) and _lasts(self.stream_idle),
        cel="[self.request, self.firstToken, self.streamIdle].all(a, duration(a) > duration('0s'))",
    ),
    Rule(
        id="first_token_after_request",
        shape="Timeouts",
        field="firstToken",
        message="`firstToken` is at most `request`, which holds all attempts",
        holds=lambda self: formats.milliseconds(self.first_token) <= formats.milliseconds(self.request),
        cel="duration(self.firstToken) <= duration(self.request)",
    ),
)


@cache
def of(shape: str) -> tuple[Rule, ...]:
    """The rules of a shape."""
    return tuple(rule for rule in TABLE if rule.shape == shape)


def _distinct(values: Iterable[object]) -> bool:
    listed = list(values)
    return len(set(listed)) == len(listed)


def _lasts(duration: str | None) -> bool:
    return duration is None or formats.milliseconds(duration) > 0
