"""Our own folders: `queries.parquet` and `outcomes.parquet`, and what else lies beside them is not read."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.training.formats import checks, files
from tradewind.training.formats.entry import Entry, Source, Tables
from tradewind.training.formats.files import File

QUERIES = ("query_id", "prompt", "query_text", "task")
OUTCOMES = ("query_id", "model", "score", "cost_usd")
PAIR = ("queries.parquet", "outcomes.parquet")


def pair(given: Sequence[File]) -> tuple[File, File] | None:
    """The two files, if a folder has them."""
    by_name = {file.path.name: file for file in given}
    return (by_name[PAIR[0]], by_name[PAIR[1]]) if by_name.keys() >= set(PAIR) else None


def read(source: Source) -> Tables:
    """The two files as they are, checked. A cell may have several samples, whose mean counts."""
    found = pair(source.files)
    assert found is not None
    for file, needed in zip(found, (QUERIES, OUTCOMES), strict=True):
        files.need(file, needed)
    queries, outcomes = map(files.columns, found)
    checks.queries(f"{source.name}/{PAIR[0]}", queries)
    checks.outcomes(f"{source.name}/{PAIR[1]}", outcomes, queries["query_id"])
    return Tables(queries, outcomes)


ENTRY = Entry(
    "tables",
    "a folder with queries.parquet and outcomes.parquet",
    lambda given: pair(given) is not None,
    read,
)
