"""What is wrong with a file of outcomes is said with its file, row and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import format_writers
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from format_writers import outcome, predictions

from tradewind.errors import UsageError
from tradewind.training import datasets, sources


def row(**changed: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "model": "small", "score": 1, **changed}


LONG = [row(), row(model="large")]
REFUSED: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "a column is missing": (
        "ours.csv",
        [{"prompt": "Why?", "model": "small"}],
        ("ours.csv lacks `score`; it has `model`, `prompt`",),
    ),
    "a column is not known": ("ours.csv", [row(cost=1)], ("ours.csv, row 1", "unknown column `cost`", "`cost_usd`")),
    "a score is above 1": (
        "ours.jsonl",
        [*LONG, row(prompt="How?", score=1.5)],
        ("ours.jsonl, line 3, column `score`: `1.5`", "a number from 0 to 1, or true or false"),
    ),
    "a score is no number": ("ours.csv", [*LONG, row(prompt="How?", score="good")], ("row 3, column `score`: `good`",)),
    "a score is a list": ("ours.jsonl", [row(score=[1])], ("line 1, column `score`: `[1]`",)),
    "a cost is negative": ("ours.parquet", [row(cost_usd=-1.0)], ("row 1, column `cost_usd`: `-1.0`", "a number from 0")),
    "a cost is endless": ("ours.csv", [row(cost_usd="inf")], ("row 1, column `cost_usd`: `inf`",)),
    "a cost is larger than any float": (
        "ours.jsonl",
        [row(cost_usd=10**400)],
        ("line 1, column `cost_usd`: `1000", "a number from 0"),
    ),
    "a number of tokens cannot be read": (
        "ours.csv",
        [row(output_tokens="1,000")],
        ("row 1, column `output_tokens`: `1,000`",),
    ),
    "true is no cost": ("ours.csv", [row(cost_usd="true")], ("row 1, column `cost_usd`: `true`",)),
    "true is no cost in JSON": ("ours.jsonl", [row(cost_usd=True)], ("line 1, column `cost_usd`: `True`",)),
    "a prompt is empty": ("ours.csv", [row(prompt=" ")], ("row 1, column `prompt`", "expected text")),
    "a model is empty": ("ours.csv", [row(model="")], ("row 1, column `model`", "expected text")),
    "an answer stands twice": (
        "ours.csv",
        [*LONG, row()],
        ("row 3, column `model`: `small`", "one row for each model of this prompt", "ours.csv, row 1"),
    ),
    "an id has two prompts": (
        "ours.csv",
        [row(id="a"), row(id="a", prompt="How?", model="large")],
        ("row 2, column `prompt`: `How?`", "the id `a`"),
    ),
    "a question has two tasks": (
        "ours.csv",
        [row(task="a"), row(task="b", model="large")],
        ("row 2, column `task`: `b`", "`a`"),
    ),
    "a table is empty": ("ours.csv", "prompt,model,score\n", ("`ours` has no scores",)),
    "a file is empty": ("ours.csv", "", ("`ours.csv` is in no format",)),
    "a line is broken": (
        "ours.jsonl",
        '{"prompt": "Why?", "model": "small", "score": 1}\n{"prom\n',
        ("ours.jsonl, line 2: it is not JSON",),
    ),
    "a line is no object": ("ours.jsonl", "[1]\n", ("ours.jsonl, line 1", "expected a JSON object")),
    "a row is cut off": (
        "ours.csv",
        "prompt,model,score\nWhy?,small\n",
        ("ours.csv cannot be read", "Expected 3 columns, got 2"),
    ),
    "a column stands twice": ("ours.csv", "prompt,small,small\nWhy?,1,0\n", ("column `small` twice",)),
    "bytes are not UTF-8": ("ours.csv", b"prompt,model,score\n\xff,small,1\n", ("ours.csv cannot be read",)),
    "Parquet is none": ("ours.parquet", b"PAR1", ("ours.parquet cannot be read",)),
    "cost is of an unknown model": (
        "ours.csv",
        [{"prompt": "Why?", "small": 1, "large:cost_usd": 1}],
        ("column `large:cost_usd`: unknown model `large`", "expected one of `small`"),
    ),
    "a column is no model": (
        "ours.csv",
        [{"prompt": "Why?", "small": 1, "note": "hard"}],
        ("ours.csv, row 1, column `note`: `hard`", "a number from 0 to 1"),
    ),
    "an id stands twice": (
        "ours.csv",
        [{"prompt": "Why?", "id": 1, "small": 1}, {"prompt": "How?", "id": 1, "small": 0}],
        ("row 2, column `id`: `1`", "ids that are unique"),
    ),
    "there are only prompts": ("ours.csv", [{"prompt": "Why?"}], ("ours.csv has no column of scores",)),
    "a later line has another model": (
        "ours.jsonl",
        [{"prompt": "Why?", "small": 1}, {"prompt": "How?", "large": 1}],
        ("line 2: unknown column `large`",),
    ),
    "two names are one model": (
        "ours.csv",
        [{"prompt": "Why?", "openai/gpt-4": 1, "GPT-4": 1}],
        ("`GPT-4`, `openai/gpt-4` are one model, `gpt-4`",),
    ),
    "no format is known": (
        "ours.csv",
        [{"question": "Why?", "answer": "So."}],
        ("`ours.csv` is in no format", "`question`, `answer`", *(f"\n  {entry.name}: " for entry in sources.TABLE)),
    ),
    "a ledger has no scores": ("ours.jsonl", [outcome(1, "small", "Why?")], ("ledger without scores", "as `score`")),
    "a scored call kept no text": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, capture={"kind": "features"})],
        ("line 1, column `capture`: `features`", "--capture text"),
    ),
    "a call's body is none": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, capture={"kind": "text", "body": "{}"})],
        ("line 1, column `capture`: `{}`", "a chat call"),
    ),
    "an answer has no attempt": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, answered_by="large")],
        ("line 1, column `answered_by`: `large`", "an attempt"),
    ),
    "a line of a ledger is broken": (
        "ours.jsonl",
        json.dumps(outcome(1, "small", "Why?", score=1)) + '\n{"id":\n' + json.dumps(outcome(2, "small", "How?")) + "\n",
        ("ours.jsonl, line 2: it is no outcome",),
    ),
    "RouterBench has no costs": (
        "ours.csv",
        [{"sample_id": "a", "prompt": "['Why?']", "eval_name": "t", "small": 1, "small|model_response": "So."}],
        ("ours.csv lacks `small|total_cost`",),
    ),
    "RouteLLM is neither right nor wrong": (
        "mmlu_anatomy.csv",
        "prompt,weak,strong\nWhy?,True,\n",
        ("mmlu_anatomy.csv, row 1, column `strong`", "True or False"),
    ),
    "RouterArena is not graded": (
        "ours.json",
        json.dumps([{**predictions()[0], "accuracy": None, "cost": None}]),
        ("ours.json has no graded answer", "llm_evaluation"),
    ),
    "RouterArena has two texts of one index": (
        "ours.json",
        json.dumps([predictions()[0], {**predictions()[1], "prompt": "What?"}]),
        ("ours.json, entry 2, column `prompt`: `What?`", "the text that `AIME_0` had before"),
    ),
    "predictions are no array": ("ours.json", "{}", ("ours.json is not a JSON array",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path, case: str) -> None:
    name, content, said = REFUSED[case]
    path = tmp_path / name
    if isinstance(content, list):
        format_writers.write(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        datasets.load(tmp_path, path.stem, {})
    assert all(part in refused.value.message for part in said), refused.value.message


def test_tables_of_ours_are_checked(tmp_path: Path) -> None:
    format_writers.tables(tmp_path, "ours")
    for column, value, said in (
        ("score", 1.5, "ours/outcomes.parquet, row 2, column `score`: `1.5`"),
        ("query_id", "q9", "ours/outcomes.parquet, row 2, column `query_id`: `q9`"),
    ):
        outcomes = parquet.read_table(tmp_path / "ours" / "outcomes.parquet").to_pylist()
        outcomes[1][column] = value
        format_writers.write(tmp_path / "wrong" / "outcomes.parquet", outcomes)
        format_writers.write(
            tmp_path / "wrong" / "queries.parquet", parquet.read_table(tmp_path / "ours" / "queries.parquet").to_pylist()
        )
        with pytest.raises(UsageError) as refused:
            datasets.load(tmp_path, "wrong", {})
        assert said.replace("ours", "wrong") in refused.value.message
    queries = parquet.read_table(tmp_path / "ours" / "queries.parquet").to_pylist()
    format_writers.write(tmp_path / "ours" / "queries.parquet", [*queries, queries[0]])
    with pytest.raises(UsageError, match=r"row 4, column `query_id`: `q0` was found; expected each id once, and row 1 has it"):
        datasets.load(tmp_path, "ours", {})


def test_a_table_of_ours_whose_text_is_not_utf_8_cannot_be_read(tmp_path: Path) -> None:
    format_writers.tables(tmp_path, "ours")
    path = tmp_path / "ours" / "queries.parquet"
    table = parquet.read_table(path)
    broken = pa.array([b"\xff"] * len(table), pa.binary()).view(pa.string())
    parquet.write_table(table.set_column(table.column_names.index("prompt"), "prompt", broken), path)
    with pytest.raises(UsageError, match=r"queries\.parquet cannot be read: 'utf-8' codec"):
        datasets.load(tmp_path, "ours", {})
