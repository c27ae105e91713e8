"""`tradewind train`: from outcome tables to a gated predictor artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli import options, output


def train(
    data: Annotated[Path, typer.Option(help="Folder of data sets, or one file; formats: docs/evaluation.md.")],
    out: Annotated[Path, typer.Option(help="Folder for the predictor and its manifest.")],
    exclude: Annotated[
        Path | None, typer.Option(help="SHA-256 of question stems that training must not see, one a line.")
    ] = None,
    sets: Annotated[
        str | None,
        typer.Option(help="Data sets, separated by commas; those of the shipped one where absent."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of `train-teacher`, whose soft labels are learned from too.")
    ] = None,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Whether the manifest gets held-out figures.")] = True,
    shuffle_outcomes: Annotated[
        bool,
        typer.Option("--shuffle-outcomes", help="Deal outcomes anew among questions: the gain gate must fail."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws of fitting, and of what is held out.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Train a predictor. A failed gate leaves no artifact, only its figures, and exit status 1."""
    output.need_training()
    output.need_folder(out)
    from tradewind.cli.progress import Progress
    from tradewind.training import train as training

    chosen = training.Options(
        data=data,
        out=out,
        exclude=exclude,
        seed=seed,
        sets=output.names(sets),
        teacher=teacher,
        score=score,
        shuffle_outcomes=shuffle_outcomes,
    )
    with Progress() as progress:
        trained = training.run(chosen, progress.say)
    document = trained.document()
    if as_json:
        output.document(document)
    else:
        output.tables().print_json(data=document)
    if not trained.passed:
        output.words().print("a gate failed: no artifact was written")
    raise typer.Exit(0 if trained.passed else 1)
