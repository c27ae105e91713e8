"""The table of effects: for every field two values of it, and what is observed to differ between them, all else being equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

Object = dict[str, Any]


class Absent(Enum):
    """Where there is no value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""The value of a field that is not there."""

Shown = Literal[
    "problem",
    "chosen model",
    "why `cheap` is not admitted",
    "route",
    "probability of the chosen model",
    "answer",
    "answering model",
    "end of the stream",
    "cost in USD",
    "upstream's path",
    "upstream's host",
    "upstream's model",
    "upstream's authorization",
]
"""What can be observed: of a configuration, of a decision, of an answer, of what an upstream is sent."""

POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {name: chat}
spec:
  models:
  - name: cheap
    upstream: {url: "{url}/v1"}
    price: {inputPerMillion: "0.05", outputPerMillion: "0.20"}
    limits: {contextTokens: 32768, outputTokens: 8192}
    quality: {profile: tiny}
  - name: dear
    upstream: {url: "{url}/v1"}
    price: {inputPerMillion: "10", outputPerMillion: "30"}
    limits: {contextTokens: 32768, outputTokens: 8192}
    quality: {profile: strong}
"""
POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: policy}
spec:
  poolRefs: [{name: chat}]
  strategy: {type: Cheapest}
"""


@dataclass(frozen=True)
class Ask:
    """A call."""

    model: str = "auto"
    text: str = "Hi"
    tenant: str = "default"
    """Namespace of the caller, who shows its key."""
    namespace: str | None = None
    """Namespace that it addresses; its own where absent."""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Other fields of the body."""
    beside: bool = False
    """Whether a stream of the same model is open at the time."""


@dataclass(frozen=True)
class Effect:
    """A row. Objects are `POOL` and `POLICY`; in texts, `{url}` is the upstream, `{port}` its port, `{port2}` another's, and
    `{predictor}` is where a predictor is with `{digest}`, `{second}` a second tier with `{second_digest}`."""

    field: str
    does: str
    """What it does, as a sentence for people."""
    values: tuple[Any, Any]
    shown: Shown
    seen: tuple[str, str]
    """What is observed with each value."""
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of other fields, the same for both; `[]` is the first of a list, `[1]` the second."""
    beside: tuple[Object, ...] = ()
    """Other objects."""
    ask: Ask = Ask()
    at: str = ""
    """The field around it that the values are of, where it cannot stand with all that is there else."""


def model(name: str, **more: Any) -> Object:
    """A model of a pool beside."""
    return {
        "name": name,
        "upstream": {"url": "{url}/v1"},
        "price": {"inputPerMillion": "1", "outputPerMillion": "1"},
        "limits": {"contextTokens": 32768, "outputTokens": 8192},
        "quality": {"prior": "0.5"},
        **more,
    }


def pool(name: str, *models: Object, namespace: str = "default", **spec: Any) -> Object:
    """A pool beside."""
    return _object("ModelPool", name, namespace, {"models": list(models), **spec})


def policy(name: str, *pools: Object, namespace: str = "default", **spec: Any) -> Object:
    """A policy beside."""
    return _object("RoutingPolicy", name, namespace, {"poolRefs": list(pools), "strategy": {"type": "Best"}, **spec})


def namespace(name: str, **labels: str) -> Object:
    """A namespace with labels."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def config_map(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _object(kind: str, name: str, namespace: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "tradewind.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


MODEL = "ModelPool.spec.models[]"
OTHER = "ModelPool.spec.models[1]"
ROUTE = "RoutingPolicy.spec"

NONE = "none"
CHEAP, DEAR = "default/chat/cheap", "default/chat/dear"
BEST = {f"{ROUTE}.strategy": {"type": "Best"}}
# A policy of another namespace than its pool's.
APART = {"RoutingPolicy.metadata.namespace": "other", f"{ROUTE}.poolRefs[].namespace": "default"}
OPEN = {"ModelPool.spec.allowedNamespaces": {"from": "All"}}
SELECTOR = {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
SERVED = {f"{MODEL}.upstream": {"service": {"name": "a", "port": "{port}"}}}
SECRET = {f"{MODEL}.upstream.credentials": {"secretKeyRef": {"name": "keys", "key": "small"}}}
PROFILED = {f"{MODEL}.quality": {"profileRef": {"name": "profiles", "key": "weak"}}, **BEST}
PROFILES = (
    config_map("profiles", weak='{"bias": -5}', good='{"bias": 9}'),
    config_map("better", weak='{"bias": 9}'),
)
FETCHED = {"url": "{predictor}", "sha256": "{digest}"}
# By it, `cheap` is good and `dear` is not.
SECOND = {
    "default": {},
    "secondTier": {"url": "{second}", "sha256": "{second_digest}", "ambiguity": "1", "weight": "1", "use": "Inline"},
}
ASKED = {f"{ROUTE}.predictor": SECOND, **BEST}
UTILITY = {"type": "Utility", "utility": {"willingnessToPayUSD": "0.5"}}
MODEL_POOL: tuple[Effect, ...] = (
    Effect(
        "ModelPool.apiVersion",
        "Names the form of the resource: no other is read.",
        ("tradewind.dev/v1alpha1", "tradewind.dev/v1"),
        "problem",
        (NONE, "unknown_name"),
    ),
    Effect("ModelPool.kind", "Names the kind: no other is read.", ("ModelPool", "Pool"), "problem", (NONE, "unknown_name")),
    Effect(
        "ModelPool.metadata.name",
        "Policies refer to the pool by it, and it is part of its models' ids: `namespace/pool/model`.",
        ("chat", "talk"),
        "problem",
        (NONE, "missing_pool"),
    ),
    Effect(
        "ModelPool.metadata.namespace",
        "Whose pool it is: policies of other namespaces need `allowedNamespaces`, Secrets and Services are looked for in it.",
        ("default", "other"),
        "problem",
        (NONE, "missing_pool"),
    ),
    Effect(
        "ModelPool.spec.allowedNamespaces.from",
        "Lets policies of other namespaces refer to the pool.",
        ("Same", "All"),
        "problem",
        ("not_permitted", NONE),
        given=APART,
    ),
    Effect(
        "ModelPool.spec.allowedNamespaces.selector.matchLabels",
        "Lets policies of the namespaces that carry these labels refer to the pool.",
        ({"team": "a"}, {"team": "b"}),
        "problem",
        (NONE, "not_permitted"),
        given={**APART, "ModelPool.spec.allowedNamespaces": SELECTOR},
        beside=(namespace("other", team="a"),),
    ),
    Effect(
        f"{MODEL}.name",
        "Callers may ask for the model by it, policies name it.",
        ("cheap", "small"),
        "answer",
        ("200", "404 model_not_found"),
        ask=Ask("cheap"),
    ),
    Effect(
        f"{MODEL}.upstream.url",
        "Where calls go.",
        ("{url}/v1", "{url}/openai"),
        "upstream's path",
        ("/v1/chat/completions", "/openai/chat/completions"),
    ),
    Effect(
        f"{MODEL}.upstream.service.name",
        "Calls go to this Service of the pool's namespace.",
        ("a", "b"),
        "upstream's host",
        ("a.default.svc:{port}", "b.default.svc:{port}"),
        given=SERVED,
    ),
    Effect(
        f"{MODEL}.upstream.service.port",
        "Calls go to this port of the Service.",
        ("{port}", "{port2}"),
        "upstream's host",
        ("a.default.svc:{port}", "a.default.svc:{port2}"),
        given=SERVED,
    ),
    Effect(
        f"{MODEL}.upstream.service.path",
        "Calls go below this path of the Service.",
        ("/v1", "/openai"),
        "upstream's path",
        ("/v1/chat/completions", "/openai/chat/completions"),
        given=SERVED,
    ),
    Effect(
        f"{MODEL}.upstream.dialect",
        "Names the API that the upstream is spoken to in; there is one so far, and another is refused.",
        ("OpenAI", "Anthropic"),
        "problem",
        (NONE, "unknown_name"),
    ),
    Effect(
        f"{MODEL}.upstream.model",
        "Stands in the request in place of the name that the caller gave.",
        (ABSENT, "Qwen/Qwen3-8B"),
        "upstream's model",
        ("cheap", "Qwen/Qwen3-8B"),
    ),
    Effect(
        f"{MODEL}.upstream.credentials.secretKeyRef.name",
        "Calls carry a key of this Secret; without it the model is not called.",
        ("keys", "others"),
        "upstream's authorization",
        ("Bearer sk-keys-small", "Bearer sk-others-small"),
        given=SECRET,
    ),
    Effect(
        f"{MODEL}.upstream.credentials.secretKeyRef.key",
        "Calls carry this key of the Secret; without it the model is not called.",
        ("small", "large"),
        "upstream's authorization",
        ("Bearer sk-keys-small", "Bearer sk-keys-large"),
        given=SECRET,
    ),
    Effect(
        f"{MODEL}.price.inputPerMillion",
        "Enters the cost by which candidates are ordered, capped and accounted.",
        ("0.05", "50000"),
        "chosen model",
        (CHEAP, DEAR),
    ),
    Effect(
        f"{MODEL}.price.outputPerMillion",
        "Enters the cost by which candidates are ordered, capped and accounted.",
        ("0.20", "20000"),
        "chosen model",
        (CHEAP, DEAR),
    ),
    Effect(
        f"{MODEL}.price.cachedInputPerMillion",
        "Prompt tokens that the upstream reports as cached are accounted with it.",
        (ABSENT, "0.01"),
        "cost in USD",
        ("0.000050000", "0.000010000"),
        given={f"{MODEL}.upstream.model": "cached"},
    ),
    Effect(
        f"{MODEL}.limits.contextTokens",
        "Calls that are longer, with the answer that they ask for, do not go to the model.",
        (32768, 1000),
        "why `cheap` is not admitted",
        (NONE, "context_length"),
        given={f"{MODEL}.limits.outputTokens": 1000},
        ask=Ask(more={"max_tokens": 1000}),
    ),
    Effect(
        f"{MODEL}.limits.outputTokens",
        "Calls that ask for a longer answer do not go to the model.",
        (8192, 100),
        "why `cheap` is not admitted",
        (NONE, "output_length"),
        ask=Ask(more={"max_tokens": 1000}),
    ),
    Effect(
        f"{MODEL}.limits.concurrentRequestsPerGateway",
        "While as many calls of one gateway are in flight, further ones go elsewhere.",
        (ABSENT, 1),
        "answering model",
        (CHEAP, DEAR),
        given={f"{MODEL}.upstream.model": "held"},
        ask=Ask(beside=True),
    ),
    Effect(
        f"{MODEL}.capabilities",
        "Calls that need a capability go only to models that have it.",
        (["Tools"], []),
        "why `cheap` is not admitted",
        (NONE, "capability"),
        given={f"{OTHER}.capabilities": ["Tools"]},
        ask=Ask(more={"tools": [{"type": "function", "function": {"name": "look"}}]}),
    ),
    Effect(
        f"{MODEL}.labels",
        "Policies with `constraints.models` admit models by them.",
        ({"region": "eu"}, {"region": "us"}),
        "why `cheap` is not admitted",
        (NONE, "labels"),
        given={f"{OTHER}.labels": {"region": "eu"}, f"{ROUTE}.constraints": {"models": {"matchLabels": {"region": "eu"}}}},
    ),
    Effect(
        f"{MODEL}.quality.profile",
        "Names the measured profile from which quality and length of answers are forecast.",
        ("tiny", "strong"),
        "chosen model",
        (DEAR, CHEAP),
        given={f"{OTHER}.quality.profile": "medium", **BEST},
    ),
    Effect(
        f"{MODEL}.quality.profileRef.name",
        "Quality and length are forecast from a profile in this ConfigMap.",
        ("profiles", "better"),
        "chosen model",
        (DEAR, CHEAP),
        given=PROFILED,
        beside=PROFILES,
    ),
    Effect(
        f"{MODEL}.quality.profileRef.key",
        "Quality and length are forecast from the profile under this key.",
        ("weak", "good"),
        "chosen model",
        (DEAR, CHEAP),
        given=PROFILED,
        beside=PROFILES,
    ),
    Effect(
        f"{MODEL}.quality.prior",
        "Quality is forecast from it where nothing was measured.",
        ("0.2", "0.8"),
        "chosen model",
        (DEAR, CHEAP),
        given={f"{MODEL}.quality": {"prior": "0.2"}, f"{OTHER}.quality": {"prior": "0.5"}, **BEST},
    ),
    Effect(
        f"{MODEL}.latency.firstToken",
        "Policies with `constraints.firstTokenWithin` admit by it until it is observed.",
        ("100ms", "10s"),
        "why `cheap` is not admitted",
        (NONE, "first_token"),
        given={f"{ROUTE}.constraints": {"firstTokenWithin": "1s"}},
    ),
    Effect(
        f"{MODEL}.latency.outputTokensPerSecond",
        "A model whose expected answer would take longer than `timeouts.request` is not admitted.",
        (1000, 1),
        "why `cheap` is not admitted",
        (NONE, "duration"),
        given={f"{ROUTE}.timeouts": {"request": "2s", "firstToken": "1s"}},
    ),
)

ROUTING_POLICY: tuple[Effect, ...] = (
    Effect(
        "RoutingPolicy.apiVersion",
        "Names the form of the resource: no other is read.",
        ("tradewind.dev/v1alpha1", "tradewind.dev/v1"),
        "problem",
        (NONE, "unknown_name"),
    ),
    Effect(
        "RoutingPolicy.kind",
        "Names the kind: no other is read.",
        ("RoutingPolicy", "Policy"),
        "problem",
        (NONE, "unknown_name"),
    ),
    Effect(
        "RoutingPolicy.metadata.name",
        "Is part of the route's id, which decisions name; of equals, the first by name wins an alias.",
        ("policy", "default"),
        "route",
        ("default/policy", "default/default"),
    ),
    Effect(
        "RoutingPolicy.metadata.namespace",
        "Whose policy it is: it takes the calls of this namespace's callers.",
        ("default", "other"),
        "answer",
        ("200", "404 model_not_found"),
        given={**OPEN, f"{ROUTE}.poolRefs[].namespace": "default"},
    ),
    Effect(
        f"{ROUTE}.poolRefs[].name",
        "The models of this pool are candidates.",
        ("chat", "spare"),
        "chosen model",
        (CHEAP, "default/spare/big"),
        beside=(pool("spare", model("big")),),
    ),
    Effect(
        f"{ROUTE}.poolRefs[].namespace",
        "The pool is that of this namespace, if it allows.",
        (ABSENT, "other"),
        "chosen model",
        (CHEAP, "other/chat/big"),
        beside=(pool("chat", model("big"), namespace="other", allowedNamespaces={"from": "All"}),),
    ),
    Effect(
        f"{ROUTE}.callers.from",
        "Lets callers of other namespaces address the policy at `/ns/NAMESPACE/v1`.",
        ("Same", "All"),
        "answer",
        ("403 forbidden", "200"),
        ask=Ask(tenant="other", namespace="default"),
    ),
    Effect(
        f"{ROUTE}.callers.selector.matchLabels",
        "Lets callers of the namespaces that carry these labels address the policy.",
        ({"team": "b"}, {"team": "a"}),
        "answer",
        ("403 forbidden", "200"),
        given={f"{ROUTE}.callers": SELECTOR},
        beside=(namespace("other", team="a"),),
        ask=Ask(tenant="other", namespace="default"),
    ),
    Effect(
        f"{ROUTE}.match.models",
        "The policy takes calls that ask for these names.",
        (["auto"], ["chat"]),
        "answer",
        ("200", "404 model_not_found"),
    ),
    Effect(
        f"{ROUTE}.match.when",
        "The policy takes calls for which this holds; where no policy takes one, it is refused.",
        ("size(request.tools) == 0", "size(request.tools) > 0"),
        "answer",
        ("200", "404 no_route"),
    ),
    Effect(
        f"{ROUTE}.priority",
        "Of two policies of a namespace with one alias, the larger takes the call.",
        (0, 1),
        "route",
        ("default/another", "default/policy"),
        beside=(policy("another", {"name": "chat"}),),
    ),
    Effect(
        f"{ROUTE}.predictor.default",
        "Quality is forecast by the predictor that ships with Tradewind, not by one of your own.",
        ({"default": {}}, FETCHED),
        "chosen model",
        (DEAR, CHEAP),
        given={f"{ROUTE}.strategy": UTILITY},
        at=f"{ROUTE}.predictor",
    ),
    Effect(
        f"{ROUTE}.predictor.url",
        "Where the predictor is fetched from.",
        ("{predictor}", "{predictor}.old"),
        "problem",
        (NONE, "missing_predictor"),
        given={f"{ROUTE}.predictor": FETCHED},
    ),
    Effect(
        f"{ROUTE}.predictor.sha256",
        "What is fetched must be this, or the policy is refused.",
        ("{digest}", "0" * 64),
        "problem",
        (NONE, "missing_predictor"),
        given={f"{ROUTE}.predictor": FETCHED},
    ),
    Effect(
        f"{ROUTE}.predictor.secondTier.url",
        "Where a slower graph is fetched from, which is asked where the choice is close.",
        ("{second}", "{second}.old"),
        "problem",
        (NONE, "missing_predictor"),
        given=ASKED,
    ),
    Effect(
        f"{ROUTE}.predictor.secondTier.sha256",
        "What is fetched must be this, or the policy is refused.",
        ("{second_digest}", "0" * 64),
        "problem",
        (NONE, "missing_predictor"),
        given=ASKED,
    ),
    Effect(
        f"{ROUTE}.predictor.secondTier.ambiguity",
        "A choice is close where it is ahead of the next by less than this.",
        ("0.01", "1"),
        "chosen model",
        (DEAR, CHEAP),
        given=ASKED,
    ),
    Effect(
        f"{ROUTE}.predictor.secondTier.weight",
        "How much the second tier's word counts beside the first's.",
        ("0.01", "1"),
        "chosen model",
        (DEAR, CHEAP),
        given=ASKED,
    ),
    Effect(
        f"{ROUTE}.predictor.secondTier.use",
        "Whether it decides, or only labels outcomes for the next training.",
        ("Labels", "Inline"),
        "chosen model",
        (DEAR, CHEAP),
        given=ASKED,
    ),
    Effect(
        f"{ROUTE}.strategy.type",
        "Orders the candidates that are admitted.",
        ("Cheapest", "Best"),
        "chosen model",
        (CHEAP, DEAR),
    ),
    Effect(
        f"{ROUTE}.strategy.utility.willingnessToPayUSD",
        "What a request's quality is worth: the more, the dearer a model may be.",
        ("0.00001", "10"),
        "chosen model",
        (CHEAP, DEAR),
        given={f"{ROUTE}.strategy": UTILITY},
    ),
    Effect(
        f"{ROUTE}.strategy.pinned.model",
        "The model that calls go to while it can be called.",
        ("cheap", "dear"),
        "chosen model",
        (CHEAP, DEAR),
        given={f"{ROUTE}.strategy": {"type": "Pinned", "pinned": {"model": "cheap"}}},
    ),
    Effect(
        f"{ROUTE}.strategy.weighted.weights[].model",
        "A model that calls go to by its share.",
        ("cheap", "dear"),
        "chosen model",
        (CHEAP, DEAR),
        given={f"{ROUTE}.strategy": {"type": "Weighted", "weighted": {"weights": [{"model": "cheap", "weight": 1}]}}},
    ),
    Effect(
        f"{ROUTE}.strategy.weighted.weights[].weight",
        "The model's share of calls, as part of all weights.",
        (0, 1),
        "probability of the chosen model",
        ("1.0", "0.5"),
        given={
            f"{ROUTE}.strategy": {
                "type": "Weighted",
                "weighted": {"weights": [{"model": "cheap", "weight": 1}, {"model": "dear", "weight": 1}]},
            }
        },
    ),
    Effect(
        f"{ROUTE}.constraints.minQuality",
        "Candidates that are forecast to answer worse are not admitted.",
        ("0.10", "0.90"),
        "why `cheap` is not admitted",
        (NONE, "min_quality"),
        given={f"{MODEL}.quality": {"prior": "0.3"}, f"{OTHER}.quality": {"prior": "0.99"}},
    ),
    Effect(
        f"{ROUTE}.constraints.maxRequestUSD",
        "Candidates that are forecast to cost more are not admitted.",
        ("1", "0.001"),
        "chosen model",
        (DEAR, CHEAP),
        given=BEST,
    ),
    Effect(
        f"{ROUTE}.constraints.firstTokenWithin",
        "Candidates whose first token is forecast later are not admitted.",
        ("10s", "1s"),
        "why `cheap` is not admitted",
        (NONE, "first_token"),
        given={f"{MODEL}.latency": {"firstToken": "5s"}},
    ),
    Effect(
        f"{ROUTE}.constraints.models.matchLabels",
        "Models without these labels are not admitted.",
        ({}, {"region": "eu"}),
        "why `cheap` is not admitted",
        (NONE, "labels"),
        given={f"{OTHER}.labels": {"region": "eu"}},
    ),
    Effect(
        f"{ROUTE}.constraints.whenUnsatisfied",
        "Where no candidate keeps to floor, cap and deadline: the call is refused, or goes to the nearest.",
        ("Reject", "BestEffort"),
        "answer",
        ("422 no_candidate", "200"),
        given={f"{ROUTE}.constraints": {"maxRequestUSD": "0"}},
    ),
    Effect(
        f"{ROUTE}.timeouts.request",
        "A call that takes longer, all attempts together, is ended.",
        ("20s", "100ms"),
        "answer",
        ("200", "504 upstream_timeout"),
        given={f"{MODEL}.upstream.model": "late", f"{ROUTE}.timeouts": {"firstToken": "100ms"}, f"{ROUTE}.retry.attempts": 0},
    ),
    Effect(
        f"{ROUTE}.timeouts.firstToken",
        "A stream whose first byte comes later has failed: another model is called.",
        ("20s", "100ms"),
        "answering model",
        (CHEAP, DEAR),
        given={f"{MODEL}.upstream.model": "late"},
        ask=Ask(more={"stream": True}),
    ),
    Effect(
        f"{ROUTE}.timeouts.streamIdle",
        "A stream that is silent for longer is ended with an error.",
        ("20s", "100ms"),
        "end of the stream",
        ("[DONE]", "upstream_timeout"),
        given={f"{MODEL}.upstream.model": "pauses"},
        ask=Ask(more={"stream": True}),
    ),
    Effect(
        f"{ROUTE}.retry.attempts",
        "After a failure as many other models are called.",
        (0, 1),
        "answer",
        ("502 upstream_status", "200"),
        given={f"{MODEL}.upstream.model": "fails"},
    ),
)

TABLE: tuple[Effect, ...] = MODEL_POOL + ROUTING_POLICY
