"""The OpenAPI document of the engine's paths, for `/docs` and for clients that are generated.

Written here, for the engine validates, and no Python type stands for a request.
Errors come from the core's list.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tradewind import core

TITLE = "Tradewind"
SUMMARY = "Routes each chat completion to the model that is worth its price."

Json = dict[str, Any]


def openapi(version: str) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "summary": SUMMARY, "version": version},
        "paths": {
            "/v1/chat/completions": {"post": _chat()},
            "/v1/decide": {"post": _decide()},
            "/v1/models": {"get": _models()},
            "/healthz": {"get": _page("The process is alive", "The process is alive.")},
            "/readyz": {
                "get": _page("Calls can be answered", "A plan is loaded, callers can be known, and calls are accepted.", 503)
            },
            "/startupz": {
                "get": _page("A plan was loaded, or waited for", "A plan is loaded, or was waited for long enough.", 503)
            },
            "/metrics": {"get": _metrics()},
            "/plan": {"get": _page("The plan in service", "Plan id, source, when loaded, the last refusal.")},
        },
        "components": {
            "schemas": SCHEMAS,
            "responses": _errors(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _chat() -> Json:
    stream = "With `stream: true`, server-sent events of `chat.completion.chunk`, ended by `data: [DONE]`."
    answer = {
        "description": f"The model's answer. {stream}",
        "headers": _answer_headers(),
        "content": {
            "application/json": {"schema": _ref("ChatCompletion")},
            "text/event-stream": {"schema": {"type": "string", "description": stream}},
        },
    }
    return _call("Complete a chat", "The body goes on as it came, but for the model's name.", answer)


def _decide() -> Json:
    answer = {
        "description": "What would be called, and why. Nothing is called, no outcome is written.",
        "headers": _answer_headers(),
        "content": {"application/json": {"schema": _ref("Decision")}},
    }
    return _call("Decide on a chat", "Takes the body of a chat completion.", answer)


def _call(summary: str, description: str, answer: Json) -> Json:
    return {
        "summary": summary,
        "description": description,
        "tags": ["models"],
        "parameters": [_dial(*dial) for dial in DIALS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("ChatCompletionRequest")}},
        },
        "responses": {"200": answer, **{status: _response(status) for status in sorted(_errors())}},
    }


def _models() -> Json:
    answer = {
        "description": "Models and aliases that the caller may use.",
        "content": {"application/json": {"schema": _ref("ModelList")}},
    }
    responses = {"200": answer, **{str(status): _response(str(status)) for status in (401, 403, 503)}}
    return {"summary": "List models", "tags": ["models"], "responses": responses}


def _page(summary: str, description: str, *errors: int) -> Json:
    answer = {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}}
    responses = {"200": answer, **{str(status): _response(str(status)) for status in errors}}
    return {"summary": summary, "tags": ["operations"], "responses": responses, "security": []}


def _metrics() -> Json:
    kind = "application/openmetrics-text"
    answer = {"description": "Prometheus metrics.", "content": {kind: {"schema": {"type": "string"}}}}
    return {"summary": "Metrics", "tags": ["operations"], "responses": {"200": answer}, "security": []}


def _errors() -> Json:
    """One response a status, naming the codes that have it."""
    by_status: dict[str, list[str]] = defaultdict(list)
    for row in core.error_codes():
        by_status[str(row["status"])].append(f"`{row['code']}`: {row['about']}")
    return {
        status: {
            "description": "\n\n".join(codes),
            "content": {"application/json": {"schema": _ref("Error")}},
        }
        for status, codes in by_status.items()
    }


def _response(status: str) -> Json:
    return {"$ref": f"#/components/responses/{status}"}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _dial(name: str, kind: str, about: str) -> Json:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": {"type": kind}}


def _answer_headers() -> Json:
    return {name: {"description": about, "schema": {"type": "string"}} for name, about in HEADERS}


DIALS = (
    ("x-tradewind-willingness-to-pay", "number", "USD per request for quality from 0 to 1."),
    ("x-tradewind-max-cost-usd", "number", "Cap on the forecast cost in USD. It only tightens the route's."),
    ("x-tradewind-session", "string", "Name of a conversation: a turn without words inherits its forecast."),
)

HEADERS = (
    ("x-tradewind-decision", "Id of the decision; joins the outcome."),
    ("x-tradewind-model", "The model, `namespace/pool/name`."),
    ("x-tradewind-plan", "Id of the plan."),
    ("x-tradewind-decide-us", "Microseconds from body to decision."),
    ("x-tradewind-cost-usd", "Cost in USD, as known at the first byte."),
)


def _object(properties: Json, required: tuple[str, ...] = (), *, optional: Json | None = None, **more: Any) -> Json:
    """All properties are required but the optional ones, unless it is said which are."""
    known = properties | (optional or {})
    return {"type": "object", "properties": known, "required": list(required or properties), **more}


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _maybe(kind: str) -> Json:
    return {"type": [kind, "null"]}


TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}

USAGE = _object({"prompt_tokens": WHOLE, "completion_tokens": WHOLE, "total_tokens": WHOLE})

SCHEMAS: Json = {
    "ChatCompletionRequest": _object(
        {
            "model": {
                **TEXT,
                "description": "`auto`, another alias, or a model's name.",
                "examples": ["auto"],
            },
            "messages": _list(
                _object(
                    {
                        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
                        "content": {
                            "type": ["string", "array", "null"],
                            "description": "Text, or text parts.",
                        },
                    },
                    ("role",),
                    additionalProperties=True,
                )
            ),
            "stream": {**FLAG, "default": False},
            "stream_options": _object({"include_usage": FLAG}, additionalProperties=True),
            "tools": _list({"type": "object"}),
            "response_format": {"type": "object"},
            "max_tokens": {**WHOLE, "minimum": 1},
            "max_completion_tokens": {**WHOLE, "minimum": 1},
            "n": {**WHOLE, "minimum": 1},
        },
        ("model", "messages"),
        additionalProperties=True,
        description="OpenAI's. Fields that are not named here go to the model as they are.",
        examples=[{"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}],
    ),
    "ChatCompletion": _object(
        {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": WHOLE,
            "model": TEXT,
            "choices": _list(_object({"index": WHOLE, "message": {"type": "object"}, "finish_reason": _maybe("string")})),
            "usage": USAGE,
        },
        additionalProperties=True,
        description="As the model's server sent it.",
    ),
    "ModelList": _object(
        {
            "object": {"const": "list"},
            "data": _list(_object({"id": TEXT, "object": {"const": "model"}, "created": WHOLE, "owned_by": TEXT})),
        }
    ),
    "Decision": _object(
        {
            "id": TEXT,
            "plan": TEXT,
            "predictor": TEXT,
            "route": TEXT,
            "request": _object({"model": TEXT, "input_tokens": WHOLE, "needs": _list(TEXT), "template_bytes": WHOLE}),
            "objective": _object(
                {
                    "willingness_to_pay_usd": _maybe("number"),
                    "min_quality": _maybe("number"),
                    "max_request_usd": _maybe("number"),
                    "first_token_ms": _maybe("number"),
                    "when_unsatisfied": {"enum": ["reject", "best_effort"]},
                    "relaxed": _list(TEXT),
                }
            ),
            "chosen": TEXT,
            "ranking": _list(TEXT),
            "propensity": NUMBER,
            "candidates": _list(
                _object(
                    {
                        "model": TEXT,
                        "quality": NUMBER,
                        "quality_sd": NUMBER,
                        "input_tokens": WHOLE,
                        "output_tokens": WHOLE,
                        "cost_nanousd": WHOLE,
                        "first_token_ms": _maybe("number"),
                        "utility": _maybe("number"),
                        "admitted": FLAG,
                        "reason": _maybe("string"),
                    }
                )
            ),
            "readings": {"type": "object"},
        },
        optional={
            "second_tier": _object(
                {"digest": TEXT, "quality": {"type": "object", "additionalProperties": NUMBER}},
                description="What a second tier said of the models that it knows, where it was asked inline.",
            )
        },
        additionalProperties=True,
        description="Which model, why, and what the others would have been worth.",
    ),
    "Error": _object(
        {"error": _object({"message": TEXT, "type": TEXT, "param": _maybe("string"), "code": _maybe("string")})},
        description="OpenAI's shape; `code` is stable.",
    ),
}
