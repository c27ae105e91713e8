"""The sentence encoder fine-tuned end to end, as `train-teacher` does it, routing itself: what the microsecond predictor is
measured against. Minutes for a thousand questions.

Costs are forecast from each model's mean answer length in the pool's training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Length
from tradewind.errors import UsageError, listed
from tradewind.training import distill, routing, teacher
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Entry, Given, Routers
from tradewind.training.recipe import silent
from tradewind.training.routing import Forecasts, Routed

if TYPE_CHECKING:
    from tradewind.training.teacher.fit import Settings, Teacher
    from tradewind.training.teacher.questions import Questions

Floats = npt.NDArray[np.float64]

UNMEASURED_TOKENS = float(np.exp(Length().bias))
"""Of an answer whose length no row tells, as profiles have it."""


@dataclass(frozen=True)
class Encoder:
    """Fitted on all sets."""

    teacher: Teacher
    learned: Questions
    settings: Settings

    def quality(self, data: DataSet) -> Floats:
        """[n, M]. Raises `UsageError` for a model that it was not fitted on."""
        from tradewind.training.teacher import fit, questions

        column = {pair: column for column, pair in enumerate(self.learned.pairs)}
        missing = [model for model in data.models if (data.name, model) not in column]
        if missing:
            raise UsageError(f"`{ENTRY.name}` was fitted without {listed(missing[:8])} of `{data.name}`")
        asked = questions.of([data], self.learned.scale)
        logits = fit.predict(self.teacher, asked, np.arange(len(data)), self.settings, forms=(0,))
        found: Floats = 1 / (1 + np.exp(-logits[:, [column[data.name, model] for model in data.models]].astype(np.float64)))
        return found


@dataclass(frozen=True)
class EncoderRouter:
    """Its router of a pool."""

    encoder: Encoder
    tokens: Floats
    """[M], of a model's answer"""

    def route(self, data: DataSet) -> Routed:
        """Decides on every question at every willingness to pay."""
        quality = self.encoder.quality(data)
        cost = routing.forecast_cost(data, np.broadcast_to(self.tokens, quality.shape))
        return routing.sweep(Forecasts(quality, cost))


def prepare(given: Given) -> Routers:
    """One encoder for all sets. Raises `UsageError` without the extra `[encoder]`."""
    teacher.need()
    from tradewind.training.teacher import fit, questions

    say = given.progress or silent
    tensors = distill.read_safetensors(distill.encoder_folder() / "model.safetensors")
    learned, settings = questions.of(given.sets), fit.Settings()
    rows = np.arange(len(learned))
    fitted = fit.fit(tensors, learned, rows, settings, given.seed, lambda done, total: say("fine-tuning", done, total))
    encoder = Encoder(fitted, learned, settings)

    def router(trained: DataSet) -> EncoderRouter:
        return EncoderRouter(encoder, _mean_tokens(trained))

    return router


def _mean_tokens(trained: DataSet) -> Floats:
    """[M]"""
    measured = ~np.isnan(trained.output_tokens)
    total, count = np.nansum(trained.output_tokens, axis=0), measured.sum(axis=0)
    found: Floats = np.where(count > 0, total / np.maximum(count, 1), UNMEASURED_TOKENS)
    return found


ENTRY = Entry("encoder", "the sentence encoder fine-tuned end to end, the microsecond predictor's teacher", prepare, None)
