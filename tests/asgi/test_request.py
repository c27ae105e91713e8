"""How a request is read from ASGI: its target, its peer, its body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from tradewind.asgi import request
from tradewind.asgi.request import ClientGone, Headers, Incomplete, Message


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ({"path": "/v1/models", "raw_path": b"/v1/models"}, b"/v1/models"),
        ({"path": "/v1/models", "raw_path": b"/v1/models", "query_string": b"a=1&b"}, b"/v1/models?a=1&b"),
        ({"path": "/é/x", "raw_path": b"/%C3%A9%2Fx"}, b"/%C3%A9%2Fx"),
        ({"path": "/é x"}, b"/%C3%A9%20x"),
        ({"path": "/llm/v1/models", "raw_path": b"/llm/v1/models", "root_path": "/llm"}, b"/v1/models"),
        ({"path": "/llm", "raw_path": b"/llm", "root_path": "/llm"}, b"/"),
        ({"path": "/llms/v1", "raw_path": b"/llms/v1", "root_path": "/llm"}, b"/llms/v1"),
        ({"path": "/a b/v1", "raw_path": b"/a%20b/v1", "root_path": "/a b"}, b"/v1"),
        ({"path": "/v1/models", "raw_path": b"/v1/models", "root_path": "/proxied"}, b"/v1/models"),
    ],
)
def test_the_target_is_what_came_below_the_mount(scope: dict[str, Any], target: bytes) -> None:
    assert request.target(scope) == target


@pytest.mark.parametrize(("client", "peer"), [(("10.0.0.1", 5), "10.0.0.1"), (None, None)])
def test_the_peer_is_the_servers_word(client: object, peer: str | None) -> None:
    assert request.peer({"client": client}) == peer


def read(messages: Iterable[Message], headers: Headers = ((b"transfer-encoding", b"chunked"),), most: int = 10) -> bytes:
    given = iter(messages)

    async def receive() -> Message:
        message = next(given, None)
        if message is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        return message

    return asyncio.run(request.body(headers, receive, most, 0.05))


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_joined_from_its_parts() -> None:
    assert read([part(b"ab"), part(b""), part(b"cd", more=False)]) == b"abcd"
    assert read([{"type": "http.request"}]) == b""
    # Nothing is announced, so nothing is waited for.
    assert read([], headers=()) == b""


@pytest.mark.parametrize(
    ("messages", "headers", "code"),
    [
        ([part(b"a" * 6), part(b"a" * 6)], ((b"transfer-encoding", b"chunked"),), "body_too_large"),
        ([], ((b"content-length", b"11"),), "body_too_large"),
        ([part(b"a")], ((b"content-length", b"5"),), "request_timeout"),
    ],
)
def test_a_body_that_is_not_taken_is_refused_at_once(messages: list[Message], headers: Headers, code: str) -> None:
    with pytest.raises(Incomplete) as raised:
        read(messages, headers)
    assert raised.value.code == code


def test_a_client_that_leaves_in_its_body_is_gone() -> None:
    with pytest.raises(ClientGone):
        read([part(b"a"), {"type": "http.disconnect"}])
