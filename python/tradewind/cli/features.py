"""`tradewind features`: token ids and surface features of prompts, for parity checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.errors import UsageError


def features(
    input: Annotated[Path, typer.Option("--input", help="JSON Lines of {id, text}; - is stdin.")],
    as_json: options.Json = False,
) -> None:
    """Show what the predictor sees of each prompt."""
    import numpy as np

    from tradewind import core

    prompts = list(_prompts(output.read_input(input)))
    raw_ids, raw_offsets, raw_surface = core.featurize([text for _, text in prompts])
    names = core.feature_names()
    ids = np.frombuffer(raw_ids, "<i4").tolist()
    offsets = np.frombuffer(raw_offsets, "<i8").tolist()
    surface = np.frombuffer(raw_surface, "<f4").reshape(len(prompts), len(names))
    for row, (name, _) in enumerate(prompts):
        # The shortest decimals that give the same single floats.
        values = [float(str(value)) for value in surface[row]]
        document = {
            "id": name,
            "token_ids": ids[offsets[row] : offsets[row + 1]],
            "surface": dict(zip(names, values, strict=True)),
        }
        if as_json:
            output.document(document)
        else:
            _show(document)


def _prompts(text: bytes) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            given: Any = json.loads(line)
        except ValueError as error:
            raise UsageError(f"line {number} is not JSON: {error}", f"line {number}") from None
        if not isinstance(given, dict) or not isinstance(given.get("text"), str):
            raise UsageError(f'line {number} is not {{"id": …, "text": "…"}}', f"line {number}")
        yield str(given.get("id", number)), given["text"]


def _show(document: dict[str, Any]) -> None:
    console = output.tables()
    console.print(f"{document['id']}: {len(document['token_ids'])} tokens {document['token_ids'][:16]}", markup=False)
    for name, value in document["surface"].items():
        if value:
            console.print(f"  {name} {value:.4g}", markup=False)
