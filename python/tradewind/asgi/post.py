"""Waits, on one event loop, for news of the calls that it has in the engine."""

from __future__ import annotations

import asyncio
import itertools
import threading
from asyncio import AbstractEventLoop, Future

from tradewind import core


class Post:
    """One loop's mailbox: a single reader wakes every call that has news."""

    def __init__(self, gateway: core.Gateway, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.gateway = gateway
        self.mailbox = gateway.mailbox()
        self._ids = itertools.count()
        self._waiting: dict[int, Future[None]] = {}
        loop.add_reader(self.mailbox.fileno(), self._deliver)

    def new_id(self) -> int:
        """An id that no other call of this loop has."""
        return next(self._ids)

    async def news(self, id: int) -> None:
        """Returns when a call has news. It may have been taken already: take again, and wait again."""
        waiting = self._waiting[id] = self.loop.create_future()
        try:
            await waiting
        finally:
            del self._waiting[id]

    def wake(self, id: int) -> None:
        """Ends a wait."""
        waiting = self._waiting.get(id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def close(self) -> None:
        """Stops listening."""
        if not self.loop.is_closed():
            self.loop.remove_reader(self.mailbox.fileno())

    def _deliver(self) -> None:
        for id in self.mailbox.ready():
            self.wake(id)


class Posts(threading.local):
    """The post of the running loop: a thread runs one loop at a time."""

    def __init__(self) -> None:
        self._post: Post | None = None

    def of(self, gateway: core.Gateway) -> Post:
        """The post of this thread's loop and a gateway."""
        loop = asyncio.get_running_loop()
        post = self._post
        if post is None or post.loop is not loop or post.gateway is not gateway:
            if post is not None:
                post.close()
            post = self._post = Post(gateway, loop)
        return post
