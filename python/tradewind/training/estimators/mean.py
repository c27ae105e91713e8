"""Knows nothing of the question: each model's mean score and cost. Its router is the Zero router without
mixing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Forecasts, Routed, sweep


@dataclass(frozen=True)
class Mean:
    """Means over these training rows."""

    trained: DataSet

    def route(self, data: DataSet) -> Routed:
        """The same forecast for every question."""
        shape = data.score.shape
        quality = np.broadcast_to(np.nanmean(self.trained.score, axis=0), shape)
        cost = np.broadcast_to(np.nan_to_num(self.trained.cost_usd).mean(axis=0), shape)
        return sweep(Forecasts(quality, cost))


def prepare(given: Given) -> Routers:
    """Nothing is shared between sets."""
    return Mean


ENTRY = Entry("mean", "each model's mean score, whatever the question", prepare)
