"""Metrics against tables computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tradewind.training.scores import bootstrap, frontier, llmrouterbench, routellm, routerbench


def test_the_hull_keeps_what_is_worth_its_price() -> None:
    cost = np.array([1.0, 2.0, 3.0, 4.0, 2.5, 1.0])
    quality = np.array([0.2, 0.3, 0.8, 0.7, 0.4, 0.1])
    # 2 and 2.5 lie under the line from (1, .2) to (3, .8); 4 costs more than 3 and is worse; the second 1 is
    # worse.
    assert frontier.hull(cost, quality).tolist() == [0, 2]


def test_the_hull_of_models_of_one_price_is_the_best_of_them() -> None:
    assert frontier.hull(np.array([1.0, 1.0]), np.array([0.4, 0.6])).tolist() == [1]


def test_aiq_is_the_mean_height_of_the_curve() -> None:
    cost, quality = np.array([[1.0, 3.0]]), np.array([[0.2, 0.8]])

    def area(low: float, high: float) -> float:
        return float(routerbench.aiq(cost, quality, np.array([low]), np.array([high]))[0])

    assert area(1, 3) == pytest.approx(0.5)
    # Right of the last point it stays at .8: (2 · .5 + 2 · .8) / 4.
    assert area(1, 5) == pytest.approx(0.65)
    # Left of the first it falls to (0, 0): half of it at cost .5, so (.5 · .15 + 2 · .5) / 2.5.
    assert area(0.5, 3) == pytest.approx((0.5 * 0.15 + 2 * 0.5) / 2.5)


def test_the_saving_is_read_where_the_curve_reaches_the_best_single_model() -> None:
    cost, quality = np.array([[1.0, 3.0]]), np.array([[0.2, 0.8]])
    assert frontier.cost_at(cost, quality, np.array([0.5])) == pytest.approx([2.0])
    assert llmrouterbench.saved(cost, quality, np.array([4.0]), np.array([0.5])) == pytest.approx([0.5])
    assert llmrouterbench.saved(cost, quality, np.array([4.0]), np.array([0.9])) == pytest.approx([0.0])


def test_the_oracle_takes_the_cheapest_among_equals() -> None:
    score = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    cost = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    best, paid = routerbench.oracle(score, cost)
    assert best.tolist() == [1.0, 0.0]
    assert paid.tolist() == [2.0, 1.0]


# Four questions; the strong model wins the first two. Sent there by falling gain, PGR is 1 at half the calls.
WEAK, STRONG = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])
ONCE = np.ones((1, 4))


@pytest.mark.parametrize(
    ("gain", "apgr", "cpt50", "cpt80"),
    [
        ([4.0, 3.0, 2.0, 1.0], 0.75, 0.25, 0.4),
        ([1.0, 2.0, 3.0, 4.0], 0.25, 0.75, 0.9),
        ([1.0, 1.0, 1.0, 1.0], 0.5, 0.5, 0.8),
    ],
)
def test_the_call_curve_of_a_pair(gain: list[float], apgr: float, cpt50: float, cpt80: float) -> None:
    curve = routellm.call_curve(ONCE, np.array(gain), WEAK, STRONG)
    assert routellm.apgr(curve) == pytest.approx([apgr])
    assert routellm.cpt(curve, 0.5) == pytest.approx([cpt50])
    assert routellm.cpt(curve, 0.8) == pytest.approx([cpt80])


def test_utility_is_quality_in_money_less_cost() -> None:
    found = routerbench.wtp_utility(0.1, np.array([0.5]), np.array([0.015]))
    assert found == pytest.approx([0.05 - 0.015])


def test_the_interval_of_a_mean_is_near_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap.interval(bootstrap.mean(bootstrap.draws(400, 1), values))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
