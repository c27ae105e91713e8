"""`tradewind kube`: a cluster at a glance."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.cli import options, output


def app() -> typer.Typer:
    """The commands."""
    commands = typer.Typer(help="Look at Tradewind in a cluster.", no_args_is_help=True)
    commands.callback()(_group)
    commands.command()(status)
    commands.command()(selftest)
    return commands


def _group() -> None:
    """Look at Tradewind in a cluster."""


def status(
    namespace: Annotated[str | None, typer.Option(help="Namespace of the install.", show_default="tradewind-system")] = None,
    controller: Annotated[
        str | None,
        typer.Option(help="URLs of the controller's metrics port, separated by commas, where its pods cannot be reached."),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask each gateway what it routes by, whatever it acknowledged.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show pools, policies, data-plane pods and plan ids. Exit status 1 where something is not Ready or not current."""
    from tradewind.controller import overview
    from tradewind.settings import controller_from_environment

    settings = controller_from_environment(os.environ, namespace=namespace)
    found = asyncio.run(overview.collect(settings, output.names(controller), probe))
    if as_json:
        output.document(found)
    else:
        _show(found)
    raise typer.Exit(0 if overview.healthy(found) else 1)


def selftest(
    gateway: Annotated[list[str], typer.Option(help="Base URL of a gateway, without /v1; may be given again.")],
    trust: Annotated[Path | None, typer.Option(help="PEM bundle to trust gateways by. The system's where absent.")] = None,
    token: Annotated[
        Path | None, typer.Option(help="File of a ServiceAccount token with audience `tradewind`, to ask as its namespace.")
    ] = None,
    injection: Annotated[
        str | None, typer.Option(help="Namespace in which a labelled pod must get a sidecar; tried by a dry run.")
    ] = None,
    within: Annotated[int, typer.Option(min=0, help="Seconds until which everything must hold.")] = 30,
    as_json: options.Json = False,
) -> None:
    """Test an install from inside: gateways are ready and know the caller, and pods get sidecars. Exit status 1 where not."""
    import dataclasses

    from tradewind.controller import selftest

    if trust is not None:
        output.read_input(trust)
    shown = output.read_input(token).decode().strip() if token is not None else ""
    wanted = selftest.Wanted(tuple(url.rstrip("/") for url in gateway), trust, shown, injection or "", within)
    checks = asyncio.run(selftest.run(wanted))
    if as_json:
        output.document({"checks": [dataclasses.asdict(check) for check in checks]})
    else:
        for check in checks:
            output.tables().print(f"{check.name}  {check.problem or 'ok'}", markup=False, soft_wrap=True)
    raise typer.Exit(1 if any(check.problem for check in checks) else 0)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    console = output.tables()
    plan = found["plan"]
    console.print("plan    " + (f"{plan['id']}, serial {plan['serial']}" if plan else "none is published"))
    console.print(f"leader  {found['leader'] or 'none'}")
    for title, rows in (("pools", found["pools"]), ("policies", found["policies"])):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        usable_column = ("USABLE",) if title == "pools" else ()
        for column in ("NAMESPACE", "NAME", *usable_column, "ACCEPTED", "REFS", "PROGRAMMED", "READY", "WHY"):
            table.add_column(column, overflow="fold")
        for row in rows:
            usable = (row.get("usable", ""),) if title == "pools" else ()
            table.add_row(row["namespace"], row["name"], *usable, *_statuses(row["conditions"]))
        console.print(table)
    table = Table(
        "POD", "ROLE", "READY", "VERSION", "SERIAL", "PLAN", "CURRENT", title="data plane", title_justify="left", box=None
    )
    for row in found["pods"]:
        name = row["pod"] if row["role"] == "gateway" else f"{row['namespace']}/{row['pod']}"
        shown = (row["version"] or "-", str(row["serial"] or "-"), _short(row["plan"]))
        table.add_row(name, row["role"], _yes(row["ready"]), *shown, _yes(row["current"]))
    console.print(table)
    for sentence in found["unknown"]:
        output.words().print(f"unknown: {sentence}")


def _statuses(conditions: dict[str, Any]) -> list[str]:
    kinds = ("Accepted", "ResolvedRefs", "Programmed", "Ready")
    shown = [conditions.get(kind, {}).get("status", "-") for kind in kinds]
    failing = next((conditions[kind] for kind in kinds if conditions.get(kind, {}).get("status") == "False"), None)
    return [*shown, f"{failing['reason']}: {failing['message']}" if failing else ""]


def _short(plan: str | None) -> str:
    return plan.removeprefix("sha256:")[:12] if plan else "-"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
