"""`tradewind simulate`: an OpenAI-compatible upstream that answers without a model, with prices, delays and
faults.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli import output
from tradewind.errors import TradewindError, UsageError


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    models: Annotated[
        str | None,
        typer.Option(help="name:in:out[:cached],…: USD per million tokens. Two models where absent."),
    ] = None,
    first_token_ms: Annotated[int, typer.Option(min=0, help="Milliseconds to the first token.")] = 0,
    token_rate: Annotated[float, typer.Option(min=0, help="Tokens per second of an answer; 0 is unbounded.")] = 0.0,
    fail: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong, such as `status=503:0.1`, `stall-after=5:0.1:model=NAME`. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the faults' draws.")] = 0,
    answers: Annotated[Path | None, typer.Option(help="JSON Lines of {prompt | contains, answer}.")] = None,
    log: Annotated[Path | None, typer.Option(help="File that gets one flushed line per answer.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Refuse calls without this bearer key.")] = None,
) -> None:
    """Run a simulated upstream until SIGINT or SIGTERM. GET /_stats says what it served."""
    from tradewind import core

    # The simulator ends by itself at the first SIGINT; Python's handler would interrupt what comes after.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        totals = core.run_simulator(
            lambda url: output.words().print(f"simulating at {url}/v1"),
            host=host,
            port=port,
            models=models,
            first_token_ms=first_token_ms,
            token_rate=token_rate,
            fail=fail or [],
            seed=seed,
            answers=answers,
            log=log,
            api_key=api_key,
        )
    except TradewindError as error:
        # The simulator's own flags are all that it can refuse.
        raise UsageError(error.message, error.path) from None
    finally:
        signal.signal(signal.SIGINT, before)
    output.document(totals)
