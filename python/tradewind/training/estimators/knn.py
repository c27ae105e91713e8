"""The mean score of the nearest training questions (RouterBench, arXiv:2403.12031; k = 100 after our own
trials)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training import corpus, distill
from tradewind.training.corpus import Encoder
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Forecasts, Routed, Router, sweep

NEIGHBOURS = 100
DIMENSIONS = 128


@dataclass(frozen=True)
class Neighbours:
    """Cosine over static embeddings."""

    encoder: Encoder
    trained: DataSet
    z: npt.NDArray[np.float32]
    """[n, D]"""

    def route(self, data: DataSet) -> Routed:
        """Means over the nearest."""
        count = min(NEIGHBOURS, len(self.trained))
        cost = np.nan_to_num(self.trained.cost_usd)
        quality, price = np.zeros(data.score.shape), np.zeros(data.score.shape)
        z = corpus.embedding(self.encoder, data.texts)
        for start in range(0, len(data), 512):
            part = slice(start, start + 512)
            nearest = np.argpartition(-(z[part] @ self.z.T), count - 1, axis=1)[:, :count]
            quality[part], price[part] = self.trained.score[nearest].mean(axis=1), cost[nearest].mean(axis=1)
        return sweep(Forecasts(quality, price))


def prepare(given: Given) -> Routers:
    """One encoder for all sets."""
    encoder = corpus.build(list(given.sets), list(given.own), distill.load(DIMENSIONS)).encoder

    def router(trained: DataSet) -> Router:
        return Neighbours(encoder, trained, corpus.embedding(encoder, trained.texts))

    return router


ENTRY = Entry("knn", f"the mean score of the {NEIGHBOURS} nearest training questions", prepare)
