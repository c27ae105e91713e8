"""Routers side by side: the same questions, the same draws, and what of it several splits leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import synthetic

from tradewind.artifacts import schemas
from tradewind.cli.evaluate import show
from tradewind.errors import UsageError
from tradewind.training import contestants, datasets, estimation, evaluate, results, splits, spread
from tradewind.training.estimators import knn, length, mean, task_mean, tier1
from tradewind.training.fitting import Entry, Given, Routers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=200, pair=120)


def check(data: Path, split: str, *sets: str, **options: Any) -> dict[str, Any]:
    """The document, which fits the published schema."""
    document = evaluate.run(evaluate.Options(data, sets, split=split, **options))
    jsonschema.Draft202012Validator(schemas.read("evaluate")).validate(document)
    return document


def test_the_evaluated_routers_stand_beside_the_four_that_every_table_has(data: Path) -> None:
    found = check(data, "question:1", fit=("length", "mean"), router=(synthetic.LARGE,))["sets"]
    for scores in found.values():
        assert list(scores["routers"]) == ["length", "mean", synthetic.LARGE, "zero", "task_mean", "knn"]
        assert scores["routers"]["length"]["aiq"] == scores["aiq"]
        assert scores["routers"]["mean"] == scores["routers"]["zero"]
        assert scores["routers"]["task_mean"]["aiq"] == scores["task_mean"]
        assert scores["routers"]["zero"]["aiq"]["value"] == pytest.approx(scores["zero"]["value"], abs=1e-9)
        large = scores["frontier"]["singles"]["large"][1]
        assert scores["routers"][synthetic.LARGE]["score"]["value"] == pytest.approx(large, abs=1e-5)


def test_comparisons_are_paired(data: Path) -> None:
    scores = check(data, "question:1", "ours", fit=("length", "mean"))["sets"]["ours"]
    by_key = {(entry["router"], entry["against"], entry["metric"]): entry["difference"] for entry in scores["comparisons"]}
    assert {key[:2] for key in by_key} == {
        *((router, other) for router in ("length", "mean") for other in ("zero", "task_mean", "knn")),
        ("length", "mean"),
    }
    assert {key[2] for key in by_key} <= set(results.COMPARED)
    for (router, other, metric), difference in by_key.items():
        apart = scores["routers"][router][metric]["value"] - scores["routers"][other][metric]["value"]
        assert difference["value"] == pytest.approx(apart)
    # On the same draws a router does not differ from its own double; on others it would.
    assert by_key["mean", "zero", "aiq"] == {"value": 0, "low": 0, "high": 0}
    alone = scores["routers"]["length"]["aiq"]
    paired = by_key["length", "zero", "aiq"]
    assert paired["high"] - paired["low"] < alone["high"] - alone["low"]


def test_without_a_split_only_what_needs_no_rows_stands_beside(data: Path) -> None:
    scores = check(data, "none", "ours", router=(synthetic.LARGE,))["sets"]["ours"]
    assert list(scores["routers"]) == [synthetic.LARGE, "zero", "task_mean"]
    assert scores["domains"] == {synthetic.LARGE: "transfer", "zero": "in", "task_mean": "in"}


def test_people_see_the_first_routers_metrics_and_which_of_them_have_no_value(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no metric, as the share of questions trained on, is not among them."""
    document = check(data, "none", "ours", router=(synthetic.LARGE,))
    show(document)
    shown = " ".join(capsys.readouterr().out.split())
    figures = document["sets"]["ours"]["routers"][synthetic.LARGE]
    missing = [name for name, value in figures.items() if value is None]
    assert shown.endswith(f"no value: {', '.join(missing)}")
    assert all(f"│ {name} │" in shown for name in figures.keys() - set(missing))


def test_the_domain_is_what_a_router_learned_from(data: Path) -> None:
    """The shipped predictor was trained on neither set, and gets profiles of their models alone."""
    scores = check(data, "question:1", "ours")["sets"]["ours"]
    assert scores["domain"] == "transfer"
    assert scores["domains"] == {contestants.PREDICTOR: "transfer"} | dict.fromkeys(contestants.BASELINES, "in")


def test_several_splits_give_mean_and_spread(data: Path) -> None:
    document = check(data, "question:all", "pair", fit=("length",))
    assert list(document["by_split"]) == [f"question:{seed}" for seed in range(5)]
    parts = [sets["pair"] for sets in document["by_split"].values()]
    values = [part["aiq"]["value"] for part in parts]
    found = document["sets"]["pair"]
    assert found["aiq"]["value"] == pytest.approx(np.mean(values))
    assert found["aiq"]["spread"] == pytest.approx(np.std(values, ddof=1))
    assert found["aiq"]["low"] == pytest.approx(np.mean([part["aiq"]["low"] for part in parts]))
    assert found["routers"]["length"]["aiq"] == found["aiq"]
    assert found["splits"] == list(document["by_split"])
    assert len(found["comparisons"]) == len(parts[0]["comparisons"])
    assert {flag["split"] for flag in found["flags"]} <= set(found["splits"])


def test_figures_that_some_splits_lack_are_means_of_the_others() -> None:
    figures = [{"value": 1.0, "low": 0.0, "high": 2.0}, None, {"value": 3.0, "low": 2.0, "high": 4.0}]
    assert spread.merged(figures) == {"value": 2.0, "low": 1.0, "high": 3.0, "spread": pytest.approx(2**0.5)}
    assert spread.merged([None, None]) is None


def test_one_file_belongs_to_one_split(data: Path, tmp_path: Path) -> None:
    for flag, options in (("--plans-out", {"plans_out": tmp_path}), ("--decisions-out", {"decisions_out": tmp_path / "d"})):
        with pytest.raises(UsageError, match=f"{flag} needs one split; `question:all` is 5"):
            check(data, "question:all", fit=("mean",), **options)


def test_a_set_that_a_split_holds_out_whole_has_no_kNN(data: Path) -> None:
    scores = check(data, "task:pair", "ours", "pair", router=(synthetic.LARGE,))["sets"]["pair"]
    assert list(scores["routers"]) == [synthetic.LARGE, "zero", "task_mean"]


def test_a_report_of_nothing_in_particular_has_every_estimator(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (task_mean.ENTRY, knn.ENTRY, length.ENTRY, mean.ENTRY)
    assert set(table) | {tier1.ENTRY} <= set(estimation.TABLE)
    monkeypatch.setattr(estimation, "TABLE", (*table, replace(mean.ENTRY, name="another")))
    found = check(data, "question:1", "pair", report=tmp_path)["sets"]["pair"]["routers"]
    assert list(found) == [contestants.PREDICTOR, "another", "zero", "task_mean", "length", "knn"]
    # Without rows to learn from there is the predictor alone, and it does not know these models.
    with pytest.raises(UsageError, match="no profile for `large`, `small`"):
        check(data, "none", "pair", report=tmp_path)


def test_a_cold_start_stands_beside_full_training(data: Path) -> None:
    document = check(data, "cold:small:30", "ours")
    found = document["sets"]["ours"]
    assert list(found["routers"]) == ["tier1:cold", "tier1", *contestants.BASELINES]
    assert document["router"] == "fitted: tier1, small from 30 answers"
    [against] = [
        entry["difference"]
        for entry in found["comparisons"]
        if (entry["router"], entry["against"], entry["metric"]) == ("tier1:cold", "tier1", "aiq")
    ]
    assert against["low"] <= against["value"] <= against["high"]


def test_a_cold_model_trains_nothing_and_has_that_many_answers(data: Path) -> None:
    seen: dict[str, Any] = {}

    def prepare(given: Given) -> Routers:
        seen["trained"] = {model for each in given.sets for model in each.models}
        return lambda rows: seen.setdefault("rows", rows) and mean.ENTRY.prepare(given)(rows)

    tables = [datasets.load(data, name, {}) for name in ("ours", "pair")]
    split = splits.parse("cold:small:30", tables)
    assert split.cold is not None
    entry = Entry("fake", "", prepare, mean.Mean)
    cold = contestants.started_cold(entry, Given(tables, [], 0), split, split.cold)
    cold.build(tables[0], tables[0])
    assert seen["trained"] == {"large", "other"}
    known = dict(zip(seen["rows"].models, (~np.isnan(seen["rows"].score)).sum(axis=0).tolist(), strict=True))
    assert known == {"small": 30, "large": 200, "other": 200}
    assert not np.isnan(seen["rows"].cost_usd).any()


def test_every_estimator_can_start_cold_and_what_comes_trained_cannot(data: Path) -> None:
    found = check(data, "cold:small:30", "ours", fit=("knn",))["sets"]["ours"]
    assert list(found["routers"]) == ["knn:cold", "knn", "zero", "task_mean", "length"]
    with pytest.raises(UsageError, match="a cold start is of estimators"):
        check(data, "cold:small:30", "ours", router=(synthetic.LARGE,))
