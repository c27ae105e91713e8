"""Settings are chosen by what forecasts are worth to a router, on rows that were not learned from."""

from __future__ import annotations

import numpy as np
import pytest

from tradewind.training import tuning
from tradewind.training.tuning import Floats, Held

NAN = np.nan
SCORE = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
COST = np.tile([0.001, 0.003], (4, 1))
CASES: dict[str, tuple[list[list[float]], list[list[float]], Floats | None, float]] = {
    # Two of four right at .001 and at .003: nothing is gained by paying.
    "forecasts that say nothing": ([[0.5, 0.5]] * 4, SCORE.tolist(), COST, 0.5),
    # .5 at .001 rises to .75 at .0015 (one question in four), and stays: (.25·.625 + .75·.75).
    "forecasts that know": (SCORE.tolist(), SCORE.tolist(), COST, 0.71875),
    # The weak model has .25; the first quarter of the calls gains .25, the others nothing: .25 + (.25·.125 + .75·.25).
    "a pair without costs": ([[0.1, 0.0], [0.0, 0.9], [0.5, 0.5], [0.5, 0.5]], [[0, 0], [0, 1], [1, 1], [0, 0]], None, 0.46875),
    "a pair whose means are equal": (SCORE.tolist(), SCORE.tolist(), None, 0.5),
    "three without costs": ([[0.1, 0.9, 0], [0.8, 0.1, 0]], [[0, 1, 1], [0.5, 1, 0]], None, 0.75),
    "what did not answer is not chosen": ([[0.1, 0.9, 0], [0.8, 0.1, 0]], [[0, NAN, 1], [0.5, 1, 0]], None, 0.25),
}


@pytest.mark.parametrize("case", CASES)
def test_the_value_of_forecasts(case: str) -> None:
    quality, score, cost, expected = CASES[case]
    assert tuning.routing_value(np.array(quality), np.array(score, float), cost) == pytest.approx(expected)


def forecasts(score: Floats, noise: float) -> Held:
    """The truth, blurred by the setting's distance from 3; the rows to forecast are never among those to learn."""

    def held(rows: np.ndarray, others: np.ndarray, setting: float) -> Floats:
        assert not set(rows) & set(others)
        assert len(rows) + len(others) == len(score)
        return score[others] + abs(setting - 3) * noise * np.random.default_rng(0).normal(size=score[others].shape)

    return held


def test_the_setting_that_routes_best_is_chosen() -> None:
    score = np.random.default_rng(1).integers(0, 2, (200, 3)).astype(float)
    assert tuning.best((1, 2, 3, 4), forecasts(score, 2.0), score, None, 0) == 3
    assert tuning.best((1, 2, 3, 4), forecasts(score, 2.0), score, score + 0.1, 0) == 3


def test_the_most_cautious_of_equals_is_chosen_and_few_rows_are_not_asked() -> None:
    score = np.ones((200, 3))
    assert tuning.best((4, 3, 2), forecasts(score, 0.0), score, None, 0) == 4

    def unasked(rows: np.ndarray, others: np.ndarray, setting: float) -> Floats:
        raise AssertionError

    assert tuning.best((4, 3), unasked, score[: tuning.ENOUGH - 1], None, 0) == 4
    assert tuning.best((4,), unasked, score, None, 0) == 4
