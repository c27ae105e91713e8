"""What the two tables of our own folders must hold. A wrong cell is an error with its file, row and column: clipped or
dropped, it would be a wrong figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tradewind.training.formats.entry import Columns
from tradewind.training.formats.files import AMOUNT, SCORE, Record

AMOUNTS = ("cost_usd", "cost_usd_est", "output_tokens", "output_chars")
"""Columns of outcomes that are 0 or more where they are not null."""


def queries(file: str, columns: Columns) -> None:
    """Texts are text or null, ids and tasks are text, and no id comes twice."""
    for name in ("query_id", "task"):
        _text(file, name, columns)
    for name in ("prompt", "query_text"):
        _text(file, name, columns, or_null=True)
    first: dict[str, int] = {}
    for row, query_id in enumerate(columns["query_id"]):
        if first.setdefault(query_id, row) != row:
            _refuse(file, "query_id", columns, row, f"each id once, and row {first[query_id] + 1} has it")


def outcomes(file: str, columns: Columns, asked: Sequence[str]) -> None:
    """Scores lie in [0, 1], amounts are 0 or more (null: not known), and every question is one that was asked."""
    _text(file, "query_id", columns)
    _text(file, "model", columns)
    strangers = set(columns["query_id"]) - set(asked)
    if strangers:
        _refuse_first(file, "query_id", columns, lambda cell: cell in strangers, "an id that the queries have")
    _number(file, "score", columns, 1.0, SCORE)
    for name in AMOUNTS:
        if name in columns:
            _number(file, name, columns, np.inf, AMOUNT)


def _text(file: str, name: str, columns: Columns, or_null: bool = False) -> None:
    allowed = {str, type(None)} if or_null else {str}
    if not set(map(type, columns[name])) <= allowed:
        _refuse_first(file, name, columns, lambda cell: type(cell) not in allowed, "text or null" if or_null else "text")


def _number(file: str, name: str, columns: Columns, most: float, expected: str) -> None:
    """Finite, from 0 to `most`; null and NaN, which pandas writes for it, say that nothing is known."""
    allowed = {int, float, bool, type(None)}
    if not set(map(type, columns[name])) <= allowed:
        _refuse_first(file, name, columns, lambda cell: type(cell) not in allowed, expected)
    cells = np.array(columns[name], float)
    wrong = np.flatnonzero((cells < 0) | (cells > most) | np.isinf(cells))
    if len(wrong):
        _refuse(file, name, columns, int(wrong[0]), expected)


def _refuse_first(file: str, name: str, columns: Columns, wrong: Callable[[Any], bool], expected: str) -> None:
    _refuse(file, name, columns, next(row for row, cell in enumerate(columns[name]) if wrong(cell)), expected)


def _refuse(file: str, name: str, columns: Columns, row: int, expected: str) -> None:
    """Rows are counted from 1, as in every format."""
    Record(f"{file}, row {row + 1}", {}).refuse(name, columns[name][row], expected)
