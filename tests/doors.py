"""Both doors on one engine, on free loopback ports, for the tests that go through HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from tradewind import asgi, core

Gateways = Callable[..., core.Gateway]
"""Builds gateways from an upstream's URL and settings."""

NAMES = ("native", "asgi")
SETTINGS: Mapping[str, Any] = {"workers": 1, "drain_s": 5, "rest_ms": 0, "max_body_bytes": 64 << 10}


@dataclass(frozen=True)
class Doors:
    """One engine behind both doors."""

    gateway: core.Gateway
    native: str
    asgi: str

    def url(self, door: str) -> str:
        """Base URL of a door, without `/v1`."""
        return self.native if door == "native" else self.asgi


@contextmanager
def opened(
    plan: bytes | None, predictors: list[bytes], settings: Mapping[str, Any] | None = None, **given: Any
) -> Iterator[Doors]:
    """A gateway with both doors open; ends it."""
    gateway = core.Gateway(plan, predictors, settings={**SETTINGS, **(settings or {})}, **given)
    try:
        native = gateway.listen("127.0.0.1:0")
        with served(asgi.create_app(gateway)) as url:
            yield Doors(gateway, f"http://{native}", url)
    finally:
        gateway.drain()


@contextmanager
def served(app: FastAPI, root_path: str = "") -> Iterator[str]:
    """An app under uvicorn; gives its URL.

    The socket listens before the server runs, so nobody has to wait for it.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    host, port = listener.getsockname()
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", root_path=root_path, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            server.run(sockets=[listener])
        except BaseException as error:  # noqa: BLE001 - raised again on the test's thread
            failed.append(error)

    thread = threading.Thread(target=run, name="uvicorn")
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    if failed:
        raise failed[0]
