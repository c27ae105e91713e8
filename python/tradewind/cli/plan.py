"""`tradewind plan`: assembles resources into a plan source, says what is wrong with them, and what an edit changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.cli import options, output
from tradewind.errors import ConfigurationError

if TYPE_CHECKING:
    from tradewind.artifacts.difference import Change
    from tradewind.artifacts.plan import PlanSource
    from tradewind.artifacts.predictor import Artifact
    from tradewind.errors import Problem

LONGEST_VALUE = 60
"""Characters of a value that people are shown; JSON has it whole."""


def app() -> typer.Typer:
    """The three commands."""
    commands = typer.Typer(help="Assemble, check and compare plans.", no_args_is_help=True)
    commands.command()(assemble)
    commands.command()(check)
    commands.command()(diff)
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


def diff(
    old: Annotated[Path, typer.Argument(help="Folder or file of resources, or a plan source (.json).")],
    new: Annotated[Path, typer.Argument(help="What it would become.")],
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    as_json: options.Json = False,
) -> None:
    """Say what changes from one configuration to another. Status 0: nothing; 1: something; 2: one of them is refused."""
    from tradewind.artifacts import difference
    from tradewind.artifacts import predictor as predictors

    default = predictors.read(predictor)
    changes = difference.between(*(_plan(place, default, predictor_cache) for place in (old, new)))
    if as_json:
        output.document({"same": not changes, "changes": [change.document() for change in changes]})
    else:
        _show(changes)
    raise typer.Exit(1 if changes else 0)


def _plan(place: Path, default: Artifact, cache: Path | None) -> PlanSource:
    import json

    from tradewind import engine
    from tradewind.artifacts import plan

    try:
        return plan.from_document(json.loads(engine.load(place, default, cache).plan))
    except ConfigurationError as error:
        for problem in error.problems:
            output.show_problem(problem)
        raise typer.Exit(2) from None


def _show(changes: tuple[Change, ...]) -> None:
    from rich.text import Text

    console = output.tables()
    marks = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
    for change in changes:
        mark, colour = marks[change.change]
        console.print(Text(f"{mark} {change.kind} {change.id}", style=colour), soft_wrap=True)
        for field in change.fields:
            console.print(f"    {field.path}: {_value(field.old)} → {_value(field.new)}", markup=False, soft_wrap=True)
    output.words().print(f"{len(changes)} change{'' if len(changes) == 1 else 's'}")


def _value(value: object) -> str:
    import json

    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _problems(place: Path, predictor: Path | None, cache: Path | None) -> tuple[Problem, ...]:
    from tradewind import engine
    from tradewind.artifacts import predictor as predictors

    artifact = predictors.read(predictor)
    if place.suffix == ".json":
        return engine.plan_problems(place, engine.kept_predictors(place, artifact, cache))
    return engine.from_files(place, artifact, cache).problems
