"""Every decision of an evaluation as one Parquet table: for whoever wants other figures than ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from tradewind.training.results import Result, Round, Standing
from tradewind.training.routing import WILLINGNESS

SCHEMA = pa.schema(
    [
        ("split", pa.dictionary(pa.int16(), pa.string())),
        ("set", pa.dictionary(pa.int16(), pa.string())),
        ("query_id", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("characters", pa.int32()),
        ("router", pa.dictionary(pa.int16(), pa.string())),
        ("willingness_to_pay_usd", pa.float64()),
        ("chosen", pa.string()),
        ("score", pa.float32()),
        ("cost_usd", pa.float64()),
        ("forecasts", pa.list_(pa.float32())),
    ]
)
"""One row for each split, question, router and willingness to pay; `language` is a guess; `forecasts` are of the
set's models in the order of the metadata `tradewind.models` (by set), null where a router only ranks."""


def write(file: Path, rounds: Sequence[Round]) -> None:
    """One row group for each split, set and router."""
    models = {name: list(result.tested.models) for each in rounds for name, result in each.results.items()}
    schema = SCHEMA.with_metadata({"tradewind.models": json.dumps(models)})
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for each in rounds:
            for name, result in each.results.items():
                for table in _tables(each.split, name, result):
                    writer.write_table(table.cast(schema))


def _tables(split: str, name: str, result: Result) -> Iterator[pa.Table]:
    data = result.tested
    lengths = [len(text) for text in data.texts]
    levels = len(WILLINGNESS)
    rows = np.repeat(np.arange(len(data)), levels)
    fixed = {
        "query_id": pa.array(data.ids).take(rows),
        "task": pa.array([str(task) for task in data.tasks]).take(rows),
        "language": pa.array(result.languages).take(rows),
        "characters": pa.array(lengths, pa.int32()).take(rows),
        "willingness_to_pay_usd": pa.array(np.tile(WILLINGNESS, len(data))),
    }
    for standing in result.standings:
        choice = standing.here.choice.astype(np.int64).ravel()
        columns = {
            **fixed,
            "split": _same(split, len(rows)),
            "set": _same(name, len(rows)),
            "router": _same(standing.name, len(rows)),
            "chosen": pa.array(data.models).take(choice),
            "score": pa.array(data.score[rows, choice].astype(np.float32)),
            "cost_usd": pa.array(data.cost_usd[rows, choice], from_pandas=True),
            "forecasts": _forecasts(standing, rows),
        }
        yield pa.table({field.name: columns[field.name] for field in SCHEMA})


def _same(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int16), [value])


def _forecasts(standing: Standing, rows: np.ndarray) -> pa.Array:
    if not standing.here.forecasts:
        return pa.nulls(len(rows), pa.list_(pa.float32()))
    quality = standing.here.quality.astype(np.float32)[rows]
    offsets = np.arange(0, quality.size + 1, quality.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(quality.ravel()))
