"""`tradewind plan`: assembles resources into a plan source, and says what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.cli import options, output
from tradewind.errors import ConfigurationError

if TYPE_CHECKING:
    from tradewind.errors import Problem


def app() -> typer.Typer:
    """The two commands."""
    commands = typer.Typer(help="Assemble and check plans.", no_args_is_help=True)
    commands.command()(assemble)
    commands.command()(check)
    return commands


Place = Annotated[Path, typer.Argument(help="Folder or file of resources.")]


def assemble(
    place: Place,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; stdout where absent.")] = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
) -> None:
    """Write the plan source that a gateway reads."""
    from tradewind import engine
    from tradewind.artifacts import predictor as predictors

    assembled = engine.from_files(place, predictors.read(predictor), predictor_cache)
    if assembled.refused:
        raise ConfigurationError(assembled.problems)
    for problem in assembled.problems:
        output.show_problem(problem)
    if to is None:
        output.lines(assembled.plan.to_json())
    else:
        output.write(to, assembled.plan.to_json())


def check(
    place: Annotated[Path, typer.Argument(help="Folder or file of resources, or a plan source (.json).")],
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    as_json: options.Json = False,
) -> None:
    """Name everything that is wrong, with file, line, path and what is accepted."""
    found = _problems(place, predictor, predictor_cache)
    if as_json:
        output.document({"problems": [problem.document() for problem in found]})
    else:
        for problem in found:
            output.show_problem(problem)
        output.words().print(f"{len(found)} problem{'' if len(found) == 1 else 's'}")
    raise typer.Exit(1 if found else 0)


def _problems(place: Path, predictor: Path | None, cache: Path | None) -> tuple[Problem, ...]:
    from tradewind import engine
    from tradewind.artifacts import predictor as predictors

    artifact = predictors.read(predictor)
    if place.suffix == ".json":
        return engine.plan_problems(place, engine.kept_predictors(place, artifact, cache))
    return engine.from_files(place, artifact, cache).problems
