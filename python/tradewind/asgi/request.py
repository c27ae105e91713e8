"""A request as ASGI brings it: its body, whole, and its target below the place where the app is mounted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal
from urllib.parse import quote

Headers = Iterable[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGone(Exception):
    """The client left before its request was complete."""


class Incomplete(Exception):
    """A body that is not taken; the code says why."""

    def __init__(self, code: Literal["body_too_large", "request_timeout"]) -> None:
        super().__init__(code)
        self.code = code


async def body(headers: Iterable[tuple[bytes, bytes]], receive: Receive, most: int, patience_s: float) -> bytes:
    """The whole body. Raises `Incomplete` as soon as it is too large or takes too long, and `ClientGone`."""
    length = announced(headers)
    if length > most:
        raise Incomplete("body_too_large")
    if length == 0 and not any(name == b"transfer-encoding" for name, _ in headers):
        return b""
    reading = asyncio.current_task()
    assert reading is not None
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        reading.cancel()

    # What `asyncio.timeout` does, in a sixth of its time.
    timer = asyncio.get_running_loop().call_later(patience_s, expire)
    try:
        return await _read(receive, most)
    except asyncio.CancelledError:
        if late and reading.uncancel() == 0:
            raise Incomplete("request_timeout") from None
        raise
    finally:
        timer.cancel()


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > most:
            raise Incomplete("body_too_large")
        parts.append(part)
        if not message.get("more_body", False):
            # The usual body comes in one piece, which `join` does not copy.
            return b"".join(parts)


def announced(headers: Headers) -> int:
    """The body's length as the client announced it; 0 where it did not."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def path(scope: Scope) -> str:
    """The decoded path below the place where the app is mounted."""
    whole: str = scope["path"]
    mounted: str = scope.get("root_path", "")
    if mounted and whole.startswith(mounted) and whole[len(mounted) :][:1] in ("/", ""):
        return whole[len(mounted) :] or "/"
    return whole


def target(scope: Scope) -> bytes:
    """Path and query, percent-encoded as they came, below the place where the app is mounted."""
    whole: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    mounted: str = scope.get("root_path", "")
    if mounted:
        prefix = quote(mounted).encode()
        if whole.startswith(prefix) and whole[len(prefix) :][:1] in (b"/", b""):
            whole = whole[len(prefix) :] or b"/"
    query: bytes = scope.get("query_string", b"")
    return whole + b"?" + query if query else whole


def peer(scope: Scope) -> str | None:
    """The client's address; `None` on a Unix socket."""
    client = scope.get("client")
    return client[0] if client else None
