"""The FastAPI app: paths of the engine, and the documentation of its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from tradewind import core
from tradewind.asgi import document, request
from tradewind.asgi.door import Door
from tradewind.asgi.request import Receive, Scope, Send
from tradewind.asgi.source import Given, Own, Source

BUSY = frozenset({"/v1/chat/completions", "/v1/decide", "/v1/models", "/healthz", "/readyz", "/startupz", "/metrics", "/plan"})
"""Paths that go to the engine past FastAPI's router, which costs as much as a third of an answer."""


class Shortcut:
    """The innermost of the app's middlewares, in front of its router."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and request.path(scope) in BUSY:
            await self._door(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def create_app(gateway: core.Gateway | None = None) -> FastAPI:
    """An app over a gateway of the caller's, who also ends it, or over one built from the environment.

    Such a one is built when the server starts the app. A mounted app is told of no start: there the first
    request builds it.
    """
    source: Source = Own() if gateway is None else Given(gateway)
    door = Door(source)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await source.gateway()
        try:
            yield
        finally:
            await asyncio.to_thread(source.close)

    app = FastAPI(
        title=document.TITLE,
        version=core.version(),
        summary=document.SUMMARY,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
    )
    app.add_middleware(Shortcut, door=door)
    # The engine also answers what no other route matches: other namespaces, and paths that are not served.
    app.router.default = door

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document.openapi(core.version())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app
