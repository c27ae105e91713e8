"""A model's profile from its answers, with the predictor frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Length, Profile
from tradewind.training import deviations, forecast
from tradewind.training.datasets import DataSet
from tradewind.training.forecast import Parameters, Prediction

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

BIAS_SD = 1.0
"""Prior spread of a new model's ability round what its price lets expect, logits."""
OFFSET_SD = 1.0
"""Prior spread of how much harder a new set is for every model than its texts look, logits."""


@dataclass(frozen=True)
class Evidence:
    """One model's n answers, as the frozen predictor sees the questions."""

    right: Floats
    """[n] in [0, 1]"""
    difficulty: Floats
    """[n]: mean of the heads, shrunk beyond the radius"""
    near: Floats
    """[n]"""
    membership: Floats
    """[n, C]: near·π"""
    latent: Floats
    """[n, K]"""
    length: Floats
    """[n, L]"""
    tokens: Floats
    """[n] answer tokens, NaN where unknown"""

    @classmethod
    def empty(cls) -> Evidence:
        """No answers."""
        none = np.zeros(0)
        return cls(none, none, none, np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)), none)

    def add(self, more: Evidence) -> Evidence:
        """Both together."""
        if not len(self.right):
            return more
        pairs = ((getattr(self, name), getattr(more, name)) for name in self.__dataclass_fields__)
        return Evidence(*(np.concatenate(pair) for pair in pairs))


def evidence(parameters: Parameters, prediction: Prediction, data: DataSet, column: int) -> Evidence:
    """The answers of the model in this column of the set."""
    rows = np.flatnonzero(~np.isnan(data.score[:, column]))
    seen = prediction.take(rows)
    near = forecast.nearness(seen, parameters)
    return Evidence(
        right=data.score[rows, column],
        difficulty=forecast.kept_difficulty(seen, parameters).mean(axis=1),
        near=near,
        membership=near[:, None] * forecast.cluster_weights(seen, parameters),
        latent=seen.latent,
        length=seen.length,
        tokens=data.output_tokens[rows, column],
    )


def clusters(answers: Evidence, bias: float, special: float, sd: float) -> tuple[float, ...]:
    """Shrunk deviation per cluster, [C]."""
    found = deviations.cluster_deviation(
        answers.membership, answers.right, bias - answers.difficulty, np.ones(len(answers.right)), special, sd
    )
    return _short(found)


def trained(
    answers: Evidence, bias: float, special: float, cluster_sd: float, latent: Singles, length_latent: Singles
) -> Profile:
    """The profile of a model of the training sets: ability from the joint scale, latent weights as
    trained."""
    return Profile(
        bias=round(bias, 5),
        latent=_short(latent.astype(np.float64)),
        clusters=clusters(answers, bias, special, cluster_sd),
        length=_length(answers, length_latent.astype(np.float64)),
        answers=len(answers.right),
    )


def fresh(
    answers: Evidence, expected: float, offset: float, cluster_sd: float, latent_sd: float = 0.3
) -> Profile:
    """The profile of a new model, heads frozen: bias, cluster deviations and latent weights, each shrunk.

    `expected` is the ability that its price lets expect; `offset` says by how much this set is easier for
    every known model than its texts look, and is taken off, so that the model stays comparable with profiles
    from elsewhere.
    """
    count = len(answers.right)
    ones = np.ones((count, 1))
    start = offset - answers.difficulty
    bias = (
        float(
            deviations.ridge_logistic(
                ones, answers.right, start + expected, np.array([BIAS_SD]), np.zeros(1)
            )[0]
        )
        + expected
    )
    latent = deviations.ridge_logistic(
        answers.near[:, None] * answers.latent,
        answers.right,
        start + bias,
        np.full(answers.latent.shape[1], latent_sd),
        np.zeros(answers.latent.shape[1]),
    )
    length_latent = _length_weights(answers)
    found = Profile(
        bias=round(bias, 5),
        latent=_short(latent),
        length=_length(answers, length_latent),
        answers=count,
    )
    return replace(found, clusters=clusters(answers, bias + offset, 0.0, cluster_sd))


def set_offset(known: list[tuple[Evidence, Profile]], blend: float) -> float:
    """How much easier (logits) a set is than its texts look, from models that already have a profile; 0
    without any."""
    if not known:
        return 0.0
    logit = []
    for answers, profile in known:
        apart = blend * answers.near * (answers.latent @ np.array(profile.latent)) if profile.latent else 0.0
        prior = (1 - blend) * answers.membership @ np.array(profile.clusters) if profile.clusters else 0.0
        logit.append(profile.bias - profile.slope * answers.difficulty + apart + prior)
    right = np.concatenate([answers.right for answers, _ in known])
    ones = np.ones((len(right), 1))
    return float(
        deviations.ridge_logistic(ones, right, np.concatenate(logit), np.array([OFFSET_SD]), np.zeros(1))[0]
    )


def _length_weights(answers: Evidence, ridge: float = 20.0) -> Floats:
    """Ridge regression of ln tokens on the length latent, [L]."""
    measured = ~np.isnan(answers.tokens)
    size = answers.length.shape[1]
    if measured.sum() < 2 * max(size, 1):
        return np.zeros(size)
    inputs = (answers.near[:, None] * answers.length)[measured]
    inputs = inputs - inputs.mean(axis=0)
    target = np.log(np.maximum(answers.tokens[measured], 1))
    found: Floats = np.linalg.solve(
        inputs.T @ inputs + ridge * np.eye(size), inputs.T @ (target - target.mean())
    )
    return found


def _length(answers: Evidence, weights: Floats) -> Length:
    """The bias makes the forecast's total right: what is paid is a sum, not a median."""
    measured = ~np.isnan(answers.tokens)
    if not measured.any():
        return Length()
    shape = np.exp(answers.near[measured] * (answers.length[measured] @ weights))
    bias = float(np.log(max(answers.tokens[measured].sum(), 1.0) / shape.sum()))
    return Length(round(bias, 5), _short(weights))


def _short(values: Floats) -> tuple[float, ...]:
    """Five decimals: a manifest stays readable, and a logit needs no more."""
    return tuple(round(float(value), 5) for value in values)
