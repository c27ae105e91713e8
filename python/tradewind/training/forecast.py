"""The core's forecast in numpy (rust/core/src/predict/forecast.rs), for choosing settings and for the gates.

A test holds it equal to the core. Decisions that anyone sees come from the core itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Profile

Floats = npt.NDArray[np.float64]

DIRECT_ENDS = 0.25
"""The chance that a text is chat from which a direct forecast, learned on exams, has no say."""


@dataclass(frozen=True)
class Parameters:
    """How the graph's outputs are read; the artifact's `tradewind.parameters`."""

    inner_radius: float
    outer_radius: float
    difficulty_beyond: float
    direct_share: float
    """of the direct forecast, on home ground, for models that have one"""
    prior_sd: float


@dataclass(frozen=True)
class Prediction:
    """The graph's outputs for n texts."""

    difficulty: Floats
    """[n, H]"""
    latent: Floats
    """[n, K]"""
    length: Floats
    """[n, L]"""
    similarity: Floats
    """[n, C]"""
    topics: Floats
    """[n, T]: π; the last is chat"""

    def __len__(self) -> int:
        return len(self.difficulty)

    def take(self, rows: npt.NDArray[Any]) -> Prediction:
        """The same with these rows only."""
        parts = (getattr(self, name)[rows] for name in self.__dataclass_fields__)
        return Prediction(*parts)


def nearness(prediction: Prediction, parameters: Parameters) -> Floats:
    """g [n]: 1 within the inner radius of the nearest centroid, 0 beyond the outer."""
    distance = 1 - prediction.similarity.max(axis=1)
    span = parameters.outer_radius - parameters.inner_radius
    near: Floats = np.clip((parameters.outer_radius - distance) / span, 0, 1)
    return near


def membership(prediction: Prediction, parameters: Parameters) -> Floats:
    """[n, T]: near·π, by which answers speak of a topic; none speaks of chat."""
    found: Floats = nearness(prediction, parameters)[:, None] * prediction.topics
    found[:, -1] = 0
    return found


def kept_difficulty(prediction: Prediction, parameters: Parameters) -> Floats:
    """δ [n, H]: the shared difficulty, shrunk beyond the radius."""
    found: Floats = kept_share(prediction, parameters)[:, None] * prediction.difficulty
    return found


def kept_share(prediction: Prediction, parameters: Parameters) -> Floats:
    """[n]: how much of the difficulty is kept. Far from the exams it is learned on chat alone, and holds as far as a text is
    chat."""
    near = nearness(prediction, parameters)
    chat = prediction.topics[:, -1]
    found: Floats = near + (1 - near) * (parameters.difficulty_beyond + (1 - parameters.difficulty_beyond) * chat)
    return found


def deviation(prediction: Prediction, parameters: Parameters, profiles: Sequence[Profile]) -> Floats:
    """[n, M]: what tells the models apart here, in logits."""
    near = nearness(prediction, parameters)[:, None]
    return near * (prediction.topics @ _columns([p.clusters for p in profiles], prediction.topics.shape[1]))


def direct(prediction: Prediction, parameters: Parameters, profiles: Sequence[Profile]) -> tuple[Floats, Floats]:
    """The direct forecast's logit and its share in the forecast, [n, M] each. Exams taught it: it has no say of chat."""
    logit = prediction.latent @ _columns([p.latent for p in profiles], prediction.latent.shape[1])
    has_one = np.array([float(bool(p.latent)) for p in profiles])
    here = (
        parameters.direct_share * nearness(prediction, parameters) * np.maximum(1 - prediction.topics[:, -1] / DIRECT_ENDS, 0)
    )
    return logit, here[:, None] * has_one


def quality(prediction: Prediction, parameters: Parameters, profiles: Sequence[Profile]) -> tuple[Floats, Floats]:
    """Expected quality and its standard deviation, [n, M] each."""
    kept = kept_difficulty(prediction, parameters)
    apart = deviation(prediction, parameters, profiles)
    bias = np.array([p.bias for p in profiles])
    slope = np.array([p.slope for p in profiles])
    factor, offset = np.array([(p.calibration.slope, p.calibration.offset) for p in profiles]).T
    straight, share = direct(prediction, parameters, profiles)
    mean, square = np.zeros_like(apart), np.zeros_like(apart)
    for head in range(kept.shape[1]):
        logit = (1 - share) * (bias - slope * kept[:, head, None] + apart) + share * straight
        found = 1 / (1 + np.exp(-(factor * logit + offset)))
        mean += found
        square += found * found
    mean /= kept.shape[1]
    spread = np.maximum(square / kept.shape[1] - mean**2, 0)
    far = (1 - nearness(prediction, parameters)) * parameters.prior_sd
    return mean, np.sqrt(spread + far[:, None] ** 2)


def output_tokens(prediction: Prediction, parameters: Parameters, profiles: Sequence[Profile]) -> Floats:
    """Expected answer length in tokens, [n, M]."""
    near = nearness(prediction, parameters)[:, None]
    bias = np.array([p.length.bias for p in profiles])
    weights = _columns([p.length.latent for p in profiles], prediction.length.shape[1])
    return np.maximum(np.rint(np.exp(bias + near * (prediction.length @ weights))), 1.0)


def _columns(vectors: Sequence[tuple[float, ...]], size: int) -> Floats:
    """[size, M]; an empty vector stands for zeros."""
    return np.array([vector or (0.0,) * size for vector in vectors], float).reshape(len(vectors), size).T
