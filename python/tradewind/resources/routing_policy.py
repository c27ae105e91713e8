"""RoutingPolicy: which calls go to which candidates, by which strategy, within which constraints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tradewind.resources import formats
from tradewind.resources.audience import Audience
from tradewind.resources.shape import Labels, Metadata, Shape

LONGEST_WHEN = 1024
"""Characters of a condition."""


class PoolRef(Shape):
    """A pool whose models are candidates."""

    name: formats.ObjectName = Field(description="Name of the ModelPool.")
    namespace: formats.NamespaceName | None = Field(default=None, description="Its namespace; the policy's where absent.")


class Match(Shape):
    """Which calls the policy takes."""

    models: list[formats.Name] = Field(
        default=["auto"],
        min_length=1,
        max_length=32,
        description="Aliases that callers ask for as `model`.",
        # As a set, a server-side apply of other aliases would keep the default one.
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    when: Annotated[str, Field(min_length=1, max_length=LONGEST_WHEN)] | None = Field(
        default=None,
        description='CEL over `request` and `caller` that must hold for a call, such as "size(request.tools) == 0"; '
        "every call where absent. The controller compiles it: status tells what is wrong with it.",
    )


class DefaultPredictor(Shape):
    """The predictor that ships with Tradewind; it has no parameters."""

    # Pruned, an unknown field would be gone before `kubectl apply --server-side` could be refused for it.
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "maxProperties": 0})


class SecondTier(Shape):
    """A slower graph that is asked where the choice is close."""

    url: formats.Url = Field(description="http or https URL of its ONNX file; its `manifest.json` lies beside it.")
    sha256: formats.Digest = Field(description="Digest of the ONNX file, which must be this one.")
    ambiguity: formats.Fraction = Field(
        description="It is asked where the chosen model is ahead of the best other by less than this, in units of quality: "
        "of quality less cost by the willingness to pay, where the strategy trades."
    )
    weight: formats.Fraction = Field(default="0.5", description="Its share in the logit of quality.")
    use: Literal["Labels", "Inline"] = Field(
        default="Labels",
        description="Whether its forecasts go into the outcomes, for training, or a call waits and is decided with them.",
    )


class Predictor(Shape):
    """What forecasts quality: the shipped predictor, or one of your own."""

    default: DefaultPredictor | None = Field(
        default=None, description="The predictor that ships with Tradewind: `default: {}`."
    )
    url: formats.Url | None = Field(
        default=None, description="http or https URL of an ONNX file; its `manifest.json` lies beside it."
    )
    sha256: formats.Digest | None = Field(default=None, description="Digest of the ONNX file, which must be this one.")
    second_tier: SecondTier | None = Field(default=None, description="A slower graph that is asked where the choice is close.")


class Utility(Shape):
    """Parameters of strategy `Utility`."""

    willingness_to_pay_usd: formats.Usd = Field(
        alias="willingnessToPayUSD",
        description="USD per request for quality from 0 to 1: larger buys quality.",
    )


class Pinned(Shape):
    """Parameters of strategy `Pinned`."""

    model: formats.Name = Field(description="Name of the model; the others are its stand-ins.")


class Weight(Shape):
    """Share of a model."""

    model: formats.Name = Field(description="Name of the model.")
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = Field(description="Its share of the sum of weights.")


class Weighted(Shape):
    """Parameters of strategy `Weighted`."""

    weights: list[Weight] = Field(
        min_length=1,
        max_length=64,
        description="Models and their shares.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["model"]},
    )


class Strategy(Shape):
    """How candidates are ordered; each type has the parameters of its own name."""

    type: Literal["Best", "Cheapest", "Pinned", "Utility", "Weighted"] = Field(
        description="How candidates are ordered.", json_schema_extra={"noun": "strategy"}
    )
    utility: Utility | None = Field(default=None, description="Parameters of type `Utility`.")
    pinned: Pinned | None = Field(default=None, description="Parameters of type `Pinned`.")
    weighted: Weighted | None = Field(default=None, description="Parameters of type `Weighted`.")


class ModelSelector(Shape):
    """Which models of the pools may be candidates."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: Labels = Field(default_factory=dict, max_length=32, description="Labels that a candidate must carry.")


class Constraints(Shape):
    """What must hold for a candidate."""

    min_quality: formats.Fraction | None = Field(default=None, description="Least forecast quality.")
    max_request_usd: formats.Usd | None = Field(
        default=None, alias="maxRequestUSD", description="Largest forecast cost of a request in USD."
    )
    first_token_within: formats.Duration | None = Field(default=None, description="Latest forecast first token.")
    models: ModelSelector = Field(default_factory=ModelSelector, description="Which models may be candidates.")
    when_unsatisfied: Literal["Reject", "BestEffort"] = Field(
        default="Reject",
        description="Whether floor, cap and deadline refuse a call or only order candidates.",
    )


class Timeouts(Shape):
    """How long to wait."""

    request: formats.Duration = Field(default="60s", description="Whole request, all attempts.")
    first_token: formats.Duration = Field(default="15s", description="First byte of a stream of one attempt.")
    stream_idle: formats.Duration = Field(
        default="30s",
        description="Silence within a stream; an answer that is no stream may take `firstToken` and this to its first byte.",
    )


class Retry(Shape):
    """What follows a failed attempt."""

    attempts: Annotated[int, Field(ge=0, le=10)] = Field(default=2, description="Additional attempts; 0 for none.")


class RoutingPolicySpec(Shape):
    """The rules of one route."""

    pool_refs: list[PoolRef] = Field(
        min_length=1,
        max_length=16,
        description="Pools whose models are candidates.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    callers: Audience = Field(
        default_factory=Audience,
        description="Namespaces whose callers may address this policy at `/ns/NAMESPACE/v1`, besides its own.",
    )
    match: Match = Field(default_factory=Match, description="Which calls the policy takes.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0,
        description="Which of two policies of a namespace has an alias: the larger, then the older, then by name.",
    )
    predictor: Predictor | None = Field(  # No default of the API server: `kubectl apply` of the other form would keep it.
        default=None, description="What forecasts quality; the shipped predictor where absent."
    )
    strategy: Strategy = Field(description="How candidates are ordered.")
    constraints: Constraints = Field(default_factory=Constraints, description="What must hold for a candidate.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long to wait.")
    retry: Retry = Field(default_factory=Retry, description="What follows a failed attempt.")


class RoutingPolicy(Shape):
    """Which calls go to which candidates, by which strategy, within which constraints."""

    api_version: Literal["tradewind.dev/v1alpha1"] = Field(description="`tradewind.dev/v1alpha1`.")
    kind: Literal["RoutingPolicy"] = Field(description="`RoutingPolicy`.")
    metadata: Metadata = Field(description="Name and namespace.")
    spec: RoutingPolicySpec = Field(description="What is wanted.")
