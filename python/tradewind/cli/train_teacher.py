"""`tradewind train-teacher`: fine-tunes the sentence encoder on outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli import options, output


def train_teacher(
    data: Annotated[Path, typer.Option(help="Folder of data sets, or one file; formats: docs/evaluation.md.")],
    out: Annotated[Path, typer.Option(help="Folder for soft labels and weights; what is there already is not made again.")],
    exclude: Annotated[
        Path | None, typer.Option(help="SHA-256 of question stems that training must not see, one a line.")
    ] = None,
    sets: Annotated[
        str | None,
        typer.Option(help="Data sets, separated by commas; those of the shipped predictor where absent."),
    ] = None,
    folds_only: Annotated[
        bool, typer.Option("--folds-only", help="Soft labels alone, without the encoder fitted on everything.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws of fitting, and of the halves.")] = 1,
    as_json: options.Json = False,
) -> None:
    """Fine-tune the sentence encoder on outcomes (long: its two folds take half an hour). `train --teacher OUT` distils it."""
    output.need_training()
    output.need_folder(out)
    from tradewind.cli.progress import Progress
    from tradewind.training import teacher

    teacher.need()
    from tradewind.training.teacher import teach

    chosen = teach.Options(data=data, out=out, exclude=exclude, seed=seed, sets=output.names(sets), folds_only=folds_only)
    with Progress() as progress:
        taught = teach.run(chosen, progress.say)
    if as_json:
        output.document(taught.document())
    else:
        output.tables().print_json(data=taught.document())
