"""AUROC, Brier and ECE against tables computed by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import score_cases
from hypothesis import given, settings
from sklearn.metrics import brier_score_loss, roc_auc_score

from tradewind import bootstrap
from tradewind.training.scores import calibration

FORECAST = np.array([[0.9, 0.2], [0.6, 0.6]])
SCORE = np.array([[1.0, 0.0], [0.0, 1.0]])
ONCE = np.ones((1, 2))


def test_a_right_answer_has_the_higher_forecast() -> None:
    # Right .9 and .6, wrong .2 and .6: of four comparisons three are won and one is a tie.
    assert calibration.auroc(ONCE, FORECAST, SCORE) == pytest.approx([3.5 / 4])
    # The first question alone: .9 against .2. All answers right: nothing to compare.
    assert calibration.auroc(np.array([[1.0, 0.0]]), FORECAST, SCORE) == pytest.approx([1.0])
    assert np.isnan(calibration.auroc(ONCE, FORECAST, np.ones((2, 2)))).all()
    # Half a right answer of .9 and a whole one of .6, half a wrong answer of .9 and one and a half of .2 and … :
    # right weights .5 (.9), 1 (.6), wrong .5 (.9), 1 (.2), 1 (.6); wins .5·2 + .5·.25 + 1·1 + 1·.5, of 1.5 · 2.5.
    half = np.array([[0.5, 0.0], [0.0, 1.0]])
    assert calibration.auroc(ONCE, FORECAST, half) == pytest.approx([(0.5 * 2 + 0.5 * 0.25 + 1 + 0.5) / (1.5 * 2.5)])


def test_the_brier_score_is_a_mean_square() -> None:
    assert calibration.brier(ONCE, FORECAST, SCORE) == pytest.approx([(0.01 + 0.04 + 0.36 + 0.16) / 4])


@given(score_cases.SEEDS)
@settings(max_examples=15, deadline=None)
def test_pooled_cells_agree_with_scikit_learn(seed: int) -> None:
    drawn = score_cases.drawn_case(seed)
    forecast, score = np.round(drawn.here.quality, 1), drawn.tested.score
    for draw, weights in zip(calibration.auroc(drawn.weights, forecast, score), drawn.weights, strict=True):
        cells = np.repeat(weights, score.shape[1])
        if 0 < cells @ score.ravel() < cells.sum():
            assert draw == pytest.approx(roc_auc_score(score.ravel(), forecast.ravel(), sample_weight=cells))
    expected = brier_score_loss(score.ravel(), forecast.ravel())
    assert calibration.brier(drawn.weights, forecast, score)[0] == pytest.approx(expected)
    mirrored = calibration.auroc(drawn.weights, 1 - forecast, score)
    assert mirrored == pytest.approx(1 - calibration.auroc(drawn.weights, forecast, score), nan_ok=True)


def test_forecasts_that_say_nothing_win_half(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = score_cases.drawn_case(4)
    level = np.full(drawn.tested.score.shape, 0.5)
    assert calibration.auroc(drawn.weights, level, drawn.tested.score) == pytest.approx(0.5, nan_ok=True)
    # However few cells are sorted at a time.
    whole = calibration.auroc(drawn.weights, drawn.here.quality, drawn.tested.score)
    monkeypatch.setattr(calibration, "CHUNK_CELLS", 1)
    assert calibration.auroc(drawn.weights, drawn.here.quality, drawn.tested.score).tolist() == whole.tolist()


def test_the_calibration_error_of_large_bins_is_the_mean_gap() -> None:
    # Two bins of 10,000: forecast .2 with 3,000 right, forecast .8 with 8,000 right: (|.2 − .3| + 0) / 2, less the little
    # that chance adds: E|N(0, σ)| = σ √(2/π) for σ = √(.16/10000) = .004 is .0032, halved.
    forecast = np.repeat([0.2, 0.8], 10_000)[:, None]
    score = np.repeat([1.0, 0.0, 1.0, 0.0], [3000, 7000, 8000, 2000])[:, None]
    found = calibration.ece(np.ones((1, 20_000)), forecast, score, bins=2)
    assert found == pytest.approx([0.05 - 0.0032 / 2], abs=1e-4)


def test_a_bin_without_noise_has_no_excess() -> None:
    # All answers of a bin alike: its mean is exact, and the gap is what it is: .1 and .2.
    forecast, score = np.array([[0.1], [0.1], [0.8], [0.8]]), np.array([[0.0], [0.0], [1.0], [1.0]])
    assert calibration.ece(np.ones((1, 4)), forecast, score, bins=2) == pytest.approx([0.15])


def plain_ece(forecast: np.ndarray, score: np.ndarray) -> float:
    """Ten bins of equal mass, not debiased."""
    order = np.argsort(forecast.ravel())
    gaps = (forecast.ravel() - score.ravel())[order].reshape(10, -1).mean(axis=1)
    return float(np.abs(gaps).mean())


def drawn_ece(shift: float) -> tuple[float, float, float]:
    """(the debiased error, the middle of its interval, the plain error), mean of 20 samples of 1,000 cells."""
    rng = np.random.default_rng(5)
    found = []
    for seed in range(20):
        chance = rng.uniform(0.15, 0.85, (500, 2))
        score = (rng.random((500, 2)) < chance).astype(np.float64)
        error = bootstrap.interval(calibration.ece(bootstrap.draws(500, seed, 40), chance + shift, score))
        found.append((error.value, (error.low + error.high) / 2, plain_ece(chance + shift, score)))
    value, middle, plain = np.mean(found, axis=0)
    return value, middle, plain


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_an_error_that_is_there_is_found(shift: float) -> None:
    value, middle, _ = drawn_ece(shift)
    assert value == pytest.approx(0.1, abs=0.01)
    assert middle == pytest.approx(value, abs=0.01)


def test_part_of_what_chance_adds_is_taken_away() -> None:
    """Of the .8 σ of a bin that has no error, .33 σ: 2·E|d| − E|N(0, √2 σ)| = (1.60 − 1.13) σ are left."""
    value, middle, plain = drawn_ece(0.0)
    assert value == pytest.approx(plain * 0.468 / 0.798, rel=0.15)
    # A draw's own noise is taken away as well.
    assert middle == pytest.approx(value, abs=0.01)


@given(score_cases.SEEDS)
@settings(max_examples=15, deadline=None)
def test_an_error_lies_between_0_and_1(seed: int) -> None:
    drawn = score_cases.drawn_case(seed)
    for forecast in (drawn.here.quality, np.round(drawn.here.quality), 1 - drawn.tested.score):
        found = calibration.ece(drawn.weights, forecast, drawn.tested.score)
        assert ((found >= 0) & (found <= 1)).all()
