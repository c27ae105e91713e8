"""Data files as records whose cells know their place: CSV, JSON lines, JSON, Parquet and, without running anything, pickles."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tradewind.errors import UsageError, listed
from tradewind.training.formats import pickles

TABULAR = ("csv", "jsonl", "parquet")
"""Kinds that a user's own table may have."""
TRUTH = {"true": 1.0, "false": 0.0}
SCORE = "a number from 0 to 1, or true or false"
AMOUNT = "a number from 0"
T = TypeVar("T")


@dataclass(frozen=True)
class File:
    """A data file by what can be seen without reading all of it."""

    path: Path
    kind: str
    """csv, jsonl, json, parquet or pkl"""
    names: tuple[str, ...]
    """Its columns; of JSON the keys of the first record, of a pickle the first strings in it."""


@dataclass(frozen=True)
class Record:
    """A row of a file."""

    where: str
    """File and row, as errors name them."""
    values: Mapping[str, Any]

    def refuse(self, column: str, found: object, expected: str) -> NoReturn:
        """Raises `UsageError` about a cell."""
        place = f"{self.where}, column `{column}`"
        raise UsageError(f"{place}: `{str(found)[:80]}` was found; expected {expected}", place)

    def text(self, column: str) -> str:
        """A cell that must not be empty."""
        value = self.values.get(column)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            self.refuse(column, "" if _absent(value) else value, "text")
        return value

    def score(self, column: str) -> float | None:
        """A score in [0, 1]; `None` where the cell is empty."""
        value = self.values.get(column)
        return self._number(column, TRUTH.get(str(value).strip().lower(), value), 1.0, SCORE)

    def amount(self, column: str) -> float | None:
        """Dollars or tokens, not negative; `None` where the cell is empty or its column is not there."""
        return self._number(column, self.values.get(column), sys.float_info.max, AMOUNT)

    def _number(self, column: str, value: object, highest: float, expected: str) -> float | None:
        if _absent(value):
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float, np.number)):
            self.refuse(column, value, expected)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            self.refuse(column, value, expected)
        if math.isnan(number):
            return None
        if not 0 <= number <= highest:
            self.refuse(column, value, expected)
        return number


def _absent(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def within(path: Path) -> list[Path]:
    """The data files of a set, sorted: the file itself, or all in the folder that are neither hidden nor of another kind."""
    if path.is_file():
        return [path] if path.suffix in READERS else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in READERS and file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def look(path: Path) -> File:
    """Sees what a file holds. Raises `UsageError` where it cannot be read."""
    reader = READERS[path.suffix]
    return File(path, path.suffix[1:], _reading(path, reader.names))


def records(file: File) -> Iterator[Record]:
    """The rows of a file, in its order. Raises `UsageError` where it cannot be read."""
    reader = READERS[file.path.suffix]
    for number, values in enumerate(_reading(file.path, reader.rows), start=1):
        yield Record(f"{file.path.name}, {reader.row} {number}", values)


def columns(file: File) -> dict[str, list[Any]]:
    """A Parquet file by its columns. Raises `UsageError` where it cannot be read."""
    return _reading(file.path, _parquet_columns)


def need(file: File, needed: Sequence[str]) -> None:
    """Raises `UsageError` where a file lacks a column."""
    missing = [name for name in needed if name not in file.names]
    if missing:
        raise UsageError(f"{file.path.name} lacks {listed(missing)}; it has {listed(sorted(file.names))}", str(file.path))


@dataclass(frozen=True)
class _Reader:
    row: str
    """What a record is called."""
    names: Callable[[Path], tuple[str, ...]]
    rows: Callable[[Path], Sequence[Mapping[str, Any]]]


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except UsageError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(f"{path} cannot be read: {error}", str(path)) from None


def _csv_names(path: Path) -> tuple[str, ...]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        names = tuple(next(csv.reader(lines), ()))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"{path.name} has the column {listed(repeated)} twice", str(path))
    return names


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    table = arrow_csv.read_csv(
        path,
        # A record must lie within a block, however long its prompt is: the largest block that pyarrow takes.
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=2**31 - 1),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(_csv_names(path), pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return list(_json_lines_of(path))


def _json_lines_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                raise UsageError(f"{path.name}, line {number}: it is empty; expected a JSON object", str(path))
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                raise UsageError(f"{path.name}, line {number}: it is not JSON ({error.msg})", str(path)) from None
            yield _object(found, f"{path.name}, line {number}")


def _json_lines_names(path: Path) -> tuple[str, ...]:
    return tuple(next(_json_lines_of(path), {}))


def _json_rows(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise UsageError(f"{path.name} is not a JSON array of objects", str(path))
    return [_object(entry, f"{path.name}, entry {number}") for number, entry in enumerate(found, start=1)]


def _json_names(path: Path) -> tuple[str, ...]:
    return tuple(next(iter(_json_rows(path)), {}))


def _object(found: object, place: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{place}: expected a JSON object", place)
    return found


def _parquet_names(path: Path) -> tuple[str, ...]:
    return tuple(parquet.read_schema(path).names)


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return columns


def _pickle_rows(path: Path) -> list[dict[str, Any]]:
    columns = pickles.frame(path)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


READERS = {
    ".csv": _Reader("row", _csv_names, _csv_rows),
    ".jsonl": _Reader("line", _json_lines_names, _json_lines),
    ".json": _Reader("entry", _json_names, _json_rows),
    ".parquet": _Reader("row", _parquet_names, _parquet_rows),
    ".pkl": _Reader("row", pickles.strings, _pickle_rows),
}
"""By suffix."""
