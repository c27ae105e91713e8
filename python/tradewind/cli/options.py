"""Options that several commands share, each declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Executor(StrEnum):
    """What runs the predictor."""

    native = "native"
    onnxruntime = "onnxruntime"


Config = Annotated[
    Path | None,
    typer.Option(help="Folder or file of resources, or a plan source (.json). The shipped example where absent."),
]
Predictor = Annotated[Path | None, typer.Option(help="Folder of a predictor artifact. The shipped one where absent.")]
PredictorCache = Annotated[
    Path | None,
    typer.Option(help="Folder of predictors that policies name by URL. ~/.cache/tradewind/predictors where absent."),
]
ExecutorOption = Annotated[Executor, typer.Option("--executor", help="What runs the predictor.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Log = Annotated[
    Path,
    typer.Option(
        help="JSON Lines of {id, body | text}, with {model, cost_usd | input_tokens, output_tokens} where they were observed; "
        "or folder or file of the outcome log."
    ),
]
Alias = Annotated[str | None, typer.Option(help="Alias that all calls are to ask for, in place of the model that each names.")]
Tenant = Annotated[str, typer.Option(help="Namespace of the caller.")]
Seed = Annotated[int, typer.Option(min=0, help="Draw of strategies that randomise.")]


def listed(given: list[str] | None) -> tuple[str, ...] | None:
    """The values of an option that may be repeated, and may have several with commas between them."""
    return tuple(value for several in given for value in several.split(",")) if given else None
