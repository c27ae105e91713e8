"""What the two tables of a data set must look like. A wrong cell is an error with its file, column and row:
clipped or dropped, it would be a wrong figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError, listed

Columns = Mapping[str, Sequence[Any]]

QUERIES = ("query_id", "prompt", "query_text", "task")
OUTCOMES = ("query_id", "model", "score", "cost_usd")
AMOUNTS = ("cost_usd", "cost_usd_est", "output_tokens", "output_chars")
"""Columns of outcomes that are 0 or more where they are not null."""


def need(file: Path, columns: Columns, needed: Sequence[str]) -> None:
    """Refuses a table that lacks a column."""
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UsageError(f"{file} lacks {listed(missing)}; it has {listed(sorted(columns))}", str(file))


def check_queries(file: Path, columns: Columns) -> None:
    """Texts are text or null, ids and tasks are text, and no id comes twice."""
    need(file, columns, QUERIES)
    for name in ("query_id", "task"):
        _each(file, name, columns, _is_text, "text")
    for name in ("prompt", "query_text"):
        _each(file, name, columns, lambda cell: cell is None or _is_text(cell), "text or null")
    first: dict[str, int] = {}
    for row, query_id in enumerate(columns["query_id"]):
        if first.setdefault(query_id, row) != row:
            raise _refusal(file, "query_id", row, query_id, f"each id once, and row {first[query_id]} has it")


def check_outcomes(file: Path, columns: Columns, asked: Sequence[str]) -> None:
    """Scores lie in [0, 1], amounts are 0 or more (null: not known), and every question is one that was asked."""
    need(file, columns, OUTCOMES)
    known = set(asked)
    _each(file, "query_id", columns, lambda cell: cell in known, "an id that `queries` has")
    _each(file, "model", columns, lambda cell: _is_text(cell) and bool(cell), "the name of a model")
    _each(file, "score", columns, lambda cell: cell is None or _lies(cell, 1.0), "a number from 0 to 1, or null")
    for name in AMOUNTS:
        if name in columns:
            _each(file, name, columns, lambda cell: cell is None or _lies(cell, float("inf")), "0 or more, or null")


def _each(file: Path, name: str, columns: Columns, fits: Callable[[Any], bool], expected: str) -> None:
    for row, cell in enumerate(columns[name]):
        if not fits(cell):
            raise _refusal(file, name, row, cell, expected)


def _is_text(cell: object) -> bool:
    return isinstance(cell, str)


def _lies(cell: object, most: float) -> bool:
    """Whether it is a finite number from 0 to `most`, or NaN, which pandas writes for null."""
    return isinstance(cell, int | float) and (math.isnan(cell) or (0 <= cell <= most and math.isfinite(cell)))


def _refusal(file: Path, name: str, row: int, cell: object, expected: str) -> UsageError:
    shown = repr(cell)[:60]
    return UsageError(f"{file}, column `{name}`, row {row} (the first is 0): {shown}; expected {expected}", str(file))
