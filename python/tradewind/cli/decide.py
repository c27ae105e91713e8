"""`tradewind decide`: decisions on many calls, without calling anything. The same inputs give the same
bytes.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli import options, output
from tradewind.cli.options import Executor
from tradewind.errors import UsageError


def decide(
    input: Annotated[
        Path,
        typer.Option("--input", help="JSON Lines of {id, body | text, willingness_to_pay_usd?}, the id a string; - is stdin."),
    ],
    plan: Annotated[Path | None, typer.Argument(help="Plan source (.json), in place of --config.")] = None,
    config: options.Config = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    executor: options.ExecutorOption = Executor.native,
    at: Annotated[str | None, typer.Option(help="Time of the calls, RFC 3339. The epoch where absent.")] = None,
    seed: options.Seed = 0,
    tenant: options.Tenant = "default",
    as_json: options.Json = False,
) -> None:
    """Decide on many calls; one decision or error a line.

    A text stands for the body {"model":"auto","messages":[{"role":"user","content":TEXT}]}, without spaces and
    escapes that JSON does not need: input tokens are estimated from the bytes of the body.
    """
    from tradewind.engine import Engine

    if plan is not None and config is not None:
        raise UsageError("give a plan or --config, not both", "--config")
    at_ns = nanoseconds(at) if at is not None else 0
    calls = output.read_input(input)
    engine = Engine.from_config(
        plan or config, predictor_at=predictor, predictor_cache=predictor_cache, executor=executor.value
    )
    decisions = engine.decide_lines(calls, tenant=tenant, at_ns=at_ns, seed=seed)
    if as_json:
        output.lines(decisions)
    found = show(decisions, quiet=as_json)
    raise typer.Exit(1 if found else 0)


def nanoseconds(moment: str) -> int:
    """Unix nanoseconds of an RFC 3339 time."""
    time = when(moment, "--at")
    whole = int(time.replace(microsecond=0).timestamp())
    return max(whole * 1_000_000_000 + time.microsecond * 1_000, 0)


def when(moment: str, flag: str) -> datetime:
    """A time with its zone."""
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        time = datetime.min
    if time.tzinfo is None:
        raise UsageError(f"{flag} is `{moment}`; expected a time with its zone, such as `2026-01-31T12:00:00Z`", flag)
    return time


def show(decisions: bytes, quiet: bool) -> int:
    """Shows decisions to people, unless `quiet`; gives the number of errors."""
    errors = 0
    rows: list[tuple[str, str, str, str]] = []
    for line in decisions.splitlines():
        # A decision opens with its id and plan; only what does not is worth reading, if nobody looks at the
        # rest.
        if quiet and b'"plan":"sha256:' in line:
            continue
        given = json.loads(line)
        if "error" in given:
            errors += 1
            rows.append((str(given["id"]), f"error: {given['error']['message']}", "", ""))
            continue
        chosen = next(each for each in given["candidates"] if each["model"] == given["chosen"])
        rows.append((given["id"], given["chosen"], f"{chosen['quality']:.2f}", f"${chosen['cost_nanousd'] / 1e9:.6f}"))
    if not quiet:
        from rich.table import Table

        table = Table("call", "model", "quality", "cost")
        for row in rows:
            table.add_row(*row)
        output.tables().print(table)
    return errors
