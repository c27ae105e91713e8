"""The golden requests: what is sent to a gateway in which state, and what every door answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from world import STRATEGIES

CHAT = "/v1/chat/completions"
DECIDE = "/v1/decide"
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
SCHEMA = {"name": "person", "schema": {"type": "object", "properties": {"age": {"type": "integer"}}}}


@dataclass(frozen=True)
class Case:
    """A row. `code` makes it an error in OpenAI's shape; `contains` are parts of the body."""

    name: str
    path: str = CHAT
    body: Any = None
    """Bytes as they are, anything else as JSON."""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    state: str = "usual"
    status: int = 200
    code: str | None = None
    param: str | None = None
    contains: tuple[str, ...] = ()
    gives: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer."""
    drawn: bool = False
    """A draw decides, so two answers need not be alike."""

    def bytes(self) -> bytes | None:
        """The body that is sent."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


def ask(model: str = "auto", text: str = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    """A body with one user message."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def answered_by(name: str) -> dict[str, str]:
    """The header that names the model."""
    return {"x-tradewind-model": f"default/chat/{name}", "content-type": "application/json"}


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


def read(path: str, **more: Any) -> Case:
    """A GET of a page, named by its path."""
    return Case(f"GET {path}", path, method="GET", **more)


SSE = {"content-type": "text/event-stream"}
LONG = "Prove that " + "each of these numbers divides the next one; " * 60

PAGES = [
    read("/healthz", contains=('"ok"',)),
    read("/readyz", contains=('"ready"', "sha256:")),
    read("/startupz", contains=('"started"', "sha256:")),
    read("/plan", contains=("sha256:", '"refusal":null', "default/auto")),
    read("/v1/models", contains=('"auto"', '"strong"', '"owned_by":"default/chat"')),
    Case("HEAD /healthz", "/healthz", method="HEAD"),
    Case("the health of a gateway with keys", "/healthz", method="GET", state="keyed"),
    Case(
        "models for a key",
        "/v1/models",
        method="GET",
        headers=bearer("sk-default"),
        state="keyed",
        contains=('"auto"',),
    ),
    Case(
        "models for a key without routes",
        "/v1/models",
        method="GET",
        headers=bearer("sk-other"),
        state="keyed",
        contains=('"data":[]',),
    ),
    Case(
        "models of another namespace",
        "/ns/default/v1/models",
        method="GET",
        headers=bearer("sk-other"),
        state="keyed",
        contains=('"shared"', '"gold"', '"medium"'),
    ),
    Case(
        "models of a namespace that does not admit the caller",
        "/ns/other/v1/models",
        method="GET",
        headers=bearer("sk-default"),
        state="keyed",
        status=403,
        code="forbidden",
    ),
    Case("the plan before there is one", "/plan", method="GET", state="without_plan", contains=('"plan":null',)),
]

CALLS = [
    *(
        Case(
            f"strategy {name}",
            body=ask(name),
            gives={"content-type": "application/json"},
            drawn=name == "weighted",
        )
        for name in STRATEGIES
    ),
    *(
        Case(
            f"decide by {name}",
            DECIDE,
            ask(name),
            contains=(f'"route":"default/{name}"',),
            drawn=name == "weighted",
        )
        for name in STRATEGIES
    ),
    Case("an easy prompt goes to a cheap model", body=ask("auto", "Hi"), gives=answered_by("tiny")),
    Case(
        "a willingness to pay buys quality",
        body=ask("auto", LONG),
        headers={"x-tradewind-willingness-to-pay": "5"},
        gives=answered_by("strong"),
    ),
    Case(
        "a model by its name",
        body=ask("medium"),
        gives=answered_by("medium"),
        contains=("simulated answer by medium",),
    ),
    Case("a model by its id", body=ask("default/chat/medium"), gives=answered_by("medium")),
    Case("in a session", body=ask(), headers={"x-tradewind-session": "s1"}),
    Case(
        "text parts",
        body={"model": "auto", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    ),
    Case(
        "tools",
        body=ask("medium", "Call the tool, please.", tools=[TOOL]),
        contains=('"tool_calls"', '"look"'),
    ),
    Case(
        "structured output",
        body=ask("medium", response_format={"type": "json_schema", "json_schema": SCHEMA}),
        contains=('{\\"age\\":1}',),
    ),
    Case("two choices", body=ask("medium", n=2), contains=('"index":1',)),
    Case("a stream", body=ask("medium", stream=True), gives=SSE, contains=("data: [DONE]",)),
    Case(
        "a stream with usage",
        body=ask("medium", stream=True, stream_options={"include_usage": True}),
        gives=SSE,
        contains=('"prompt_tokens"', "data: [DONE]"),
    ),
    Case(
        "a stream with tools",
        body=ask("medium", "Call the tool, please.", stream=True, tools=[TOOL]),
        gives=SSE,
        contains=('"tool_calls"',),
    ),
    Case("failover", body=ask("failover"), gives=answered_by("tiny")),
    Case(
        "failover of a stream",
        body=ask("failover", stream=True),
        gives={"x-tradewind-model": "default/chat/tiny", **SSE},
    ),
    Case("an odd answer", body=ask("to-odd"), contains=("new_field",)),
    Case(
        "a refusal that is the client's to read",
        body=ask("to-refuses"),
        status=400,
        contains=("temperature is too high",),
    ),
    Case(
        "a namespace of one's own",
        f"/ns/default{CHAT}",
        ask("medium"),
        headers=bearer("sk-default"),
        state="keyed",
    ),
    Case(
        "a namespace that admits the caller",
        f"/ns/default{CHAT}",
        ask("shared"),
        headers=bearer("sk-other"),
        state="keyed",
        gives=answered_by("medium"),
    ),
    Case(
        "a namespace that admits every caller with a label",
        f"/ns/default{CHAT}",
        ask("shared"),
        headers=bearer("sk-gold"),
        state="keyed",
        gives=answered_by("strong"),
    ),
    Case(
        "decide in another namespace",
        f"/ns/default{DECIDE}",
        ask("shared"),
        headers=bearer("sk-gold"),
        state="keyed",
        contains=('"route":"default/for-gold"',),
    ),
    Case(
        "the first policy whose condition holds",
        DECIDE,
        ask("conditional", tools=[TOOL], metadata={"author": "ada"}),
        contains=('"route":"default/with-tools"',),
    ),
    Case(
        "the second policy whose condition holds",
        body=ask("conditional", metadata={"author": "ada"}),
        gives=answered_by("strong"),
    ),
    Case("the policy without a condition", body=ask("conditional"), gives=answered_by("small")),
    Case("a key in another header", body=ask("medium"), headers={"x-api-key": "sk-default"}, state="keyed"),
    Case("a query", f"{CHAT}?api-version=1", ask("medium")),
]

REFUSED_REQUESTS = [
    Case("no JSON", body=b"{", status=400, code="invalid_json"),
    Case("no body", body=None, status=400, code="invalid_json"),
    Case(
        "too deep",
        body=b'{"model":"auto","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
        status=400,
        code="invalid_json",
    ),
    Case("no messages", body={"model": "auto"}, status=400, code="invalid_request", param="messages"),
    Case("a wrong type", body=ask(max_tokens="many"), status=400, code="invalid_request", param="max_tokens"),
    Case(
        "the same through decide",
        DECIDE,
        ask(max_tokens="many"),
        status=400,
        code="invalid_request",
        param="max_tokens",
    ),
    Case(
        "an image",
        body={
            "model": "auto",
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        },
        status=400,
        code="unsupported_content",
    ),
    Case(
        "a dial that is no number",
        body=ask(),
        headers={"x-tradewind-max-cost-usd": "much"},
        status=400,
        code="invalid_header",
    ),
    Case("an empty session", body=ask(), headers={"x-tradewind-session": ""}, status=400, code="invalid_header"),
    Case(
        "a dial that is ignored",
        body=ask("best"),
        headers={"x-tradewind-willingness-to-pay": "1"},
        status=400,
        code="dial_ignored",
    ),
    Case(
        "an unknown model",
        body=ask("gpt-none"),
        status=404,
        code="model_not_found",
        param="model",
        contains=("`auto`",),
    ),
    Case(
        "another tenant's model",
        body=ask("auto"),
        headers=bearer("sk-other"),
        state="keyed",
        status=404,
        code="model_not_found",
    ),
    Case(
        "an unknown path",
        "/v1/embeddings",
        {},
        status=404,
        code="not_found",
        contains=("POST /v1/chat/completions",),
    ),
    Case("an unknown path outside /v1", "/console", method="GET", status=404, code="not_found"),
    Case("an unknown path in a namespace", "/ns/default/v1/files", method="GET", status=404, code="not_found"),
    Case(
        "an encoded path",
        "/v1/%C3%A9%2Fx",
        method="GET",
        status=404,
        code="not_found",
        contains=("%C3%A9%2Fx",),
    ),
    Case("a trailing slash", f"{CHAT}/", ask(), status=404, code="not_found"),
    Case("GET of a call", CHAT, method="GET", status=405, code="method_not_allowed", gives={"allow": "POST"}),
    Case("POST of a page", "/v1/models", {}, status=405, code="method_not_allowed", gives={"allow": "GET"}),
    Case("a large body", body=ask(text="a" * (65 << 10)), status=413, code="body_too_large"),
    Case(
        "a large head",
        body=ask(),
        headers={"x-large": "a" * (64 << 10)},
        status=431,
        code="head_too_large",
    ),
    Case(
        "no key",
        body=ask(),
        state="keyed",
        status=401,
        code="unauthorized",
        gives={"www-authenticate": "Bearer"},
    ),
    Case(
        "an unknown key",
        body=ask(),
        headers=bearer("sk-unknown"),
        state="keyed",
        status=401,
        code="unauthorized",
    ),
    Case(
        "another namespace",
        f"/ns/other{CHAT}",
        ask(),
        headers=bearer("sk-default"),
        state="keyed",
        status=403,
        code="forbidden",
    ),
    Case(
        "an alias of another namespace that is not for the caller",
        f"/ns/default{CHAT}",
        ask("auto"),
        headers=bearer("sk-other"),
        state="keyed",
        status=404,
        code="model_not_found",
        param="model",
        contains=("`shared`",),
    ),
    Case(
        "no policy whose condition holds",
        body=ask("strict"),
        status=404,
        code="no_route",
        param="model",
        contains=("`default/with-tools`, `default/of-ada`",),
    ),
    Case(
        "another namespace's policy whose condition does not hold",
        f"/ns/default{CHAT}",
        ask("gold"),
        headers=bearer("sk-other"),
        state="keyed",
        status=404,
        code="no_route",
    ),
    Case("no plan", body=ask(), state="without_plan", status=503, code="no_plan", gives={"retry-after": "1"}),
    Case("no plan to be ready with", "/readyz", method="GET", state="without_plan", status=503, code="no_plan"),
    Case(
        "as many calls as are allowed",
        body=ask(),
        state="full",
        status=429,
        code="overloaded",
        gives={"retry-after": "1"},
    ),
]

REFUSED_BY_POLICY = [
    Case("policy labels", body=ask("labels"), status=422, code="no_candidate", contains=("removed by labels",)),
    Case(
        "policy capability",
        body=ask("capability", tools=[TOOL]),
        status=422,
        code="no_candidate",
        contains=("removed by capability",),
    ),
    Case(
        "policy context_length",
        body=ask("lengths", LONG, max_tokens=4),
        status=422,
        code="no_candidate",
        contains=("removed by context_length",),
    ),
    Case(
        "policy output_length",
        body=ask("lengths", "Hi", max_tokens=9),
        status=422,
        code="no_candidate",
        contains=("removed by output_length",),
    ),
    Case(
        "policy max_cost",
        body=ask(),
        headers={"x-tradewind-max-cost-usd": "0"},
        status=422,
        code="no_candidate",
        contains=("removed by max_cost",),
    ),
    Case(
        "policy min_quality",
        body=ask("min_quality"),
        status=422,
        code="no_candidate",
        contains=("removed by min_quality",),
    ),
    Case(
        "policy first_token",
        body=ask("first_token"),
        status=422,
        code="no_candidate",
        contains=("removed by first_token",),
    ),
    Case(
        "policy duration",
        body=ask("duration"),
        status=422,
        code="no_candidate",
        contains=("removed by duration",),
    ),
    Case("policies bind a model by its name", body=ask("plain", tools=[TOOL]), status=422, code="no_candidate"),
]

FAULTS = [
    Case("an unreachable upstream", body=ask("to-unreachable"), status=502, code="upstream_connect"),
    Case(
        "an upstream that a gateway of controllers does not call",
        body=ask("medium"),
        headers=bearer("sk-default"),
        state="fed",
        status=502,
        code="upstream_forbidden",
        contains=("a loopback address",),
    ),
    Case(
        "a credential that has not been delivered",
        body=ask("to-unpaid"),
        status=503,
        code="credential_missing",
        contains=("default/keys/unpaid",),
    ),
    Case("a silent upstream", body=ask("to-silent"), status=504, code="upstream_timeout"),
    Case("an upstream that fails", body=ask("to-fails"), status=502, code="upstream_status"),
    Case("an upstream that denies", body=ask("to-denies"), status=502, code="upstream_rejected"),
    Case("an upstream that throttles", body=ask("to-throttles"), status=429, code="upstream_rate_limited"),
    Case("an upstream that breaks off", body=ask("to-breaks"), status=502, code="upstream_broken"),
    Case("an upstream that speaks no HTTP", body=ask("to-babbles"), status=502, code="upstream_invalid"),
    Case(
        "a stream that breaks off before it begins",
        body=ask("to-breaks", stream=True),
        status=502,
        code="upstream_broken",
    ),
    Case("a stream that is cut", body=ask("to-cuts", stream=True), gives=SSE, contains=('"upstream_broken"',)),
]

CASES = PAGES + CALLS + REFUSED_REQUESTS + REFUSED_BY_POLICY + FAULTS

ELSEWHERE = {
    "all_resting": "test_states: it takes a failure first",
    "draining": "test_states: it takes a shutdown in the middle of a request",
    "drain_timeout": "test_states: it is in the outcome of a call that is cut",
    "request_timeout": "test_states: it takes a request that stays incomplete",
    "client_gone": "nobody is left to read it: it is in the outcome",
    "invalid_plan": "no request causes it: a swap raises it",
    "invalid_predictor": "no request causes it: loading one raises it",
    "predictor_failed": "artifacts/test_own_graph: it takes a graph that gives no forecast",
    "identity_unavailable": "sync/test_follow: it takes a controller that has not sent keys yet",
    "internal": "no request is known to cause it",
}
"""Codes that no row shows, and where they are shown or why not."""
