"""The unmodified `openai` SDK, sync and async, through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionToolParam
from place import Place
from pydantic import BaseModel

MESSAGES: Any = [{"role": "user", "content": "Name a harbour."}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


class Person(BaseModel):
    """A structured answer."""

    name: str
    age: int


@pytest.fixture
def client(place: Place) -> Iterator[OpenAI]:
    with OpenAI(base_url=place.base_url, api_key=place.key, max_retries=0) as client:
        yield client


def test_a_completion_with_the_reason_and_the_cost_in_its_headers(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
    answer = raw.parse()
    assert "simulated answer" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert raw.headers["x-tradewind-model"].startswith("default/chat/")
    assert float(raw.headers["x-tradewind-cost-usd"]) > 0
    assert raw.headers["x-tradewind-decision"]


def test_a_stream_is_the_same_answer_in_pieces(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="medium", messages=MESSAGES).choices[0].message.content
    with client.chat.completions.create(model="medium", messages=MESSAGES, stream=True) as stream:
        chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == whole
    assert len(chunks) > 3
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_usage_where_the_client_asks_for_it(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(model="medium", messages=MESSAGES, stream=True, stream_options=options)
    with stream:
        last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


@pytest.mark.parametrize("streaming", [False, True])
def test_tools_pass_through(client: OpenAI, streaming: bool) -> None:
    messages: Any = [{"role": "user", "content": "Please call the tool."}]
    if streaming:
        with client.chat.completions.stream(model="auto", messages=messages, tools=[TOOL]) as stream:
            answer: Any = stream.get_final_completion()
    else:
        answer = client.chat.completions.create(model="auto", messages=messages, tools=[TOOL])
    message = answer.choices[0].message
    call = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("look", '{"place":"simulated"}')
    # A turn that brings the tool's result goes on like any other.
    turns = [*messages, message, {"role": "tool", "tool_call_id": call.id, "content": "Genoa"}]
    after = client.chat.completions.create(model="auto", messages=turns, tools=[TOOL])
    assert after.choices[0].finish_reason == "stop"


def test_structured_output_passes_through(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(model="auto", messages=MESSAGES, response_format=Person)
    person = parsed.choices[0].message.parsed
    assert person is not None
    assert (person.name, person.age) == ("simulated", 1)


def test_models_are_listed(client: OpenAI) -> None:
    assert {"auto", "capped", "tiny", "strong"} <= {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("kind", "code", "body"),
    [
        (openai.BadRequestError, "invalid_request", {"max_tokens": -1}),
        (openai.BadRequestError, "invalid_header", {"extra_headers": {"x-tradewind-max-cost-usd": "much"}}),
        (openai.AuthenticationError, "unauthorized", {"extra_headers": {"authorization": "Bearer sk-wrong"}}),
        (openai.NotFoundError, "model_not_found", {"model": "gpt-none"}),
        (openai.UnprocessableEntityError, "no_candidate", {"model": "capped"}),
    ],
)
def test_errors_are_the_sdks_classes(
    client: OpenAI, kind: type[openai.APIStatusError], code: str, body: dict[str, Any]
) -> None:
    with pytest.raises(kind) as raised:
        client.chat.completions.create(**{"model": "auto", "messages": MESSAGES, **body})
    assert raised.value.code == code


def test_the_async_client_does_many_things_at_once(place: Place) -> None:
    async def streamed(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="medium", messages=MESSAGES, stream=True)
        async with stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def whole(client: AsyncOpenAI) -> str:
        answer = await client.chat.completions.create(model="medium", messages=MESSAGES)
        return answer.choices[0].message.content or ""

    async def refused(client: AsyncOpenAI) -> str:
        with pytest.raises(openai.NotFoundError) as raised:
            await client.chat.completions.create(model="gpt-none", messages=MESSAGES)
        return raised.value.code or ""

    async def all_of_it() -> list[str]:
        async with AsyncOpenAI(base_url=place.base_url, api_key=place.key, max_retries=0) as client:
            asked = [ask(client) for ask in (streamed, whole, refused) for _ in range(8)]
            return await asyncio.gather(*asked)

    answers = asyncio.run(all_of_it())
    assert len(set(answers[:16])) == 1
    assert answers[16:] == ["model_not_found"] * 8
