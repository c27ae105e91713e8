"""ModelPool: upstreams with what they charge, hold and are good at."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tradewind.resources import formats
from tradewind.resources.audience import Audience
from tradewind.resources.shape import Labels, Metadata, Shape


class Service(Shape):
    """A Kubernetes Service in the pool's namespace."""

    name: formats.NamespaceName = Field(description="Name of the Service.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="Port of the Service.")
    path: formats.UrlPath = Field(default="/v1", description="Path of the API, up to and without `/chat/completions`.")


class SecretKeyRef(Shape):
    """A key of a Secret in the pool's namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: formats.ObjectName = Field(description="Name of the Secret.")
    key: formats.DataKey = Field(description="Key in the Secret.")


class Credentials(Shape):
    """The upstream's API key; never written into a plan."""

    secret_key_ref: SecretKeyRef = Field(description="Where the API key lies.")


class Upstream(Shape):
    """Where a model is served."""

    url: formats.Url | None = Field(default=None, description="Base URL, up to and without `/chat/completions`.")
    service: Service | None = Field(default=None, description="Service in the pool's namespace.")
    dialect: Literal["OpenAI"] = Field(default="OpenAI", description="API that the upstream speaks.")
    model: formats.UpstreamModel | None = Field(
        default=None, description="What the upstream calls the model; its name in the pool where absent."
    )
    credentials: Credentials | None = Field(default=None, description="API key of the upstream.")


class Price(Shape):
    """What a model charges, in USD per million tokens."""

    input_per_million: formats.Usd = Field(description="USD per million prompt tokens.")
    output_per_million: formats.Usd = Field(description="USD per million answer tokens.")
    cached_input_per_million: formats.Usd | None = Field(
        default=None,
        description="USD per million prompt tokens that the upstream had cached; as input where absent.",
    )


Tokens = Annotated[int, Field(ge=1, le=100_000_000)]


class Limits(Shape):
    """What a model holds."""

    context_tokens: Tokens = Field(description="Tokens of prompt and answer together.")
    output_tokens: Tokens = Field(description="Tokens of an answer.")
    concurrent_requests_per_gateway: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Calls in flight from one gateway; unbounded where absent."
    )


class ConfigMapKeyRef(Shape):
    """A key of a ConfigMap in the pool's namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: formats.ObjectName = Field(description="Name of the ConfigMap.")
    key: formats.DataKey = Field(description="Key in the ConfigMap, whose value is the profile's JSON.")


class Quality(Shape):
    """How good a model is."""

    profile: formats.Name | None = Field(default=None, description="A profile of the predictor's manifest.")
    profile_ref: ConfigMapKeyRef | None = Field(default=None, description="A profile of your own, from a ConfigMap.")
    prior: formats.Fraction | None = Field(
        default=None,
        description="Share of average prompts that the model answers well, where nothing was measured.",
    )


class Latency(Shape):
    """How fast a model is, until it is observed."""

    first_token: formats.Duration | None = Field(default=None, description="Time to the first token.")
    output_tokens_per_second: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Tokens per second of one answer, after the first."
    )


class Model(Shape):
    """One upstream with price, limits and profile."""

    name: formats.Name = Field(description="Name in the pool, by which callers may ask for it.")
    upstream: Upstream = Field(description="Where it is served.")
    price: Price = Field(description="What it charges in USD; unpriced is not free.")
    limits: Limits = Field(description="What it holds, in tokens and calls.")
    capabilities: list[Literal["Tools", "JSON"]] = Field(
        default_factory=list,
        max_length=16,
        description="What it can do: calls that need more are not sent to it.",
        json_schema_extra={"noun": "capability", "x-kubernetes-list-type": "set"},
    )
    labels: Labels = Field(default_factory=dict, max_length=32, description="For the allow-lists of policies.")
    quality: Quality = Field(description="How good it is.")
    latency: Latency = Field(default_factory=Latency, description="How fast it is, until it is observed.")


class ModelPoolSpec(Shape):
    """The models of a pool."""

    allowed_namespaces: Audience = Field(
        default_factory=Audience, description="Namespaces whose policies may refer to this pool, besides its own."
    )
    models: list[Model] = Field(
        min_length=1,
        max_length=64,
        description="1 to 64 models, each name once.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class ModelPool(Shape):
    """Upstreams with what they charge, hold and are good at."""

    api_version: Literal["tradewind.dev/v1alpha1"] = Field(description="`tradewind.dev/v1alpha1`.")
    kind: Literal["ModelPool"] = Field(description="`ModelPool`.")
    metadata: Metadata = Field(description="Name and namespace.")
    spec: ModelPoolSpec = Field(description="What is wanted.")
