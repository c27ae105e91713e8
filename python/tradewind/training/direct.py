"""A direct forecast for the models that training knows: one hidden layer over text and surface, one logit a model.

It knows what abilities, difficulty and topics cannot say of these models, and nothing of other tasks: the forecast mixes
it in by a share that is chosen by routing value and fades off the training data. Where a fine-tuned encoder has labelled the
questions, its soft labels teach most of it (Hinton et al. 2015, arXiv:1503.02531, with the true answers as the rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.adam import Adam, minibatches

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DirectSettings:
    """How the layer is trained: Adam with decoupled decay, cosine rate."""

    width: int = 64
    epochs: int = 4
    """over both forms of each question"""
    soft_epochs: int = 24
    """where an encoder has labelled the questions: its labels are less noisy, so more can be learned from them"""
    batch: int = 256
    rate: float = 2e-3
    decay: float = 0.05
    dropout: float = 0.1
    soft_share: float = 0.8
    """of an encoder's label in the target; the answer is the rest"""


@dataclass(frozen=True)
class Direct:
    """u(x) = [relu(x·weight + bias), 1]; the last unit is a model's own bias."""

    weight: Singles
    """[D + F, K]"""
    bias: Singles
    """[K]"""

    def outputs(self, x: Singles) -> Singles:
        """[n, K]"""
        found: Singles = np.maximum(x @ self.weight + self.bias, 0)
        return found


@dataclass(frozen=True)
class Targets:
    """What each of n texts taught of M models."""

    x: Singles
    """[n, D + F]"""
    right: Singles
    """[n, M] in [0, 1]"""
    weight: Singles
    """[n, M], 0 where missing"""


def stack(parts: Sequence[Targets]) -> Targets:
    """All of them below one another."""
    return Targets(*(np.concatenate([getattr(part, name) for part in parts]) for name in Targets.__dataclass_fields__))


def fit(
    targets: Targets, gain: Singles, epochs: int, settings: DirectSettings, rng: np.random.Generator
) -> tuple[Direct, Singles]:
    """The layer and each model's weights [M, K]; `gain` [D + F] scales the inputs while training.

    Minimises the weighted cross-entropy of σ(w_m·u(x)).
    """
    x = targets.x * gain
    inputs, width = x.shape[1], settings.width
    right, weight = (part.sum(axis=0) for part in (targets.right * targets.weight, targets.weight))
    mean = (right + 0.5) / (weight + 1)
    value = {
        "hidden": (rng.normal(size=(inputs, width)) * np.sqrt(1 / inputs)).astype(np.float32),
        "hidden_bias": np.zeros(width, np.float32),
        "models": (rng.normal(size=(width, len(mean))) * np.sqrt(0.3 / width)).astype(np.float32),
        "models_bias": np.log(mean / (1 - mean)).astype(np.float32),
    }
    adam = Adam(value)
    total = epochs * -(-len(x) // settings.batch)
    for rows in minibatches(len(x), settings.batch, epochs, rng):
        gradient = _gradient(value, x[rows], targets.right[rows], targets.weight[rows], settings.dropout, rng)
        for name, update in adam.updates(gradient).items():
            shrink = np.float32(0.0 if name.endswith("bias") else settings.decay)
            value[name] -= np.float32(adam.rate(settings.rate, total)) * (update.astype(np.float32) + shrink * value[name])
    one = np.zeros((inputs, 1), np.float32)
    layer = Direct(
        np.concatenate([value["hidden"] * gain[:, None], one], axis=1), np.append(value["hidden_bias"], np.float32(1))
    )
    return layer, np.concatenate([value["models"].T, value["models_bias"][:, None]], axis=1)


def _gradient(
    value: dict[str, Singles], x: Singles, right: Singles, weight: Singles, dropout: float, rng: np.random.Generator
) -> dict[str, Singles]:
    """Of the weighted cross-entropy per text."""
    x = x * _kept(x.shape, dropout, rng)
    flat = x @ value["hidden"] + value["hidden_bias"]
    through = (flat > 0) * _kept(flat.shape, dropout, rng)
    hidden = flat * through
    chance = 1 / (1 + np.exp(-(hidden @ value["models"] + value["models_bias"])))
    error = weight * (chance - right) / np.float32(len(x))
    into = (error @ value["models"].T) * through
    return {
        "models": hidden.T @ error,
        "models_bias": error.sum(axis=0),
        "hidden": x.T @ into,
        "hidden_bias": into.sum(axis=0),
    }


def _kept(shape: tuple[int, ...], dropout: float, rng: np.random.Generator) -> Singles:
    """Of dropout: 0, or what keeps the mean."""
    kept = rng.random(shape, dtype=np.float32) >= dropout
    return kept.astype(np.float32) / np.float32(1 - dropout)
