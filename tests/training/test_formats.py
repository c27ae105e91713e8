"""The same table loads the same from every format, in files as its own writer makes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import format_writers
import numpy as np
import pytest
from format_writers import COSTS, MODELS, PROMPTS, SCORES, TOKENS
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import UsageError
from tradewind.training import datasets, sources
from tradewind.training.formats.entry import Tables

WRITERS: dict[str, list[tuple[Callable[[Path, str], None], str]]] = {
    "tables": [(format_writers.tables, "cost tokens")],
    "long": [(format_writers.long(suffix), "cost tokens") for suffix in (".csv", ".jsonl", ".parquet")],
    "wide": [(format_writers.wide(suffix), "cost tokens") for suffix in (".csv", ".jsonl", ".parquet")],
    "ledger": [(format_writers.ledger, "cost tokens")],
    "routerbench": [
        (format_writers.routerbench_csv, "cost"),
        *((format_writers.routerbench_pickle(*how), "cost") for how in ((5, "_core"), (2, "_core"), (2, "core"))),
    ],
    "routellm": [(format_writers.routellm, "")],
    "routereval": [(format_writers.routereval_pool, "")],
    "routerarena": [
        (format_writers.routerarena_cached, "cost tokens"),
        (format_writers.routerarena_predictions, "cost tokens"),
    ],
}
"""By format: how a set of that name is written, and what the format tells of an answer beside its score."""


def test_each_format_has_a_writer() -> None:
    assert list(WRITERS) == [entry.name for entry in sources.TABLE]


@pytest.mark.parametrize(
    ("format", "made", "tells"), [(name, *writer) for name, writers in WRITERS.items() for writer in writers]
)
def test_the_same_table_loads_the_same_in_every_format(
    tmp_path: Path, format: str, made: Callable[[Path, str], None], tells: str
) -> None:
    name = "ours.easy-3-all_strong" if format == "routereval" else "ours"
    made(tmp_path, name)
    assert name in datasets.available(tmp_path)
    source = sources.named(tmp_path, name)
    assert sources.recognise(source.path, source.files).name == format
    found = datasets.load(tmp_path, name, {})
    present = [MODELS.index(model) for model in found.models]
    assert len(present) == (2 if format == "routellm" else 3)
    assert found.texts == PROMPTS
    assert len(set(found.ids)) == len(PROMPTS)
    np.testing.assert_array_equal(found.score, SCORES[:, present])
    nothing = np.full(found.score.shape, np.nan)
    np.testing.assert_allclose(found.cost_usd, COSTS[:, present] if "cost" in tells else nothing, rtol=1e-12)
    np.testing.assert_array_equal(found.output_tokens, TOKENS[:, present] if "tokens" in tells else nothing)


def tables_of(path: Path) -> Tables:
    return sources.read(sources.named(path, path.stem))


def cells(found: Tables) -> dict[tuple[str, str], tuple[float, float | None, float | None]]:
    """(score, dollars, tokens) by id and model."""
    keys = zip(found.outcomes["query_id"], found.outcomes["model"], strict=True)
    values = zip(found.outcomes["score"], found.outcomes["cost_usd"], found.outcomes["output_tokens"], strict=True)
    return dict(zip(keys, values, strict=True))


NAMES = ("org/model-a", "model b", "c")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
SCORE = st.none() | st.floats(0, 1) | st.booleans().map(float)
AMOUNT = st.none() | st.floats(0, 1e6)
ROWS = st.lists(st.tuples(TEXT, TEXT, *(st.tuples(SCORE, AMOUNT, AMOUNT) for _ in NAMES)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_long_and_wide_files_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], suffix: str
) -> None:
    long_rows: list[dict[str, Any]] = []
    wide_rows: list[dict[str, Any]] = []
    for number, (text, task, *answers) in enumerate(rows):
        shared = {"prompt": text, "id": f"id{number}", "task": task}
        named = dict(zip(NAMES, answers, strict=True))
        long_rows += [
            {**shared, "model": model, "score": score, "cost_usd": cost, "output_tokens": tokens}
            for model, (score, cost, tokens) in named.items()
        ]
        by_model = [
            {model: score, f"{model}:cost_usd": cost, f"{model}:output_tokens": tokens}
            for model, (score, cost, tokens) in named.items()
        ]
        wide_rows.append({**shared, **by_model[0], **by_model[1], **by_model[2]})
    expected = {(row["id"], row["model"]): (row["score"], row["cost_usd"], row["output_tokens"]) for row in long_rows}
    expected = {key: value for key, value in expected.items() if value[0] is not None}
    folder = tmp_path_factory.mktemp("sets")
    for name, written in (("long", long_rows), ("wide", wide_rows)):
        path = folder / f"{name}{suffix}"
        format_writers.write(path, written)
        if not expected:
            with pytest.raises(UsageError, match="has no scores"):
                tables_of(path.parent / path.name)
            continue
        found = sources.read(sources.named(folder, name))
        assert found.queries["prompt"] == [row["prompt"] for row in wide_rows]
        assert found.queries["task"] == [row["task"] for row in wide_rows]
        assert cells(found) == expected


def test_the_examples_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```(?:csv|jsonl) (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for name, content in examples:
        (tmp_path / name).write_text(content, encoding="utf-8")
    found = {name: datasets.load(tmp_path, name, {}) for name in datasets.available(tmp_path)}
    assert {name: (len(data), data.models) for name, data in found.items()} == {
        "answers": (2, ("large", "small")),
        "questions": (2, ("large", "small")),
    }
