"""What would make a figure a lie is refused, or flagged by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import synthetic

from tradewind.artifacts import predictor
from tradewind.cli import app
from tradewind.errors import UsageError
from tradewind.training import contestants, datasets, evaluate, guards, manifest, prices, prompts, splits, stems
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Given

ALL = ("small", "large", "other")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return synthetic.sets(tmp_path / "data", ours=240, pair=60)


def change(file: Path, name: str, values: list[Any] | None) -> None:
    """Another column of that name, or none."""
    columns = parquet.read_table(file).to_pydict()
    columns.pop(name)
    parquet.write_table(pa.table({**columns, name: values} if values is not None else columns), file)


def first(file: Path, name: str, value: Any, row: int = 7) -> list[Any]:
    """The column with one other cell."""
    cells: list[Any] = parquet.read_table(file)[name].to_pylist()
    cells[row] = value
    return cells


WRONG = [
    ("outcomes", "score", 1.5, "`1.5` was found; expected a number from 0 to 1"),
    ("outcomes", "score", -0.1, "`-0.1` was found; expected a number from 0 to 1"),
    ("outcomes", "score", float("inf"), "`inf` was found; expected a number from 0 to 1"),
    ("outcomes", "cost_usd", -1.0, "`-1.0` was found; expected a number from 0"),
    ("outcomes", "query_id", "ours/9999", "`ours/9999` was found; expected an id that the queries have"),
    ("outcomes", "model", None, "`None` was found; expected text"),
    ("queries", "query_id", "ours/0", "`ours/0` was found; expected each id once, and row 1 has it"),
    ("queries", "task", None, "`None` was found; expected text"),
]


@pytest.mark.parametrize(("table", "column", "cell", "message"), WRONG)
def test_a_wrong_cell_is_named_by_file_column_and_row(data: Path, table: str, column: str, cell: Any, message: str) -> None:
    file = data / "ours" / f"{table}.parquet"
    change(file, column, first(file, column, cell))
    with pytest.raises(UsageError, match=rf"ours/{table}\.parquet, row 8, column `{column}`: {message}"):
        datasets.load(data, "ours", {})


@pytest.mark.parametrize(("table", "column"), [("outcomes", "score"), ("outcomes", "model"), ("queries", "task")])
def test_a_column_that_is_missing_is_named(data: Path, table: str, column: str) -> None:
    change(data / "ours" / f"{table}.parquet", column, None)
    with pytest.raises(UsageError, match=rf"{table}\.parquet lacks `{column}`; it has "):
        datasets.load(data, "ours", {})


def test_numbers_as_text_are_refused(data: Path) -> None:
    file = data / "ours" / "outcomes.parquet"
    change(file, "score", [str(cell) for cell in parquet.read_table(file)["score"].to_pylist()])
    with pytest.raises(UsageError, match=r"row 1, column `score`: `[01]\.0` was found; expected a number from 0 to 1"):
        datasets.load(data, "ours", {})


def test_null_and_nan_say_that_nothing_is_known(data: Path) -> None:
    file = data / "ours" / "outcomes.parquet"
    for cell in (None, float("nan")):
        change(file, "score", first(file, "score", cell))
        assert np.isnan(datasets.load(data, "ours", {}).score).sum() == 1


def test_the_command_says_it_without_naming_the_set(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A set that is wrong is not left out, as one without texts is."""
    file = data / "ours" / "outcomes.parquet"
    change(file, "score", first(file, "score", 2.0))
    assert app.run(["evaluate", "--data", str(data), "--fit", "mean", "--split", "question:1"]) == 2
    assert "row 8, column `score`" in " ".join(capfd.readouterr().err.split())


def load(data: Path, name: str) -> DataSet:
    return datasets.load(data, name, prices.load(data))


def test_a_leaked_stem_is_refused_whatever_its_formatting(data: Path) -> None:
    ours = load(data, "ours")
    split = splits.parse("question:1", [ours])
    tested, learned = ours.take(split.tested(ours)), ours.take(split.trained(ours))
    guards.refuse_leak("knn", tested, learned)
    texts = (f"  {tested.texts[3].upper()}\nA. yes\nB. no", *learned.texts[1:])
    leaking = replace(learned, texts=texts, stems=np.array([stems.digest(text) for text in texts]))
    message = f"`knn` would be fitted on 1 questions that `ours` tests it on: `{tested.ids[3]}`; .* rows of `ours`"
    with pytest.raises(UsageError, match=message):
        guards.refuse_leak("knn", tested, leaking)
    with pytest.raises(UsageError, match=tested.ids[3]):
        guards.refuse_leaks(Given([learned, leaking], [], 0), tested)


def test_an_evaluation_with_a_leak_stops(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a protocol may do wrong."""
    monkeypatch.setattr(splits.Split, "trained", lambda self, table: np.ones(len(table), bool))
    with pytest.raises(UsageError, match=r"would be fitted on .* questions that `ours` tests it on: `ours/"):
        evaluate.run(evaluate.Options(data, ("ours",), fit=("mean",), split="question:1"))


def test_our_own_prompts_that_are_asked_do_not_train() -> None:
    own = prompts.load()[:3]
    kept = guards.not_asked(own, frozenset({stems.digest(own[1].text)}))
    assert [prompt.id for prompt in kept] == [own[0].id, own[2].id]


def test_a_predictor_that_has_seen_a_tested_question_is_flagged_by_its_name(data: Path, tmp_path: Path) -> None:
    ours = load(data, "ours")
    leaked = int(np.flatnonzero(splits.parse("question:1", [ours]).tested(ours))[0])
    shutil.copytree(predictor.default_folder(), tmp_path / "predictor")
    listed = tmp_path / "predictor" / manifest.STEMS
    listed.write_text(f"{ours.stems[leaked][: manifest.STEM_DIGITS]}\n", encoding="utf-8")
    asked = evaluate.Options(data, ("ours",), predictor=tmp_path / "predictor", split="question:1", report=tmp_path / "report")
    found = evaluate.run(asked)["sets"]["ours"]
    [flag] = [flag for flag in found["flags"] if flag["kind"] == "trained_on_tested"]
    assert flag["router"] == contestants.PREDICTOR
    assert f"`{ours.ids[leaked]}`" in flag["message"]
    for file in ("report.md", "report.html"):
        assert ours.ids[leaked] in (tmp_path / "report" / file).read_text(encoding="utf-8")


def shuffle(data: Path, table: str, columns: tuple[str, ...], seed: int) -> None:
    """Deals these columns of `ours` anew among its rows; outcomes within each model."""
    file = data / "ours" / f"{table}.parquet"
    cells = parquet.read_table(file).to_pydict()
    rng = np.random.default_rng(seed)
    group = np.array(cells.get("model", [""] * len(cells["query_id"])))
    for name in np.unique(group):
        rows = np.flatnonzero(group == name)
        for row, other in zip(rows, rng.permutation(rows), strict=True):
            for column in columns:
                cells[f"new {column}"] = cells.get(f"new {column}", list(cells[column]))
                cells[f"new {column}"][row] = cells[column][other]
    for column in columns:
        cells[column] = cells.pop(f"new {column}")
    parquet.write_table(pa.table(cells), file)


SHUFFLED = {"labels": ("outcomes", ("score", "cost_usd")), "texts": ("queries", ("query_text", "prompt"))}


@pytest.mark.parametrize("what", [None, *SHUFFLED])
def test_shuffled_labels_and_texts_are_no_better_than_zero_and_flagged(data: Path, what: str | None) -> None:
    """`length` tells the two kinds of our questions apart, and kNN does so less well."""
    if what is not None:
        shuffle(data, *SHUFFLED[what], seed=3)
    found = evaluate.run(evaluate.Options(data, ("ours",), fit=("length", "knn"), split="question:1"))["sets"]["ours"]
    flagged = {flag["router"] for flag in found["flags"] if flag["kind"] == "no_better_than_zero"}
    verdict = {router: found["over_zero"][router]["verdict"] for router in ("length", "knn")}
    if what is None:
        assert verdict["length"] == "better than Zero"
        assert "length" not in flagged
    else:
        assert set(verdict.values()) <= {"no better than Zero", "worse than Zero"}
        assert flagged == {"length", "knn"}


def test_decisions_dealt_to_other_questions_gain_nothing(data: Path) -> None:
    found = evaluate.run(evaluate.Options(data, ("ours",), fit=("length",), split="question:1"))["sets"]["ours"]
    assert found["over_zero"]["length"]["difference"]["low"] > 0
    assert found["shuffled_texts"]["length"]["verdict"] != "better than Zero"


def test_of_several_permutations_the_middle_one_counts() -> None:
    permuted = [{"aiq": np.full(3, level), "score": np.full(3, -level)} for level in (0.9, 0.1, 0.5)]
    assert guards.middle(permuted)["aiq"][0] == 0.5


def test_a_gain_on_shuffled_texts_is_flagged() -> None:
    rising = {"aiq": np.linspace(0.5, 0.6, 50)}
    found = guards.over_zero(rising, {"aiq": np.zeros(50)})
    [flag] = guards.flag_shuffled("mine", found)
    assert (flag["kind"], flag["router"]) == ("gains_on_shuffled_texts", "mine")
    assert guards.flag_verdict("mine", found) == []
