"""`tradewind ledger`: what happened to calls, from the outcome log."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.cli import options, output
from tradewind.cli.decide import when

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewind.artifacts.outcome import Outcome

FOLDER = Path("ledger")


def ledger(
    dir: Annotated[Path, typer.Option("--dir", help="Folder of the outcome log, or one of its files.")] = FOLDER,
    since: Annotated[str | None, typer.Option(help="Only outcomes from this time on, RFC 3339.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show outcomes: one JSON line each, or a summary by model."""
    moment = when(since, "--since") if since is not None else None
    sums: dict[str, Sum] = defaultdict(Sum)
    for outcome in outcomes(dir):
        from tradewind.artifacts.outcome import since as not_older

        if moment is not None and not not_older(outcome, moment):
            continue
        if as_json:
            output.lines(json.dumps(outcome.document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        else:
            sums[outcome.answered_by or f"({outcome.document.get('error') or 'no answer'})"].add(outcome)
    if not as_json:
        summary(sums)


@dataclass
class Sum:
    """What a model answered."""

    calls: int = 0
    cost_nanousd: int = 0
    baseline_nanousd: int = 0

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.calls += 1
        self.cost_nanousd += outcome.cost_nanousd
        self.baseline_nanousd += outcome.baseline_cost_nanousd or 0


def outcomes(folder: Path) -> Iterator[Outcome]:
    """The outcomes of a ledger; lines that cannot be read are counted on stderr."""
    from tradewind.artifacts import outcome as artifact

    torn = 0
    for entry in artifact.read(folder):
        if isinstance(entry, artifact.Torn):
            torn += 1
        else:
            yield entry
    if torn:
        output.words().print(f"{torn} line{'' if torn == 1 else 's'} cut off by a crash left out")


def summary(sums: dict[str, Sum]) -> None:
    """Calls and dollars by the model that answered."""
    from rich.table import Table

    table = Table("answered by", "calls", "cost", "always the best", show_footer=bool(sums))
    for column in table.columns[1:]:
        column.justify = "right"
    for model, entry in sorted(sums.items()):
        table.add_row(model, str(entry.calls), _usd(entry.cost_nanousd), _usd(entry.baseline_nanousd))
    total = (
        Sum(*(sum(values) for values in zip(*(vars(entry).values() for entry in sums.values()), strict=True)))
        if sums
        else Sum()
    )
    for column, text in zip(
        table.columns,
        ("all", str(total.calls), _usd(total.cost_nanousd), _usd(total.baseline_nanousd)),
        strict=True,
    ):
        column.footer = text
    output.tables().print(table)


def _usd(nanousd: int) -> str:
    return f"${nanousd / 1e9:.6f}"
