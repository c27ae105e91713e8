"""Scored answers that a user has at hand: JSON Lines, CSV or Parquet with `prompt`, `score` and, where known, more."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from tradewind.errors import UsageError, unknown
from tradewind.training.formats import files
from tradewind.training.formats.files import Record
from tradewind.training.profiling import Answered

NEEDED = ("prompt", "score")
SUFFIXES = tuple(f".{kind}" for kind in files.TABULAR)
NO_DOMAIN = "all"


def read(file: Path, limit: int | None = None) -> Answered:
    """At most so many rows, from the first; `output_tokens` and `domain` may be left out. Raises `UsageError` with the row that
    cannot be read."""
    if file.suffix not in SUFFIXES:
        raise UsageError(unknown("format of outcomes", file.suffix or file.name, SUFFIXES), str(file))
    found = files.look(file)
    files.need(found, NEEDED)
    rows = [_row(record) for record in islice(files.records(found), limit)]
    if not rows:
        raise UsageError(f"{file} holds no outcome", str(file))
    texts, scores, tokens, domains = zip(*rows, strict=True)
    return Answered(texts, np.array(scores), np.array(tokens), domains)


def _row(record: Record) -> tuple[str, float, float, str]:
    score, tokens = record.score("score"), record.amount("output_tokens")
    if score is None:
        record.refuse("score", record.values.get("score"), files.SCORE)
    return record.text("prompt"), score, np.nan if tokens is None else tokens, str(record.values.get("domain") or NO_DOMAIN)
