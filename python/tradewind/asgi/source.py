"""Where an app's gateway comes from: the caller gave one, or the app builds its own."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Protocol

from tradewind import core, serving, settings


class Source(Protocol):
    """Gives the one gateway of an app."""

    ready: core.Gateway | None
    """The gateway, once it is there."""

    async def gateway(self) -> core.Gateway:
        """The gateway; the first call may build it."""

    def close(self) -> None:
        """The server stops the app. Blocks."""


class Given:
    """A gateway of the caller's, who also ends it."""

    def __init__(self, gateway: core.Gateway) -> None:
        self._gateway = gateway
        self.ready: core.Gateway | None = gateway

    async def gateway(self) -> core.Gateway:
        return self._gateway

    def close(self) -> None:
        """Nothing: it is not ours."""


class Own:
    """A gateway from `TRADEWIND_*` variables, fed from files as that of `tradewind serve` is."""

    def __init__(self) -> None:
        self.ready: core.Gateway | None = None
        self._starting = threading.Lock()
        self._stop = threading.Event()

    async def gateway(self) -> core.Gateway:
        if self.ready is not None:
            return self.ready
        return await asyncio.to_thread(self._start)

    def close(self) -> None:
        """Stops watching the files and waits for the calls in flight. What comes after is a new start."""
        with self._starting:
            self._stop.set()
            if self.ready is not None:
                self.ready.drain()
            self.ready = None

    def _start(self) -> core.Gateway:
        with self._starting:
            if self.ready is not None:
                return self.ready
            fed = serving.start(settings.from_environment(os.environ))
            self._stop = threading.Event()
            # A mounted app is told of no end, so this thread must not hold up the process's.
            watch = threading.Thread(target=serving.watch, args=(fed, self._stop), name="watch", daemon=True)
            watch.start()
            self.ready = fed.gateway
            return fed.gateway
