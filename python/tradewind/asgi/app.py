"""The FastAPI app: paths of the engine, and the documentation of its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from tradewind import core
from tradewind.asgi import document
from tradewind.asgi.door import Door
from tradewind.asgi.source import Given, Own, Source

PATHS = (
    "/v1/chat/completions",
    "/v1/decide",
    "/v1/models",
    "/healthz",
    "/readyz",
    "/metrics",
    "/plan",
    "/v1/{rest:path}",
    "/ns/{rest:path}",
)
"""What the engine answers, busiest first; it also answers whatever no other route of the app matches."""


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
    # Plain ASGI endpoints: no request object, no validation, no response model on the way of a call.
    app.router.routes[:0] = [Route(path, door, include_in_schema=False) for path in PATHS]
    app.router.default = door

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document.openapi(core.version())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app
