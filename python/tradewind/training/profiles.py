"""A model's profile from its answers, with the predictor frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Length, Profile
from tradewind.training import deviations, forecast
from tradewind.training.datasets import DataSet
from tradewind.training.forecast import Parameters, Prediction

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

PRIOR_ROWS = 20.0
"""Answers in a topic at which what is special to a model in a set counts half there."""
SPECIAL_SD = 1.0
"""Prior spread of what is special to a model in a set, logits."""
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
    """[n, T]: near·π, 0 for chat"""
    length: Floats
    """[n, L]"""
    tokens: Floats
    """[n] answer tokens, NaN where unknown"""

    def add(self, more: Evidence) -> Evidence:
        """Both together."""
        pairs = ((getattr(self, name), getattr(more, name)) for name in self.__dataclass_fields__)
        return Evidence(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Common:
    """All models' answers to one set: n questions, m models."""

    membership: Floats
    """[n, T]: near·π, 0 for chat"""
    right: Floats
    """[n, m]"""
    weight: Floats
    """[n, m], 0 where missing"""
    logit: Floats
    """[n, m]: bias − δ"""


def evidence(parameters: Parameters, prediction: Prediction, data: DataSet, column: int) -> Evidence:
    """The answers of the model in this column of the set."""
    rows = np.flatnonzero(~np.isnan(data.score[:, column]))
    return seen(parameters, prediction.take(rows), data.score[rows, column], data.output_tokens[rows, column])


def seen(parameters: Parameters, prediction: Prediction, right: Floats, tokens: Floats) -> Evidence:
    """Answers to all the questions of a prediction: their scores and tokens, [n] each."""
    return Evidence(
        right=right,
        difficulty=forecast.kept_difficulty(prediction, parameters).mean(axis=1),
        near=forecast.nearness(prediction, parameters),
        membership=forecast.membership(prediction, parameters),
        length=prediction.length,
        tokens=tokens,
    )


def ease(answers: Evidence, bias: float, common: Floats) -> float:
    """How much better the model is on these questions than its bias says, logits."""
    logit = bias - answers.difficulty + answers.membership @ common
    found = deviations.ridge_logistic(answers.near[:, None], answers.right, logit, np.array([SPECIAL_SD]), np.zeros(1))
    return float(found[0])


def clusters(by_set: Sequence[tuple[Evidence, float]], bias: float, common: Floats, sd: float) -> tuple[float, ...]:
    """Shrunk deviation by topic, [T], from the model's answers set by set; `clusters` in a profile.

    It is drawn towards what is `common` to all models in the topic plus what is special to this one in the sets that
    the topic's answers come from (the number beside each set's answers), the latter shrunk where there are few.
    """
    size = len(common)
    rows, special = np.zeros(size), np.zeros(size)
    for answers, of_set in by_set:
        rows += answers.membership.sum(axis=0)
        special += answers.membership.sum(axis=0) * of_set
    every = joined([answers for answers, _ in by_set])
    prior = common + special / (rows + PRIOR_ROWS)
    found = deviations.ridge_logistic(every.membership, every.right, bias - every.difficulty, np.full(size, sd), prior)
    return _short(found)


def joined(parts: Sequence[Evidence]) -> Evidence:
    """All of them together."""
    found = parts[0]
    for part in parts[1:]:
        found = found.add(part)
    return found


def common_clusters(parts: Sequence[Common], sd: float) -> Floats:
    """u [T]: by how much a topic is easier for every model than its texts look (it cannot change a choice,
    but without it each model's deviation would have to say so, and be shrunk with it). Newton's method on all
    models at once."""
    size = parts[0].membership.shape[1]
    value = np.zeros(size)
    for _ in range(6):
        gradient, curvature = -value / sd**2, np.eye(size) / sd**2
        for part in parts:
            chance = 1 / (1 + np.exp(-(part.logit + (part.membership @ value)[:, None])))
            gradient += part.membership.T @ (part.weight * (part.right - chance)).sum(axis=1)
            bend = (part.weight * chance * (1 - chance)).sum(axis=1)
            curvature += part.membership.T @ (part.membership * bend[:, None])
        step = np.linalg.solve(curvature, gradient)
        value = value + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-4:
            break
    return value


def trained(
    answers: Evidence,
    bias: float,
    cluster: tuple[float, ...],
    direct: Singles,
    length_latent: Singles,
) -> Profile:
    """The profile of a model of the training sets: ability from the joint scale, weights [K] and [L] as trained."""
    return Profile(
        bias=round(bias, 5),
        latent=_short(direct.astype(np.float64)),
        clusters=cluster,
        length=_length(answers, length_latent.astype(np.float64)),
        answers=len(answers.right),
    )


def fresh(
    answers: Evidence,
    expected: float,
    offset: float,
    common: Floats,
    cluster_sd: float,
) -> Profile:
    """The profile of a new model, heads frozen: bias and deviations by topic, each shrunk.

    `expected` is the ability that its price lets expect; `offset` says by how much this set is easier for
    every known model than its texts look, and is taken off, so that the model stays comparable with profiles
    from elsewhere.
    """
    count = len(answers.right)
    ones = np.ones((count, 1))
    start = offset - answers.difficulty + answers.membership @ common
    bias = (
        float(deviations.ridge_logistic(ones, answers.right, start + expected, np.array([BIAS_SD]), np.zeros(1))[0]) + expected
    )
    length_latent = _length_weights(answers)
    found = Profile(
        bias=round(bias, 5),
        length=_length(answers, length_latent),
        answers=count,
    )
    return replace(found, clusters=clusters([(answers, 0.0)], bias + offset, common, cluster_sd))


@dataclass(frozen=True)
class Posterior:
    """How sure a fitted profile's bias and deviations by topic are (Laplace's approximation at the fit)."""

    profile: Profile
    covariance: Floats
    """[1 + T, 1 + T], logits²"""

    @property
    def bias_sd(self) -> float:
        """Of the ability, logits; on these questions, whatever their own offset is."""
        return float(np.sqrt(self.covariance[0, 0]))

    def mean_sd(self, quality: Floats, membership: Floats) -> float:
        """Standard deviation of the mean of some questions' forecast qualities [n], by the delta method."""
        slope = quality * (1 - quality)
        gradient = np.concatenate([[slope.mean()], (slope[:, None] * membership).mean(axis=0)])
        return float(np.sqrt(gradient @ self.covariance @ gradient))


def posterior(answers: Evidence, profile: Profile, cluster_sd: float, bias_sd: float = BIAS_SD) -> Posterior:
    """Of a profile that `fresh` has fitted to these answers."""
    own = np.array(profile.clusters) if profile.clusters else np.zeros(answers.membership.shape[1])
    chance = 1 / (1 + np.exp(-(profile.bias - profile.slope * answers.difficulty + answers.membership @ own)))
    inputs = np.column_stack([np.ones(len(answers.right)), answers.membership])
    precision = np.array([bias_sd, *[cluster_sd] * len(own)]) ** -2.0
    curvature = inputs.T @ (inputs * (chance * (1 - chance))[:, None]) + np.diag(precision)
    return Posterior(profile, np.asarray(np.linalg.inv(curvature), np.float64))


def set_offset(known: list[tuple[Evidence, Profile]]) -> float:
    """How much easier (logits) a set is than its texts look, from models that already have a profile; 0
    without any."""
    if not known:
        return 0.0
    logit = []
    for answers, profile in known:
        apart = answers.membership @ np.array(profile.clusters) if profile.clusters else 0.0
        logit.append(profile.bias - profile.slope * answers.difficulty + apart)
    right = np.concatenate([answers.right for answers, _ in known])
    ones = np.ones((len(right), 1))
    return float(deviations.ridge_logistic(ones, right, np.concatenate(logit), np.array([OFFSET_SD]), np.zeros(1))[0])


def _length_weights(answers: Evidence, ridge: float = 20.0) -> Floats:
    """Ridge regression of ln tokens on the length latent, [L]."""
    measured = ~np.isnan(answers.tokens)
    size = answers.length.shape[1]
    if measured.sum() < 2 * max(size, 1):
        return np.zeros(size)
    inputs = (answers.near[:, None] * answers.length)[measured]
    inputs = inputs - inputs.mean(axis=0)
    target = np.log(np.maximum(answers.tokens[measured], 1))
    found: Floats = np.linalg.solve(inputs.T @ inputs + ridge * np.eye(size), inputs.T @ (target - target.mean()))
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
