"""Calls as a client makes them, and what came of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

Kind = Literal["unary", "stream", "stream with usage"]
KINDS: tuple[Kind, ...] = ("unary", "stream", "stream with usage")


@dataclass(frozen=True)
class Seen:
    """A call and what the client has seen of its answer."""

    user: str
    """The `user` of its body, by which the simulators' logs know it."""
    status: int
    headers: Mapping[str, str]
    events: tuple[dict[str, Any], ...]
    """Data events of a stream, or the one document of a unary answer."""
    done: bool
    """`[DONE]` came, or the answer was unary."""

    @property
    def error(self) -> str | None:
        """The code of the error event at the end."""
        code: str | None = self.events[-1].get("error", {}).get("code")
        return code

    @property
    def text(self) -> str:
        """What a stream has said."""
        choices = [event["choices"][0] for event in self.events if event.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def client(url: str) -> httpx.AsyncClient:
    """A client without a limit of its own."""
    return httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None))


def ignored(_events: int) -> None:
    """Nobody asks how far a stream has come."""


async def ask(client: httpx.AsyncClient, user: str, kind: Kind, progress: Callable[[int], None] = ignored) -> Seen:
    """One call, read to its end; `progress` is told how many events have come."""
    body: dict[str, Any] = {"model": "auto", "user": user, "messages": [{"role": "user", "content": f"A story about {user}."}]}
    if kind != "unary":
        body["stream"] = True
    if kind == "stream with usage":
        body["stream_options"] = {"include_usage": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if not response.headers["content-type"].startswith("text/event-stream"):
            document = json.loads(await response.aread())
            return Seen(user, response.status_code, response.headers, (document,), done=True)
        data: list[str] = []
        async for line in response.aiter_lines():
            if line:
                data.append(line.removeprefix("data: "))
                progress(len(data))
        done = data[-1] == "[DONE]"
        events = tuple(json.loads(event) for event in data if event != "[DONE]")
        return Seen(user, response.status_code, response.headers, events, done)
