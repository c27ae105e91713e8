"""Whether forecasts say how often answers are right: AUROC, Brier score, expected calibration error.

A cell is one model's answer to one question; cells of all models are pooled. A score between 0 and 1 counts as that
share of a right answer.
"""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import ratio
from tradewind.training.scores.case import Case
from tradewind.training.scores.metric import Metric

Floats = npt.NDArray[np.float64]

BINS = 10
CHUNK_CELLS = 4_000_000
"""Cells of draws × answers that are sorted out at a time, to bound memory (32 MB a table)."""


def auroc(weights: Floats, forecast: Floats, score: Floats) -> Floats:
    """Probability that a right answer has the higher forecast than a wrong one, ties by half, [B] (Hanley and McNeil
    1982); forecast and score [n, K]. NaN where all answers are right, or all wrong."""
    flat = forecast.ravel()
    order = np.argsort(flat, kind="stable")
    question = np.repeat(np.arange(len(forecast)), forecast.shape[1])[order]
    right = score.ravel()[order]
    starts = np.flatnonzero(np.append(True, np.diff(flat[order]) != 0))
    step = max(1, CHUNK_CELLS // max(1, len(flat)))
    return np.concatenate([_ranked(weights[at : at + step, question], right, starts) for at in range(0, len(weights), step)])


def _ranked(drawn: Floats, right: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    """AUROC of cells by rising forecast, [B, cells]; equal forecasts begin at `starts`."""
    positive = np.add.reduceat(drawn * right, starts, axis=1)
    negative = np.add.reduceat(drawn * (1 - right), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def brier(weights: Floats, forecast: Floats, score: Floats) -> Floats:
    """Mean squared error of forecasts, [B] (Brier 1950); forecast and score [n, M]."""
    return np.asarray((weights @ ((forecast - score) ** 2).mean(axis=1)) / weights.sum(axis=1))


def ece(weights: Floats, forecast: Floats, score: Floats, bins: int = BINS) -> Floats:
    """Expected calibration error, debiased, [B]: Σ_b share_b·|mean forecast − mean score| over bins of equal mass;
    forecast and score [n, M].

    Even a perfect forecaster has |…| > 0 in a finite bin. As in Kumar et al. 2019 (arXiv:1909.10155;
    `normal_debiased_ce` in their repository), the mean score of a bin is taken as normal round what was observed, and
    the expected excess is subtracted; the folded normal gives it in closed form. That takes away two fifths of what
    chance adds where nothing is wrong, and all of it where much is. Not below 0. Cells count as independent, which
    subtracts too little rather than too much. Bins are those of the sample in every draw; equal forecasts share one.
    """
    edges = np.quantile(forecast, np.linspace(0, 1, bins + 1)[1:-1])
    bin_of = np.searchsorted(edges, forecast, side="left")
    inside = (bin_of[:, :, None] == np.arange(bins)).astype(np.float64)

    def total(cells: Floats) -> Floats:
        """Sum in each bin, [B, bins]."""
        found: Floats = weights @ np.einsum("nm,nmb->nb", cells, inside)
        return found

    count = total(np.ones_like(score))
    filled = np.maximum(count, 1.0)
    gap = (total(forecast) - total(score)) / filled
    variance = np.maximum(total(score**2) / filled - (total(score) / filled) ** 2, 0.0)
    # Var(Σwx / Σw) = σ²·Σw² / (Σw)²: a question that was drawn twice is not two observations.
    squares = weights**2 @ inside.sum(axis=1)
    excess = _folded(gap, np.sqrt(variance * squares) / filled) - np.abs(gap)
    share = count / count.sum(axis=1, keepdims=True)
    found = (share * (np.abs(gap) - excess)).sum(axis=1)
    return np.asarray(np.maximum(found, 0.0))


def _folded(mean: Floats, deviation: Floats) -> Floats:
    """E|X| of X ~ N(mean, deviation²)."""
    scaled = mean / np.where(deviation > 0, deviation, 1.0)
    spread = deviation * sqrt(2 / pi) * np.exp(-(scaled**2) / 2) + mean * np.vectorize(erf)(scaled / sqrt(2))
    return np.asarray(np.where(deviation > 0, spread, np.abs(mean)))


def _strong_is_better(case: Case) -> Floats:
    weak, strong = case.pair
    gain = case.here.quality[:, strong] - case.here.quality[:, weak]
    better = case.tested.score[:, strong] > case.tested.score[:, weak]
    return auroc(case.weights, gain[:, None], better[:, None].astype(np.float64))


METRICS = (
    Metric(
        "auroc",
        "AUROC of forecast quality",
        "Hanley and McNeil 1982",
        "higher",
        lambda case: auroc(case.weights, case.here.quality, case.tested.score),
        ("forecasts",),
    ),
    Metric(
        "brier",
        "Brier score of forecast quality",
        "Brier 1950",
        "lower",
        lambda case: brier(case.weights, case.here.quality, case.tested.score),
        ("forecasts",),
    ),
    Metric(
        "ece",
        "ECE of forecast quality, debiased, 10 bins of equal mass",
        "Kumar et al. 2019, arXiv:1909.10155",
        "lower",
        lambda case: ece(case.weights, case.here.quality, case.tested.score),
        ("forecasts",),
    ),
    Metric(
        "auroc_strong_better",
        "AUROC of forecast gain for “the strong model is better”",
        "Hanley and McNeil 1982",
        "higher",
        _strong_is_better,
        ("pair",),
    ),
)
