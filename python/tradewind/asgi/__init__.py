"""The ASGI door: a FastAPI app over the engine that the native door serves too.

Run it (`uvicorn tradewind.asgi:app`), or mount it in an app of yours
(`yours.mount("/llm", tradewind.asgi.app)`). It reads the same `TRADEWIND_*` variables as
`tradewind serve`.
"""

from tradewind.asgi.app import create_app

__all__ = ["app", "create_app"]

app = create_app()
