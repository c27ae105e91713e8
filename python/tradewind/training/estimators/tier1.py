"""The artifact's own predictor, made by the same recipe without the evaluated questions, run by the
production `decide`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tradewind.artifacts import plan
from tradewind.training import export, forecast, production, recipe, tier1
from tradewind.training.corpus import Corpus, Encoder, Material, Own
from tradewind.training.datasets import DataSet
from tradewind.training.distill import DIMENSIONS
from tradewind.training.estimator import Estimator, Floats, Inputs, Tables
from tradewind.training.features import SurfaceScale
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.forecast import Prediction
from tradewind.training.routing import Router
from tradewind.training.tier1 import Settings, Tier1


@dataclass(frozen=True)
class Heads:
    """The predictor's quality for the models of its table."""

    fitted: Tier1
    profiles: tuple[plan.Profile, ...]

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return forecast.quality(self.prediction(x), self.fitted.parameters, self.profiles)[0]

    def prediction(self, x: Inputs) -> Prediction:
        """The graph's outputs."""
        return self.fitted.predict(x)


@dataclass(frozen=True)
class Lengths:
    """Its answer lengths."""

    heads: Heads

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return forecast.output_tokens(self.heads.prediction(x), self.heads.fitted.parameters, self.heads.profiles)


class MicrosecondTier(Estimator):
    """The predictor's parts fitted on one table alone, without our own prompts; its graph is `export`'s."""

    quality_: Heads

    def __init__(self, settings: Settings = Settings(), embedding: int = DIMENSIONS, seed: int = 0) -> None:
        self.settings = settings
        self.embedding = embedding
        """Leading columns of x that are z."""
        self.seed = seed

    def _learn_quality(self, tables: Tables) -> Heads:
        data = _data_set(tables)
        x, surface = tables.x, tables.x.shape[1] - self.embedding
        whole = Corpus(
            encoder=_no_encoder(self.embedding, surface),
            materials=(Material(data, x, x),),
            own=Own((), x[:0], np.zeros(0)),
            table_source="",
        )
        settings = replace(self.settings, clusters=min(self.settings.clusters, len(x)))
        fitted = tier1.fit(whole, settings, self.seed)
        return Heads(fitted, tuple(fitted.profiles[name] for name in data.models))

    def _learn_length(self, x: Inputs, tokens: Floats) -> Lengths:
        return Lengths(self.quality_)

    def predictor(self, encoder: Encoder, models: Sequence[str]) -> tuple[bytes, dict[str, plan.Profile]]:
        """The ONNX file for the encoder that made x, and the profiles of the models."""
        graph = export.model(replace(self.quality_.fitted, encoder=encoder))
        return graph.SerializeToString(deterministic=True), dict(zip(models, self.quality_.profiles, strict=True))


def _data_set(tables: Tables) -> DataSet:
    """The table as a set of one task, every row a question of its own."""
    rows, models = tables.score.shape
    numbers = tuple(str(row) for row in range(rows))
    missing = np.full(tables.score.shape, np.nan)
    return DataSet(
        name="table",
        licence="",
        source="",
        ids=numbers,
        texts=numbers,
        variants=numbers,
        tasks=np.full(rows, "table"),
        stems=np.array(numbers),
        kept=np.ones(rows, bool),
        models=tuple(f"{column:04}" for column in range(models)),
        score=tables.score,
        cost_usd=missing,
        output_tokens=missing if tables.output_tokens is None else tables.output_tokens,
        input_price=np.full(models, np.nan),
        output_price=np.full(models, np.nan),
    )


def _no_encoder(dimensions: int, surface: int) -> Encoder:
    """One that only knows its sizes: x is encoded already."""
    nothing = np.zeros(surface, np.float32)
    return Encoder(
        np.zeros((0, dimensions), np.int8),
        np.zeros((0, 1), np.float32),
        np.zeros(0, np.float32),
        SurfaceScale(nothing, nothing),
    )


def prepare(given: Given) -> Routers:
    """One predictor for all sets; a model that its training sets lack gets a profile on the set's own
    training rows."""
    fitted, _ = recipe.fit(given.corpus, given.seed, given.progress or recipe.silent, alike=given.alike)
    with tempfile.TemporaryDirectory() as folder:
        export.write(fitted, Path(folder))
        graph = (Path(folder) / export.FILE).read_bytes()

    def router(trained: DataSet) -> Router:
        return production.router(graph, fitted.profiles, trained)

    return router


ENTRY = Entry("tier1", "the microsecond predictor, as `train` makes it", prepare, MicrosecondTier)
