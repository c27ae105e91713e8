"""`tradewind import`: the configuration of another router becomes resources, and what cannot come along is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewind.errors import Problem
    from tradewind.migration.litellm import Migration


def app() -> typer.Typer:
    """One command a router."""
    commands = typer.Typer(help="Carry over the configuration of another router.", no_args_is_help=True)
    commands.callback()(lambda: None)
    commands.command()(litellm)
    return commands


def litellm(
    config: Annotated[Path, typer.Argument(help="Configuration of LiteLLM's proxy (YAML); `-` is stdin.")],
    namespace: Annotated[str, typer.Option(help="Namespace of the resources.")] = "default",
    name: Annotated[str, typer.Option(help="Name of the pool.")] = "chat",
    prices: Annotated[
        Path | None,
        typer.Option(help="LiteLLM's model_prices_and_context_window.json, for what the configuration does not tell."),
    ] = None,
    predictor: options.Predictor = None,
    as_json: options.Json = False,
) -> None:
    """Write ModelPools and RoutingPolicies to stdout; name on stderr, and at their head, what could not be carried over or was
    assumed. Status 1 where anything is named, 2 where nothing can be read.
    """
    import re

    from tradewind.artifacts import predictor as predictors
    from tradewind.migration import litellm as migration
    from tradewind.resources import documents, formats

    for option, text, accepted in (("--namespace", namespace, formats.NAMESPACE), ("--name", name, formats.OBJECT_NAME)):
        if not re.fullmatch(accepted.pattern.removesuffix("$"), text):
            raise UsageError(f"{option} is `{text}`; expected {accepted.about}", option)
    found, problems = documents.read(output.read_input(config), str(config))
    if problems or len(found) != 1:
        for problem in problems:
            output.show_problem(problem)
        raise UsageError(f"{config}: expected one YAML document, found {len(found)}", str(config))
    profiles = frozenset(predictors.read(predictor).profiles)
    made = migration.translate(found[0], profiles, _prices(prices), namespace, name)
    if as_json:
        listed = [problem.document() for problem in made.problems]
        output.document({"resources": made.resources, "problems": listed, "secret_keys": made.secret_keys})
    else:
        said = [sentence for rows in _alike(made.problems) for sentence in _sentences(rows)]
        output.lines(_text(made, said).encode())
        for sentence in said:
            output.words().print(sentence, markup=False, soft_wrap=True)
        if made.secret_keys:
            output.words().print(_secret(made.secret_keys, namespace), markup=False, soft_wrap=True)
    raise typer.Exit(1 if made.problems else 0)


def _prices(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = json.loads(output.read_input(file))
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}", str(file)) from None
    if not isinstance(found, dict):
        raise UsageError(f"{file}: expected an object with a model for each key", str(file))
    return found


def _text(made: Migration, said: list[str]) -> str:
    import yaml

    head = "".join(f"# {sentence}\n" for sentence in said)
    body = yaml.safe_dump_all(made.resources, sort_keys=False, width=120, allow_unicode=True) if made.resources else ""
    return head + body


def _alike(problems: list[Problem]) -> list[list[Problem]]:
    """Those that say the same of several places, together, in the order of the first."""
    rows: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        rows.setdefault((problem.code, problem.message), []).append(problem)
    return list(rows.values())


def _sentences(rows: list[Problem]) -> Iterator[str]:
    """One line for what is said, and one for each further place of it."""
    from tradewind.migration.litellm_reading import printable

    first, *others = rows
    yield printable(f"{first.code}: {first}")
    for other in others:
        yield printable(f"  as in line {other.line}: {other.path}")


def _secret(keys: list[str], namespace: str) -> str:
    values = " ".join(f'--from-literal={key}="${key}"' if key.isidentifier() else f"--from-literal={key}=…" for key in keys)
    return f"upstreams need a Secret: kubectl -n {namespace} create secret generic litellm-keys {values}"
