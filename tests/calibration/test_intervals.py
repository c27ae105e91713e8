"""Intervals over calls: they hold what they say, and draws without a value are left out."""

from __future__ import annotations

import numpy as np
import pytest

from tradewind import bootstrap
from tradewind.calibration import calibrate, inputs
from tradewind.calibration.calibrate import Curve
from tradewind.calibration.goals import Share
from tradewind.calibration.ladder import BILLIONTHS


def test_the_log_itself_comes_first_and_every_draw_has_as_many_calls() -> None:
    weights = bootstrap.draws(7, seed=3, count=100)
    assert weights.shape == (101, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 7).all()
    assert (np.array(list(bootstrap.drawn(7, seed=3, count=100))) == weights).all()


def test_sums_are_those_of_the_drawn_calls() -> None:
    columns = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    found = bootstrap.sums(columns, seed=0)
    assert found[0].tolist() == [7, 70]
    assert (found[:, 1] == 10 * found[:, 0]).all()


def test_draws_without_a_value_are_left_out() -> None:
    values = bootstrap.ratio(np.array([3.0, 0.0, 2.0, 4.0]), np.array([1.0, 0.0, 1.0, 1.0]))
    found = bootstrap.interval(values)
    assert (found.value, found.low, found.high) == (3, pytest.approx(2.05), pytest.approx(3.95))
    nothing = inputs.interval_document(bootstrap.interval(np.array([np.nan, np.nan])))
    assert nothing == {"value": None, "low": None, "high": None}


def test_a_setting_lies_between_its_steps_and_the_last_value_is_taken_where_it_begins() -> None:
    one = np.ones(2)
    curve = Curve(0 * one, one, one, np.array([1, 0]), np.array([0, 1]), np.array([15_000_000, 20_000_000]), top=BILLIONTHS)
    assert curve.values(one).tolist() == [0, 0.5, 1]
    assert curve.values(np.array([2.0, 0.0])).tolist() == [0, 0, 1]
    assert [curve.setting(index) for index in range(3)] == [0, 17_000_000, 30_000_000]


def test_the_interval_of_a_setting_holds_that_of_all_calls_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        # Each call leaves its cheapest at a setting that is uniform up to 1: 30 % of all have at .3.
        at = np.sort(rng.integers(1, BILLIONTHS, 80))
        one = np.ones(80)
        curve = Curve(0 * one, one, one, rng.permutation(80), np.arange(80), at, top=2 * BILLIONTHS)
        found = calibrate.search(curve, Share(0.3), seed=0)
        assert found.met
        assert abs(np.mean(at <= found.setting) - 0.3) <= 1 / 80
        held += found.interval.low <= 0.3 <= found.interval.high
    assert held >= 88
