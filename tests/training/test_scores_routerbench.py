"""RouterBench's metrics against tables computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import score_cases
from hypothesis import given, settings

from tradewind.training.scores import frontier, routerbench


def test_the_hull_keeps_what_is_worth_its_price() -> None:
    cost = np.array([1.0, 2.0, 3.0, 4.0, 2.5, 1.0])
    quality = np.array([0.2, 0.3, 0.8, 0.7, 0.4, 0.1])
    # 2 and 2.5 lie under the line from (1, .2) to (3, .8); 4 costs more than 3 and is worse; the second 1 is
    # worse.
    assert frontier.hull(cost, quality).tolist() == [0, 2]


def test_the_hull_of_models_of_one_price_is_the_best_of_them() -> None:
    assert frontier.hull(np.array([1.0, 1.0]), np.array([0.4, 0.6])).tolist() == [1]


@given(score_cases.SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_hull_rises_bends_down_and_lies_above_every_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, quality = rng.integers(1, 9, 12).astype(float), rng.integers(0, 9, 12).astype(float)
    kept = frontier.hull(cost, quality)
    x, y = cost[kept], quality[kept]
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    slope = np.diff(y) / np.diff(x)
    assert (np.diff(slope) < 0).all()
    assert (np.interp(cost, x, y) >= quality - 1e-9).all()
    assert x[0] == cost.min()


def test_aiq_is_the_mean_height_of_the_curve() -> None:
    cost, quality = np.array([[1.0, 3.0]]), np.array([[0.2, 0.8]])

    def area(low: float, high: float) -> float:
        return float(routerbench.aiq(cost, quality, np.array([low]), np.array([high]))[0])

    assert area(1, 3) == pytest.approx(0.5)
    # Right of the last point it stays at .8: (2 · .5 + 2 · .8) / 4.
    assert area(1, 5) == pytest.approx(0.65)
    # Left of the first it falls to (0, 0): half of it at cost .5, so (.5 · .15 + 2 · .5) / 2.5.
    assert area(0.5, 3) == pytest.approx((0.5 * 0.15 + 2 * 0.5) / 2.5)


def test_the_repository_divides_by_the_dearest_and_leaves_out_what_lies_left_of_the_first_point() -> None:
    cost, quality = np.array([[1.0, 3.0]] * 3), np.array([[0.2, 0.8]] * 3)
    found = routerbench.aiq_repository(cost, quality, np.array([3.0, 5.0, 2.0]))
    # 2 · .5 / 3, then (2 · .5 + 2 · .8) / 5; up to cost 2 the curve has the mean height .35, so 1 · .35 / 2.
    assert found == pytest.approx([1 / 3, 2.6 / 5, 0.35 / 2])
    # A curve that begins beyond the dearest model has nothing in its range; where all is free there is no range.
    assert routerbench.aiq_repository(cost[:2], quality[:2], np.array([0.5, 0.0])) == pytest.approx([0, np.nan], nan_ok=True)


def test_zero_mixes_single_models_and_the_oracle_pays_least() -> None:
    #           m00 m01 m02         mean cost 1, 2, 4; mean score .5, .5, .75: m01 is not on Zero's hull
    score = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0]], float)
    data = score_cases.table(score, np.tile([1.0, 2.0, 4.0], (4, 1)))
    case = score_cases.case(data, score_cases.singles(data))
    assert case.zero.cost.tolist() == [[1, 4]]
    assert case.zero.quality.tolist() == [[0.5, 0.75]]
    assert routerbench.aiq(*case.zero, case.cheapest, case.dearest) == pytest.approx([(0.5 + 0.75) / 2])
    # Best answers: 1 (m00 for 1), 1 (m01 for 2), 1 (m02 for 4), 1 (m00 for 1).
    best, paid = routerbench.oracle(data.score, data.cost_usd)
    assert best.tolist() == [1, 1, 1, 1]
    assert paid.tolist() == [1, 2, 4, 1]


def test_a_question_that_no_model_answers_costs_the_oracle_what_the_cheapest_does() -> None:
    best, paid = routerbench.oracle(np.array([[0.0, 0.0]]), np.array([[3.0, 1.0]]))
    assert (best.tolist(), paid.tolist()) == ([0.0], [1.0])


@given(score_cases.SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_router_that_only_knows_single_models_is_zero(seed: int) -> None:
    drawn = score_cases.drawn_case(seed)
    case = score_cases.case(drawn.tested, score_cases.singles(drawn.tested), drawn.weights)
    rows = {metric.name: metric.compute for metric in routerbench.METRICS}
    assert rows["aiq"](case) == pytest.approx(rows["zero"](case))
    assert rows["aiq_minus_zero"](case) == pytest.approx(0, abs=1e-12)
    assert rows["aiq_repository"](case) == pytest.approx(rows["zero_repository"](case))
    # Its curve begins at the cheapest model: both integrals are the same, over ranges of other lengths.
    both = rows["zero"](case)[0] * (case.dearest - case.cheapest)[0], (rows["zero_repository"](case) * case.dearest)[0]
    assert both[0] == pytest.approx(both[1])


def test_utility_is_quality_in_money_less_cost() -> None:
    assert routerbench.wtp_utility(0.1, np.array([0.5]), np.array([0.015])) == pytest.approx([0.05 - 0.015])
