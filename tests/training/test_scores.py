"""The table of metrics: what holds for every row, and which rows a set gets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import score_cases
from hypothesis import given, settings

from tradewind import bootstrap
from tradewind.artifacts import schemas
from tradewind.training import scores
from tradewind.training.datasets import DataSet
from tradewind.training.routing import Routed
from tradewind.training.scores import page
from tradewind.training.scores.case import MANY, Case

OF_A_PAIR = {"apgr", "apgr10", "pgr50", "cpt50", "cpt80", "task_mean_apgr", "auroc_strong_better"}
OF_MANY = {"v_b_m3", "v_b_m5", "v_b_m10"}
OF_FORECASTS = {"auroc", "brier", "ece", "e_p"}
OF_SCORES = {"score", "oracle", "best_single", "random", "gain_at_random", "gain_at_best", "gap_at_oracle", "v_b", "r_o_50"}
OF_COSTS = {metric.name for metric in scores.TABLE} - OF_A_PAIR - OF_MANY - OF_FORECASTS - OF_SCORES - {"v_r", "delta_ibc"}


def figures(case: Case) -> dict[str, np.ndarray]:
    """Every metric that is allowed, [B]."""
    return {metric.name: metric.compute(case) for metric in scores.TABLE if metric.allowed(case)}


def cases(seed: int) -> list[Case]:
    """A pair, a pool, and a set of many models."""
    return [score_cases.drawn_case(seed, models=models) for models in (2, 4, MANY)]


def test_every_row_is_named_once_says_where_it_is_from_and_is_in_the_schema() -> None:
    names = Counter(metric.name for metric in scores.TABLE)
    assert max(names.values()) == 1
    assert all(metric.title and metric.source for metric in scores.TABLE)
    schema = schemas.read("evaluate")["$defs"]["set"]
    assert names.keys() <= schema["properties"].keys()


def test_the_page_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text == page.page(), "run `make docs`"


@pytest.mark.parametrize(
    ("models", "priced", "task", "expected"),
    [
        (2, True, "ours", OF_SCORES | OF_FORECASTS | OF_COSTS | OF_A_PAIR | {"delta_ibc"}),
        (2, False, "mmlu/law", OF_SCORES | OF_FORECASTS | OF_A_PAIR | {"v_r"}),
        (4, True, "ours", OF_SCORES | OF_FORECASTS | OF_COSTS),
        (MANY, False, "gsm", OF_SCORES | OF_FORECASTS | OF_MANY | {"v_r"}),
    ],
)
def test_a_metric_that_the_set_does_not_allow_is_null(models: int, priced: bool, task: str, expected: set[str]) -> None:
    drawn = score_cases.drawn_case(1, models=models, task=task)
    assert drawn.told is not None
    if not priced:
        drawn = replace(free(drawn), told=free(drawn.told))
    found = scores.measure(drawn)
    assert found.draws.keys() == expected
    document = found.document()
    assert {name for name in found.values if document[name] is not None} == expected
    assert (document["scaling"] is not None) == (models == MANY)
    schema = schemas.read("evaluate")
    metrics = {
        "properties": schema["$defs"]["set"]["properties"],
        "required": ["n", "models", *expected],
        "$defs": schema["$defs"],
    }
    jsonschema.Draft202012Validator(metrics).validate(document)


def free(case: Case) -> Case:
    unknown = np.full(case.tested.score.shape, np.nan)
    return replace(case, tested=replace(case.tested, cost_usd=unknown), learned=replace(case.learned, cost_usd=unknown))


def test_choices_without_forecasts_have_no_calibration() -> None:
    drawn = score_cases.drawn_case(1)
    ranked = replace(drawn, here=replace(drawn.here, forecasts=False))
    assert figures(drawn).keys() - figures(ranked).keys() == OF_FORECASTS


@given(score_cases.SEEDS)
@settings(max_examples=5, deadline=None)
def test_a_question_that_is_drawn_twice_counts_twice(seed: int) -> None:
    """Except for ECE, whose bins are those of the sample."""
    for case in cases(seed):
        twice = np.repeat(np.arange(len(case.tested)), case.weights[1].astype(int))
        alone = figures(on_rows(case, twice))
        for name, draws in figures(case).items():
            if name != "ece":
                assert draws[1] == pytest.approx(alone[name][0], nan_ok=True), name


@given(score_cases.SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_order_of_questions_says_nothing(seed: int) -> None:
    for case in cases(seed):
        order = np.random.default_rng(seed).permutation(len(case.tested))
        dealt = figures(on_rows(case, order))
        for name, draws in figures(case).items():
            assert draws[0] == pytest.approx(dealt[name][0], nan_ok=True), name


def on_rows(case: Case, rows: np.ndarray) -> Case:
    """The same router and training rows, these test rows once."""

    def part(routed: Routed) -> Routed:
        return replace(routed, choice=routed.choice[rows], quality=routed.quality[rows])

    once, tested = np.ones((1, len(rows))), case.tested.take(rows)
    told = None if case.told is None else replace(case.told, tested=tested, here=part(case.told.here), weights=once)
    return replace(case, tested=tested, here=part(case.here), weights=once, told=told)


IN_DOLLARS = {"routerarena"} | {metric.name for metric in scores.TABLE if metric.name.startswith("utility")}


@given(score_cases.SEEDS)
@settings(max_examples=5, deadline=None)
def test_another_currency_changes_nothing(seed: int) -> None:
    """Of the choices that were made; a willingness to pay and RouterArena's bounds are in dollars."""
    for case in cases(seed):
        told = case.told and replace(case.told, tested=dearer(case.told.tested), learned=dearer(case.told.learned))
        exchanged = figures(replace(case, tested=dearer(case.tested), learned=dearer(case.learned), told=told))
        for name, draws in figures(case).items():
            if name not in IN_DOLLARS:
                assert draws == pytest.approx(exchanged[name], nan_ok=True), name


def dearer(data: DataSet) -> DataSet:
    return replace(data, cost_usd=7.5 * data.cost_usd)


@given(score_cases.SEEDS)
@settings(max_examples=5, deadline=None)
def test_no_router_is_better_than_the_oracle(seed: int) -> None:
    for case in cases(seed):
        found = figures(case)
        for name in ("score", "best_single", "random", "r_o_50", "peak", "aiq", "zero", "aiq_repository"):
            assert (found[name] <= found["oracle"] + 1e-12).all(), name
        assert ((found["gap_at_oracle"] >= 0) & (found["gap_at_oracle"] <= 1)).all()
        assert (found["random"] <= found["r_o_50"]).all()


def test_the_interval_of_a_mean_is_near_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap.interval(bootstrap.mean(bootstrap.draws(400, 1), values))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_a_figure_that_the_sample_does_not_have_is_null() -> None:
    assert bootstrap.interval(np.array([np.nan, 0.5, 0.6])).document() is None
    assert bootstrap.interval(np.array([0.5, np.nan, np.nan])).document() is None
    assert bootstrap.interval(np.array([0.5, 0.4, np.nan])).document() == {"value": 0.5, "low": 0.4, "high": 0.4}
    assert bootstrap.ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])) == pytest.approx([0.5, np.nan], nan_ok=True)
