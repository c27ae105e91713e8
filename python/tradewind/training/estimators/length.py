"""Sees only how long a question is: what any router has to beat before it can claim to read.

Each model's score is a line in the logarithm of the text's length (ridge regression). For a pair the forecast
gain is then the difference of two lines, so questions are ordered by length, in the direction that the
training rows say ("prompt length only" of RouteLLM's pair).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Forecasts, Routed, Router, sweep

Floats = npt.NDArray[np.float64]

RIDGE = 20.0
"""Questions at which a slope is shrunk to half of the least squares one."""


@dataclass(frozen=True)
class Line:
    """y = level + slope · x, one of each a model, [M]."""

    level: Floats
    slope: Floats

    def at(self, x: Floats) -> Floats:
        """[n] → [n, M]"""
        found: Floats = self.level + x[:, None] * self.slope
        return found


@dataclass(frozen=True)
class Length:
    """Lines of score and cost over standardised ln characters."""

    centre: float
    spread: float
    score: Line
    cost_usd: Line

    def route(self, data: DataSet) -> Routed:
        """The same forecast for all questions of one length."""
        x = (_log_length(data) - self.centre) / self.spread
        return sweep(Forecasts(np.clip(self.score.at(x), 0, 1), np.maximum(self.cost_usd.at(x), 0)))


def fit(trained: DataSet) -> Router:
    """One line a model, through its mean."""
    length = _log_length(trained)
    centre, spread = float(length.mean()), float(length.std()) or 1.0
    x = (length - centre) / spread

    def line(cells: Floats) -> Line:
        level = cells.mean(axis=0)
        return Line(level, x @ (cells - level) / (x @ x + RIDGE))

    return Length(centre, spread, line(trained.score), line(np.nan_to_num(trained.cost_usd)))


def _log_length(data: DataSet) -> Floats:
    """ln(1 + characters), [n]"""
    found: Floats = np.log1p(np.array([len(text) for text in data.texts], float))
    return found


def prepare(given: Given) -> Routers:
    """Nothing is shared between sets."""
    return fit


ENTRY = Entry("length", "a line over the logarithm of the text's length, one a model", prepare)
