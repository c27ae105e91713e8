"""What the two tables of a data set must look like. A wrong cell is an error with its file, column and row:
clipped or dropped, it would be a wrong figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
        _text(file, name, columns)
    for name in ("prompt", "query_text"):
        _text(file, name, columns, or_null=True)
    first: dict[str, int] = {}
    for row, query_id in enumerate(columns["query_id"]):
        if first.setdefault(query_id, row) != row:
            raise _refusal(file, "query_id", row, query_id, f"each id once, and row {first[query_id]} has it")


def check_outcomes(file: Path, columns: Columns, asked: Sequence[str]) -> None:
    """Scores lie in [0, 1], amounts are 0 or more (null: not known), and every question is one that was asked."""
    need(file, columns, OUTCOMES)
    _text(file, "query_id", columns)
    _text(file, "model", columns)
    strangers = set(columns["query_id"]) - set(asked)
    if strangers:
        _refuse_first(file, "query_id", columns, lambda cell: cell in strangers, "an id that the queries have")
    _number(file, "score", columns, 1.0, "a number from 0 to 1, or null")
    for name in AMOUNTS:
        if name in columns:
            _number(file, name, columns, np.inf, "a number, 0 or more, or null")


def _text(file: Path, name: str, columns: Columns, or_null: bool = False) -> None:
    allowed = {str, type(None)} if or_null else {str}
    if not set(map(type, columns[name])) <= allowed:
        expected = "text or null" if or_null else "text"
        _refuse_first(file, name, columns, lambda cell: type(cell) not in allowed, expected)


def _number(file: Path, name: str, columns: Columns, most: float, expected: str) -> None:
    """Finite, from 0 to `most`; null and NaN, which pandas writes for it, say that nothing is known."""
    allowed = {int, float, bool, type(None)}
    if not set(map(type, columns[name])) <= allowed:
        _refuse_first(file, name, columns, lambda cell: type(cell) not in allowed, expected)
    cells = np.array(columns[name], float)
    wrong = np.flatnonzero((cells < 0) | (cells > most) | np.isinf(cells))
    if len(wrong):
        raise _refusal(file, name, int(wrong[0]), columns[name][wrong[0]], expected)


def _refuse_first(file: Path, name: str, columns: Columns, wrong: Callable[[Any], bool], expected: str) -> None:
    row = next(row for row, cell in enumerate(columns[name]) if wrong(cell))
    raise _refusal(file, name, row, columns[name][row], expected)


def _refusal(file: Path, name: str, row: int, cell: object, expected: str) -> UsageError:
    shown = repr(cell)[:60]
    return UsageError(f"{file}, column `{name}`, row {row} (the first is 0): {shown}; expected {expected}", str(file))
