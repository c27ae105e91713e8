"""How a text's answers differ in length from a model's usual one: a small latent that all models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.adam import Adam

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LengthSettings:
    """How the latent is trained: Adam, cosine rate."""

    latent: int = 4
    width: int = 16
    epochs: int = 12
    batch: int = 512
    rate: float = 4e-3
    ridge: float = 0.1
    """on the models' weights"""


@dataclass(frozen=True)
class Lengths:
    """t(x) = relu(z·hidden + bias)·out + bias"""

    hidden_weight: Singles
    """[D, W]"""
    hidden_bias: Singles
    out_weight: Singles
    """[W, L]"""
    out_bias: Singles

    def outputs(self, z: Singles) -> Singles:
        """[n, L]"""
        hidden = np.maximum(z @ self.hidden_weight + self.hidden_bias, 0)
        found: Singles = hidden @ self.out_weight + self.out_bias
        return found


@dataclass(frozen=True)
class Answered:
    """What one set's answers say: n texts × its models."""

    z: Singles
    models: Sequence[int]
    """columns of the joint model list"""
    log_length: Singles
    """[n, m]: ln tokens less the model's mean, 0 where missing"""
    weight: Singles
    """[n, m], 0 where missing"""


def fit(sets: Sequence[Answered], models: int, settings: LengthSettings, rng: np.random.Generator) -> tuple[Lengths, Singles]:
    """The latent and each model's weights [M, L], by the squared error of ln tokens − l_m·t(x)."""
    dimensions = sets[0].z.shape[1]

    def start(*shape: int, scale: float) -> Singles:
        return (rng.normal(size=shape) * scale).astype(np.float32)

    value = {
        "hidden": start(dimensions, settings.width, scale=np.sqrt(2 / dimensions)),
        "hidden_bias": np.zeros(settings.width, np.float32),
        "out": start(settings.width, settings.latent, scale=settings.width**-0.5),
        "models": start(models, settings.latent, scale=0.1),
    }
    gain = np.float32(np.sqrt(dimensions))
    adam = Adam(value)
    batches = [
        (answered, rows)
        for answered in sets
        for rows in np.array_split(rng.permutation(len(answered.z)), -(-len(answered.z) // settings.batch))
    ]
    total = settings.epochs * len(batches)
    for _ in range(settings.epochs):
        for index in rng.permutation(len(batches)):
            answered, rows = batches[index]
            gradient = _gradient(value, answered, rows, gain, settings.ridge)
            for name, update in adam.updates(gradient).items():
                value[name] -= np.float32(adam.rate(settings.rate, total)) * update.astype(np.float32)
    net = Lengths(value["hidden"] * gain, value["hidden_bias"], value["out"], np.zeros(settings.latent, np.float32))
    return net, value["models"]


def _gradient(
    value: dict[str, Singles], answered: Answered, rows: npt.NDArray[np.int64], gain: np.float32, ridge: float
) -> dict[str, Singles]:
    z = answered.z[rows] * gain
    columns = list(answered.models)
    hidden = np.maximum(z @ value["hidden"] + value["hidden_bias"], 0)
    latent, of_models = hidden @ value["out"], value["models"][columns]
    error = answered.weight[rows] * (latent @ of_models.T - answered.log_length[rows]) / np.float32(len(rows))
    into = error @ of_models
    into_hidden = (into @ value["out"].T) * (hidden > 0)
    slope = np.zeros_like(value["models"])
    slope[columns] = error.T @ latent + ridge * of_models
    return {
        "hidden": z.T @ into_hidden + np.float32(1e-4) * value["hidden"],
        "hidden_bias": into_hidden.sum(axis=0),
        "out": hidden.T @ into,
        "models": slope,
    }
