"""Scored answers that a user has at hand: JSON Lines, CSV or Parquet with `prompt`, `score` and, where known, more."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.errors import UsageError, listed, unknown
from tradewind.training.profiling import Answered

NEEDED, OPTIONAL = ("prompt", "score"), ("output_tokens", "domain")


def read(file: Path, limit: int | None = None) -> Answered:
    """At most so many rows, from the first. Raises `UsageError` with the row that cannot be read."""
    reader = FORMATS.get(file.suffix.lower())
    if reader is None:
        raise UsageError(unknown("format of outcomes", file.suffix or file.name, sorted(FORMATS)), str(file))
    try:
        rows = reader(file)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}", str(file)) from None
    if not rows:
        raise UsageError(f"{file} holds no outcome", str(file))
    parsed = [_row(row, f"{file}, row {number}") for number, row in enumerate(rows[:limit], 1)]
    texts, scores, tokens, domains = zip(*parsed, strict=True)
    return Answered(texts, np.array(scores), np.array(tokens), domains)


def _row(row: Any, place: str) -> tuple[str, float, float, str]:
    if not isinstance(row, Mapping) or any(row.get(name) in (None, "") for name in NEEDED):
        found = listed(sorted(row)) if isinstance(row, Mapping) else "no object"
        raise UsageError(f"{place} lacks `prompt` or `score`; it has {found}", place)
    score, tokens = _number(row["score"], "score", place), _number(row.get("output_tokens"), "output_tokens", place)
    if not 0 <= score <= 1:
        raise UsageError(f"{place} has the score {score}; expected 0 to 1", place)
    if tokens < 0:
        raise UsageError(f"{place} has {tokens} output tokens", place)
    return str(row["prompt"]), score, tokens, str(row.get("domain") or "all")


def _number(value: Any, name: str, place: str) -> float:
    """NaN where there is none."""
    if value is None or value == "":
        return float("nan")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{place}: `{name}` is {str(value)[:40]!r}; expected a number", place) from None
    if name == "score" and np.isnan(found):
        raise UsageError(f"{place}: `score` is not a number", place)
    return found


def _json_lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _csv(file: Path) -> list[Any]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _parquet(file: Path) -> Sequence[Any]:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        rows: list[Any] = parquet.read_table(file).to_pylist()
    except ArrowException as error:
        raise ValueError(str(error)) from None
    return rows


FORMATS: Mapping[str, Callable[[Path], Sequence[Any]]] = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
"""By the file's ending."""
