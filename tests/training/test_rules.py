"""The rules of evaluation: what is held out, what is fitted, what a missing cost means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import synthetic

from tradewind.artifacts import predictor, schemas
from tradewind.errors import UsageError
from tradewind.training import datasets, evaluate, prices
from tradewind.training.datasets import DataSet

NAN = float("nan")
ALL = ("small", "large", "other")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`again` asks the questions of `ours` anew, under other names of tasks."""
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, "ours", 120, ALL, 1)
    synthetic.write(folder, "again", 120, ALL, 1)
    synthetic.write(folder, "pair", 80, ("small", "large"), 2)
    synthetic.prices(folder)
    return folder


def check(data: Path, split: str, *sets: str, **options: Any) -> dict[str, Any]:
    """The figures by set, which fit the published schema."""
    document = evaluate.run(evaluate.Options(data, sets, split=split, **options))
    jsonschema.Draft202012Validator(schemas.read("evaluate")).validate(document)
    found: dict[str, Any] = document["sets"]
    return found


def test_a_question_is_on_the_same_side_in_every_set(data: Path) -> None:
    found = check(data, "question:4", "ours", "again", fit=("mean",))
    assert found["ours"]["n"] == found["again"]["n"] > 10
    alone = check(data, "question:4", "again", fit=("mean",))
    assert alone["again"]["n"] == found["again"]["n"]


def test_a_task_is_left_out_wherever_its_questions_occur(data: Path) -> None:
    found = check(data, "task:ours/sums", fit=("mean",))
    assert found["ours"]["n"] == found["again"]["n"] == 60
    assert "pair" not in found
    with pytest.raises(UsageError, match="unknown task `sums`; expected one of `again/essays`, "):
        check(data, "task:sums", fit=("mean",))


@pytest.mark.parametrize("split", ["question", "question:", "question:x", "task:", "none:1", "all"])
def test_a_split_that_is_none_is_refused(data: Path, split: str) -> None:
    with pytest.raises(UsageError, match=r"unknown split `.*`; expected one of `none`, `question:<seed>`, `task:<name>`"):
        check(data, split, fit=("mean",))


def test_without_a_split_an_unknown_model_is_an_error_and_with_one_it_gets_a_profile(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no profile for `large`, `other`, `small`; with `--split` they are fitted"):
        check(data, "none", "ours")
    check(data, "question:4", "ours", plans_out=tmp_path)
    plan = json.loads((tmp_path / "ours.json").read_bytes())
    assert {route["predictor"] for route in plan["routes"]} == {predictor.read().digest}
    assert all(plan["profiles"][model["profile"]]["answers"] > 60 for model in plan["models"])


def test_profiles_are_fitted_on_rows_outside_the_split_alone(data: Path, tmp_path: Path) -> None:
    """What the held-out questions were answered changes no plan; what the others were does."""
    changed = {"inside": tmp_path / "inside", "outside": tmp_path / "outside"}
    table = datasets.load(data, "ours", {})
    held_out = evaluate.splits.parse("question:4", [table]).tested(table)
    for side, rows in (("inside", held_out), ("outside", ~held_out)):
        synthetic.write(changed[side], "ours", 120, ALL, 1)
        synthetic.prices(changed[side])
        barred = {table.ids[row] for row in np.flatnonzero(rows)}
        flip(changed[side] / "ours" / "outcomes.parquet", barred)

    def plan(folder: Path) -> bytes:
        out = tmp_path / "plans" / folder.name
        check(folder, "question:4", "ours", plans_out=out)
        return (out / "ours.json").read_bytes()

    assert plan(changed["inside"]) == plan(data)
    assert plan(changed["outside"]) != plan(data)


def flip(file: Path, ids: set[str]) -> None:
    """Turns right answers to these questions into wrong ones, and the other way."""
    columns = parquet.read_table(file).to_pydict()
    pairs = zip(columns["query_id"], columns["score"], strict=True)
    columns["score"] = [1 - score if query_id in ids else score for query_id, score in pairs]
    parquet.write_table(pa.table(columns), file)


def write(folder: Path, outcomes: Mapping[str, Sequence[Any]]) -> None:
    """A set of one question of 40 bytes."""
    (folder / "one").mkdir(parents=True)
    queries = {"query_id": ["q"], "prompt": ["x" * 40], "query_text": ["x" * 40], "task": ["t"]}
    parquet.write_table(pa.table(queries), folder / "one" / "queries.parquet")
    columns = {"query_id": ["q"] * len(outcomes["model"]), **outcomes}
    parquet.write_table(pa.table(columns), folder / "one" / "outcomes.parquet")


def test_cost_is_measured_else_estimated_else_listed(tmp_path: Path) -> None:
    synthetic.prices(tmp_path)
    with (tmp_path / "prices" / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("large,999,999,a second row that never counts\n")
    outcomes = {
        "model": ["measured", "estimated", "org/Large", "unlisted"],
        "score": [1.0] * 4,
        "cost_usd": [0.5, None, None, None],
        "cost_usd_est": [0.1, 0.25, None, None],
        "output_chars": [400] * 4,
    }
    write(tmp_path, outcomes)
    found = datasets.load(tmp_path, "one", prices.load(tmp_path))
    cost = dict(zip(found.models, found.cost_usd[0].tolist(), strict=True))
    # 40 bytes in and 400 out are 10 and 100 tokens, at 5 and 20 dollars a million.
    assert cost["large"] == pytest.approx((10 * 5 + 100 * 20) / 1e6)
    assert (cost["measured"], cost["estimated"]) == (0.5, 0.25)
    assert np.isnan(cost["unlisted"])


@pytest.fixture(scope="module")
def table(data: Path) -> DataSet:
    return datasets.load(data, "ours", prices.load(data))


def missing(table: DataSet, field: str, rows: slice, *models: str) -> DataSet:
    """Without the cells of these models in these rows."""
    cells = getattr(table, field).copy()
    cells[rows, [table.models.index(model) for model in models]] = NAN
    return replace(table, **{field: cells})


def test_models_with_few_answers_leave_the_pool_and_questions_without_all_answers_the_rest(table: DataSet) -> None:
    assert len(datasets.pool(missing(table, "score", slice(0, 5), "small"))) == 115
    without = datasets.pool(missing(table, "score", slice(0, 30), "small"))
    assert (without.models, len(without)) == (("large", "other"), 120)


def test_where_no_model_covers_the_set_it_is_what_most_of_them_answered(table: DataSet) -> None:
    sparse = table
    for model in ALL:
        sparse = missing(sparse, "score", slice(0, 40), model)
    found = datasets.pool(missing(sparse, "score", slice(40, 44), "small"))
    assert (len(found.models), len(found)) == (3, 76)


def test_a_pool_without_costs_keeps_its_models_and_one_with_some_leaves_the_others_out(table: DataSet) -> None:
    some = datasets.pool(missing(table, "cost_usd", slice(None), "other"))
    assert (some.models, datasets.is_priced(some)) == (("large", "small"), True)
    few = datasets.pool(missing(missing(table, "cost_usd", slice(None), "other"), "cost_usd", slice(None), "large"))
    assert (len(few.models), np.isnan(few.cost_usd).all()) == (3, True)


def test_without_costs_cost_metrics_are_null_and_pairs_still_have_their_curve(data: Path, tmp_path: Path) -> None:
    synthetic.write(tmp_path, "pair", 80, ("small", "large"), 2)
    synthetic.write(tmp_path, "ours", 80, ALL, 2)
    for name in ("pair", "ours"):
        file = tmp_path / name / "outcomes.parquet"
        outcomes = parquet.read_table(file)
        parquet.write_table(outcomes.set_column(3, "cost_usd", pa.nulls(len(outcomes), pa.float64())), file)
    found = check(tmp_path, "question:4", report=tmp_path / "report")
    by_cost = ("aiq", "zero", "aiq_minus_zero", "task_mean", "saved_at_best_single")
    assert [found["pair"][name] for name in by_cost] == [None] * 5
    assert found["pair"]["apgr"]["low"] <= found["pair"]["apgr"]["value"] <= found["pair"]["apgr"]["high"]
    assert found["ours"]["apgr"] is None
    assert found["ours"]["score"]["value"] <= found["ours"]["oracle"]["value"]
    priced = check(data, "question:4", "ours")["ours"]
    assert None not in [priced[name] for name in by_cost]


def test_a_metric_without_a_value_is_null(data: Path, tmp_path: Path) -> None:
    """Where both models of a pair answer alike there is no gap to recover."""
    synthetic.write(tmp_path, "pair", 80, ("small", "large"), 2)
    synthetic.prices(tmp_path)
    file = tmp_path / "pair" / "outcomes.parquet"
    outcomes = parquet.read_table(file)
    parquet.write_table(outcomes.set_column(2, "score", pa.array([1.0] * len(outcomes))), file)
    found = check(tmp_path, "question:4", "pair")["pair"]
    assert (found["apgr"], found["cpt50"], found["cpt80"]) == (None, None, None)
    assert found["aiq"]["value"] == found["best_single"]["value"] == 1


def test_a_set_without_texts_is_left_out_aloud_and_refused_by_name(tmp_path: Path) -> None:
    synthetic.write(tmp_path, "pair", 80, ("small", "large"), 2)
    synthetic.prices(tmp_path)
    write(tmp_path, {"model": ["small"], "score": [1.0], "cost_usd": [0.1]})
    file = tmp_path / "one" / "queries.parquet"
    texts = pa.nulls(1, pa.string())
    parquet.write_table(parquet.read_table(file).set_column(1, "prompt", texts).set_column(2, "query_text", texts), file)
    said: list[str] = []
    document = evaluate.run(evaluate.Options(tmp_path, fit=("mean",), split="question:4"), said.append)
    assert set(document["sets"]) == {"pair"}
    assert "left out: data set `one` has no question texts" in said
    with pytest.raises(UsageError, match="data set `one` has no question texts"):
        check(tmp_path, "question:4", "one", fit=("mean",))


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"model": ["small"], "score": [1.0]})
    with pytest.raises(UsageError, match=r"outcomes\.parquet lacks `cost_usd`; it has `model`, `query_id`, `score`"):
        check(tmp_path, "question:4", "one", fit=("mean",))
    (tmp_path / "one" / "queries.parquet").write_bytes(b"no table")
    with pytest.raises(UsageError, match=r"queries\.parquet cannot be read"):
        check(tmp_path, "question:4", "one", fit=("mean",))


def test_a_free_model_is_drawn_too(tmp_path: Path) -> None:
    synthetic.write(tmp_path, "pair", 80, ("small", "large"), 2)
    file = tmp_path / "pair" / "outcomes.parquet"
    outcomes = parquet.read_table(file)
    free = pa.array([0.0 if model == "small" else 0.1 for model in outcomes["model"].to_pylist()])
    parquet.write_table(outcomes.set_column(3, "cost_usd", free), file)
    found = check(tmp_path, "question:4", "pair", report=tmp_path / "report")
    assert found["pair"]["aiq"]["value"] > 0
    assert (tmp_path / "report" / "pair.png").is_file()
