"""The artifact's own predictor, made by the same recipe without the evaluated questions, run by the
production `decide`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tradewind.training import corpus, distill, export, production, recipe, tier1
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.routing import Router


def prepare(given: Given) -> Routers:
    """One predictor for all sets; a model that its training sets lack gets a profile on the set's own
    training rows."""
    material = corpus.build(list(given.sets), list(given.own), distill.load(tier1.DIMENSIONS))
    fitted, _ = recipe.fit(material, given.seed, given.progress or recipe.silent)
    with tempfile.TemporaryDirectory() as folder:
        export.write(fitted, Path(folder))
        graph = (Path(folder) / export.FILE).read_bytes()

    def router(trained: DataSet) -> Router:
        return production.router(graph, fitted.profiles, trained)

    return router


ENTRY = Entry("tier1", "the microsecond predictor, as `train` makes it", prepare)
