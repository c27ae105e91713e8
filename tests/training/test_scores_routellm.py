"""RouteLLM's metrics of a pair against tables computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import score_cases
from hypothesis import given, settings

from tradewind.training.scores import routellm

# Four questions; the strong model wins the first two. Sent there by falling gain, PGR is 1 at half the calls.
WEAK, STRONG = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])
ONCE = np.ones((1, 4))


@pytest.mark.parametrize(
    ("gain", "apgr", "apgr10", "pgr50", "cpt50", "cpt80"),
    [
        # PGR at 0, 25 … 100 %: 0 .5 1 1 1. At 10 % … 100 %: .2 .4 .6 .8 1 1 1 1 1 1, mean .8.
        ([4.0, 3.0, 2.0, 1.0], 0.75, 0.8, 1.0, 0.25, 0.4),
        # 0 0 0 .5 1. At 10 % … 100 %: 0 0 0 0 0 .2 .4 .6 .8 1, mean .3.
        ([1.0, 2.0, 3.0, 4.0], 0.25, 0.3, 0.0, 0.75, 0.9),
        # One step from 0 to 1: PGR(p) = p, whose mean at 10 % … 100 % is .55.
        ([1.0, 1.0, 1.0, 1.0], 0.5, 0.55, 0.5, 0.5, 0.8),
    ],
)
def test_the_call_curve_of_a_pair(
    gain: list[float], apgr: float, apgr10: float, pgr50: float, cpt50: float, cpt80: float
) -> None:
    curve = routellm.call_curve(ONCE, np.array(gain), WEAK, STRONG)
    assert routellm.apgr(curve) == pytest.approx([apgr])
    assert routellm.apgr10(curve) == pytest.approx([apgr10])
    assert routellm.pgr(curve, 0.5) == pytest.approx([pgr50])
    assert routellm.cpt(curve, 0.5) == pytest.approx([cpt50])
    assert routellm.cpt(curve, 0.8) == pytest.approx([cpt80])


def test_cpt_is_the_first_crossing_of_a_curve_that_falls_again() -> None:
    # PGR at 0, 25 … 100 %: lifts are +1, −1, +1, 0 of a whole of 1: 0 1 0 1 1. .5 is first reached at 12.5 %.
    weak, strong = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    curve = routellm.call_curve(ONCE, np.array([4.0, 3.0, 2.0, 1.0]), weak, strong)
    assert curve.recovered.tolist() == [[0, 1, 0, 1, 1]]
    assert routellm.cpt(curve, 0.5) == pytest.approx([0.125])


def test_models_that_are_equal_have_no_gap_to_recover() -> None:
    curve = routellm.call_curve(ONCE, np.arange(4.0), WEAK, WEAK[::-1])
    figures = (routellm.apgr(curve), routellm.apgr10(curve), routellm.pgr(curve, 0.5), routellm.cpt(curve, 0.5))
    assert np.isnan(figures).all()


@given(score_cases.SEEDS)
@settings(max_examples=20, deadline=None)
def test_laws_of_the_call_curve(seed: int) -> None:
    drawn = score_cases.drawn_case(seed, models=2)
    weak, strong = drawn.tested.score.T
    # The strong one is better in every draw.
    strong = np.maximum(weak, strong)
    strong[0] = 1.0
    weights = drawn.weights + 1
    gain = drawn.here.quality[:, 1] - drawn.here.quality[:, 0]
    curve = routellm.call_curve(weights, gain, weak, strong)
    area = routellm.apgr(curve)
    assert ((area >= 0) & (area <= 1)).all()
    # Any rising function of the gains sorts alike; the reverse order loses what this one wins.
    assert routellm.apgr(routellm.call_curve(weights, np.exp(3 * gain), weak, strong)) == pytest.approx(area)
    assert routellm.apgr(routellm.call_curve(weights, -gain, weak, strong)) == pytest.approx(1 - area)
    half, most = routellm.cpt(curve, 0.5), routellm.cpt(curve, 0.8)
    assert ((half > 0) & (half <= most) & (most <= 1)).all()


def test_random_routing_recovers_half() -> None:
    drawn = score_cases.drawn_case(3, questions=400, models=2)
    weak, strong = drawn.tested.score.T
    rng = np.random.default_rng(0)
    once = np.ones((1, len(weak)))
    areas = [routellm.apgr(routellm.call_curve(once, rng.random(len(weak)), weak, strong))[0] for _ in range(200)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)
