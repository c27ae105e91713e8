"""A plain ASGI endpoint that hands whole requests to the engine and relays its answers as they come."""

from __future__ import annotations

from asyncio import Task
from typing import TYPE_CHECKING

from tradewind.asgi import request
from tradewind.asgi.post import Post, Posts
from tradewind.asgi.request import Receive, Scope, Send
from tradewind.asgi.source import Source

if TYPE_CHECKING:
    from tradewind.core import Call


SLOW_S = 0.02
"""Seconds in which an answer that needs no upstream is there."""


class Door:
    """Serves every path of the engine. Connections and their limits are the ASGI server's."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._posts = Posts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        post = self._posts.of(self._source.ready or await self._source.gateway())
        id = post.new_id()
        try:
            call = await _handed_over(post, id, scope, receive)
        except request.ClientGone:
            return
        try:
            await _relay(post, id, call, receive, send)
        finally:
            # After the end this does nothing; before, it breaks off the upstream call.
            call.cancel()


async def _handed_over(post: Post, id: int, scope: Scope, receive: Receive) -> Call:
    gateway = post.gateway
    headers = scope["headers"]
    try:
        body = await request.body(headers, receive, gateway.max_body_bytes, gateway.body_read_timeout_s)
    except request.Incomplete as incomplete:
        return gateway.fail(post.mailbox, id, incomplete.code)
    return gateway.call(post.mailbox, id, scope["method"], request.target(scope), headers, body, request.peer(scope))


async def _relay(post: Post, id: int, call: Call, receive: Receive, send: Send) -> None:
    watch = Watch(post, id, receive)
    try:
        more = True
        while more and not watch.gone:
            news = call.take()
            if news is None:
                await post.news(id)
                continue
            status, headers, body, more = news
            if status is not None:
                await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": more})
    finally:
        watch.end()


class Watch:
    """Notices that the client leaves. Its task costs more than many an answer, so it starts with the slow ones."""

    def __init__(self, post: Post, id: int, receive: Receive) -> None:
        self.gone = False
        self._post = post
        self._id = id
        self._receive = receive
        self._task: Task[None] | None = None
        self._timer = post.loop.call_later(SLOW_S, self._start)

    def end(self) -> None:
        """The answer is complete, or broken off."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = self._post.loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._post.wake(self._id)
