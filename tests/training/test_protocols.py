"""Protocols of evaluation: what each of them holds out, and that nothing is on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from tradewind.cli import app
from tradewind.errors import UsageError
from tradewind.training import datasets, splits
from tradewind.training.datasets import DataSet
from tradewind.training.splits import Split

ALL = ("small", "large", "other")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[DataSet]:
    """`again` asks the questions of `ours` anew, under other names of tasks."""
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, "ours", 80, ALL, 1)
    synthetic.write(folder, "again", 80, ALL, 1)
    synthetic.write(folder, "pair", 60, ("small", "large"), 2)
    return [datasets.load(folder, name, {}) for name in ("again", "ours", "pair")]


def check(text: str, tables: list[DataSet]) -> tuple[Split, dict[str, int]]:
    """The split, and how many rows of each set that takes part it evaluates."""
    split = splits.parse(text, tables)
    return split, {data.name: int(split.tested(data).sum()) for data in tables if split.evaluates(data)}


def test_every_row_can_be_written_and_is_described(tables: list[DataSet]) -> None:
    written = {
        "none": "none",
        "question": "question:3",
        "task": "task:pair/sums",
        "subject": "subject:1",
        "transfer": "transfer:pair",
        "cold": "cold:small:10",
    }
    assert set(written) == {row.name for row in splits.TABLE}
    for text in written.values():
        assert splits.parse(text, tables).name == text
    assert all(row.about for row in splits.TABLE)


def test_the_command_tells_them_all(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.run(["evaluate", "--help"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    for row in splits.TABLE:
        assert row.form.upper().replace("<", "").replace(">", "").lower() in said.lower()
        assert row.every is None or f"{row.name}:all" in said


@given(seed=st.integers(-5, 10_000))
def test_a_stem_is_never_on_both_sides(tables: list[DataSet], seed: int) -> None:
    split, _ = check(f"question:{seed}", tables)
    tested = {str(stem) for data in tables for stem in data.stems[split.tested(data)]}
    trained = {str(stem) for data in tables for stem in data.stems[split.trained(data)]}
    assert not tested & trained


def test_a_task_may_be_all_that_is_below_a_name(tables: list[DataSet]) -> None:
    assert check("task:pair", tables)[1] == {"again": 0, "ours": 0, "pair": 60}
    assert check("task:pair/sums", tables)[1]["pair"] == 30
    # The same questions under another name are held out with them.
    assert check("task:ours", tables)[1] == {"again": 80, "ours": 80, "pair": 0}


def test_subjects_are_whole_tasks_and_the_folds_have_each_once(tables: list[DataSet]) -> None:
    folds = splits.named("subject:all", tables)
    assert len(folds) == splits.SUBJECT_FOLDS
    tasks = [{str(task) for data in tables for task in data.tasks[split.tested(data)]} for split in folds]
    assert set().union(*tasks) == {str(task) for data in tables for task in data.tasks}
    for split in folds:
        for data in tables:
            for task in np.unique(data.tasks):
                assert len(set(split.tested(data)[data.tasks == task].tolist())) == 1
    with pytest.raises(UsageError, match="unknown fold `9`; expected one of `0`, `1`, `2`, `3`"):
        splits.parse("subject:9", tables)


def test_in_transfer_no_question_of_the_set_trains_wherever_it_occurs(tables: list[DataSet]) -> None:
    split, tested = check("transfer:ours", tables)
    assert list(tested) == ["ours"]
    assert 0 < tested["ours"] < 40
    trained = {data.name: int(split.trained(data).sum()) for data in tables}
    assert trained == {"again": 0, "ours": 0, "pair": 60}
    with pytest.raises(UsageError, match="unknown set `theirs`; expected one of `again`, `ours`, `pair`"):
        splits.parse("transfer:theirs", tables)


def test_a_cold_start_is_in_the_sets_that_have_the_model(tables: list[DataSet]) -> None:
    split, tested = check("cold:org/Other:40", tables)
    assert split.cold == splits.Cold("other", 40)
    assert set(tested) == {"again", "ours"}
    with pytest.raises(UsageError, match="unknown model `nobody`; expected one of `large`, `other`, `small`"):
        splits.parse("cold:nobody:40", tables)


def test_all_stands_for_the_committed_splits(tables: list[DataSet]) -> None:
    assert [split.name for split in splits.named("question:all", tables)] == [f"question:{seed}" for seed in range(5)]
    assert [split.name for split in splits.named("transfer:all", tables)] == [
        "transfer:again",
        "transfer:ours",
        "transfer:pair",
    ]
    assert [split.name for split in splits.named("question:2", tables)] == ["question:2"]


@pytest.mark.parametrize(
    "text", ["", "all", "none:all", "question", "subject:x", "cold:small", "cold:small:x", "cold::4", "half:1"]
)
def test_a_protocol_that_is_none_is_refused_with_those_that_are(tables: list[DataSet], text: str) -> None:
    expected = ", ".join(f"`{row.form}`" for row in splits.TABLE)
    with pytest.raises(UsageError, match=f"unknown split `{text}`; expected one of {expected}"):
        splits.named(text, tables)
