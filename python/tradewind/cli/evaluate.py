"""`tradewind evaluate`: replays the production `decide` on outcome tables and scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.errors import UsageError


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of data sets.")],
    sets: Annotated[str | None, typer.Option(help="Data sets, separated by commas; all where absent.")] = None,
    predictor: options.Predictor = None,
    fit: Annotated[
        str | None,
        typer.Option(help="Estimator to fit on the rows outside the split, in place of a predictor."),
    ] = None,
    split: Annotated[str, typer.Option(help="question:<seed>, task:<name> or none.")] = "none",
    plans_out: Annotated[Path | None, typer.Option(help="Folder for the plans that decided.")] = None,
    decisions_out: Annotated[Path | None, typer.Option(help="File for the decisions, JSON Lines.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for the report: Markdown and PNG.")] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Score a router offline: AIQ, Zero, APGR and their kin, each with a 95 % interval."""
    output.need_training()
    from tradewind.cli.progress import Progress
    from tradewind.training import evaluate as evaluation

    if predictor is not None and fit is not None:
        raise UsageError("give --predictor or --fit, not both", "--fit")
    chosen = evaluation.Options(
        data=data,
        sets=output.names(sets),
        predictor=predictor,
        fit=fit,
        split=split,
        plans_out=plans_out,
        decisions_out=decisions_out,
        report=report,
        seed=seed,
    )
    with Progress() as progress:
        document = evaluation.run(chosen, progress.say)
        progress.end()
    if as_json:
        output.document(document)
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """A table for people."""
    from rich.table import Table

    names = sorted({name for scores in document["sets"].values() for name, value in scores.items() if _interval(value)})
    table = Table("set", "n", *names)
    for name, scores in document["sets"].items():
        table.add_row(name, str(scores["n"]), *(_cell(scores.get(metric)) for metric in names))
    output.tables().print(table)


def _interval(value: object) -> bool:
    return isinstance(value, dict) and {"value", "low", "high"} <= value.keys()


def _cell(value: Any) -> str:
    return f"{value['value']:.4g} [{value['low']:.4g}, {value['high']:.4g}]" if _interval(value) else ""
