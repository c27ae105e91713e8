"""`tradewind bench`: how long decisions take, and what the gateway adds to a call."""

from __future__ import annotations

import typer

from tradewind.cli import bench_decide, bench_gateway


def app() -> typer.Typer:
    """The two commands."""
    commands = typer.Typer(help="Measure decisions and the gateway on this machine.", no_args_is_help=True)
    commands.command()(bench_decide.decide)
    commands.command()(bench_gateway.gateway)
    return commands
