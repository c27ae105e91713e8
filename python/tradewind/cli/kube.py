"""`tradewind kube`: a cluster at a glance."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import typer

from tradewind.cli import options, output


def app() -> typer.Typer:
    """The commands."""
    commands = typer.Typer(help="Look at Tradewind in a cluster.", no_args_is_help=True)
    commands.callback()(_group)
    commands.command()(status)
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
