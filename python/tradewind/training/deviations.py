"""What tells models apart beyond ability: a deviation by topic with shrinkage, and a small latent of the text.

Both act in logit space on top of bias_m − δ(x). The latent sees the text alone: surface features there choose worse models off
the training data (notes of DESIGN §4). Topics see them too: a question's form helps to tell its task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.training.adam import Adam

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


def centroids(z: Singles, weight: Floats, clusters: int, rng: np.random.Generator, rounds: int = 20) -> Singles:
    """Unit centroids [D, C] by weighted spherical k-means (Dhillon & Modha 2001), started as in k-means++."""
    chosen = [int(rng.choice(len(z), p=weight / weight.sum()))]
    nearest = z @ z[chosen[0]]
    for _ in range(1, clusters):
        odds = weight * np.maximum(1 - nearest, 1e-9) ** 2
        chosen.append(int(rng.choice(len(z), p=odds / odds.sum())))
        nearest = np.maximum(nearest, z @ z[chosen[-1]])
    centre = z[chosen].T.copy()
    for _ in range(rounds):
        nearest_one = (z @ centre).argmax(axis=1)
        total = np.zeros_like(centre)
        np.add.at(total.T, nearest_one, z * weight[:, None].astype(np.float32))
        length = np.sqrt((total * total).sum(axis=0))
        # A cluster that lost all its texts stays where it was.
        centre = np.where(length > 0, total / np.maximum(length, 1e-9), centre)
    return centre.astype(np.float32)


def ridge_logistic(
    inputs: Floats, right: Floats, logit: Floats, sd: Floats, prior: Floats, weight: Floats | None = None
) -> Floats:
    """w maximising Σ weight·ln p(right; σ(logit + inputs·w)) − Σ (w − prior)²/2sd², by Newton's method.

    inputs [n, k]; right, logit, weight [n]; sd, prior, w [k]
    """
    value = prior.copy()
    counted = np.ones(len(right)) if weight is None else weight
    for _ in range(8):
        chance = 1 / (1 + np.exp(-(logit + inputs @ value)))
        gradient = inputs.T @ (counted * (right - chance)) - (value - prior) / sd**2
        curvature = inputs.T @ (inputs * (counted * chance * (1 - chance))[:, None]) + np.diag(sd**-2.0)
        step = np.linalg.solve(curvature, gradient)
        value = value + np.clip(step, -1, 1)
        if np.abs(step).max(initial=0.0) < 1e-4:
            break
    return value


@dataclass(frozen=True)
class Latents:
    """h = relu(z·hidden + bias); latent = h·latent_out + bias; length = h·length_out + bias."""

    hidden_weight: Singles
    """[D, W2]"""
    hidden_bias: Singles
    latent_weight: Singles
    """[W2, K]"""
    latent_bias: Singles
    length_weight: Singles
    """[W2, L]"""
    length_bias: Singles

    def hidden(self, z: Singles) -> Singles:
        """[n, W2]"""
        found: Singles = np.maximum(z @ self.hidden_weight + self.hidden_bias, 0)
        return found

    def outputs(self, z: Singles) -> tuple[Singles, Singles]:
        """(latent [n, K], length [n, L])"""
        hidden = self.hidden(z)
        return hidden @ self.latent_weight + self.latent_bias, hidden @ self.length_weight + self.length_bias


@dataclass(frozen=True)
class LatentTask:
    """What one set's answers say: n texts × its models."""

    z: Singles
    models: Sequence[int]
    """columns of the joint model list"""
    right: Singles
    """[n, m]"""
    weight: Singles
    """[n, m], 0 where missing"""
    logit: Singles
    """[n, m]: bias_m − δ"""
    log_length: Singles
    """[n, m]: ln tokens less the model's mean, 0 where missing"""
    length_weight: Singles
    """[n, m]"""


@dataclass(frozen=True)
class LatentSettings:
    """`latent` and `length` hidden units are apart, so that neither trains the other's."""

    latent: int = 4
    length: int = 4
    width: int = 32
    epochs: int = 12
    batch: int = 512
    rate: float = 4e-3
    ridge: float = 0.1
    """on the models' weights, per answer"""


def fit_latents(
    tasks: Sequence[LatentTask], models: int, settings: LatentSettings, rng: np.random.Generator
) -> tuple[Latents, Singles, Singles]:
    """Trains the latents and each model's weights on them: (net, latent weights [M, K], length weights [M,
    L]).

    Adam on the negative log-likelihood of σ(logit + w_m·u(x)) plus the squared error of ln tokens − l_m·t(x).
    """
    dimensions = tasks[0].z.shape[1]
    half = settings.width // 2

    def start(*shape: int, scale: float) -> Singles:
        return (rng.normal(size=shape) * scale).astype(np.float32)

    value = {
        "hidden": start(dimensions, settings.width, scale=np.sqrt(2 / dimensions)),
        "hidden_bias": np.zeros(settings.width, np.float32),
        "latent": start(half, settings.latent, scale=half**-0.5),
        "length": start(settings.width - half, settings.length, scale=half**-0.5),
        "of_latent": start(models, settings.latent, scale=0.1),
        "of_length": start(models, settings.length, scale=0.1),
    }
    gain = np.float32(np.sqrt(dimensions))
    adam = Adam(value)
    batches = [
        (task, rows) for task in tasks for rows in np.array_split(np.arange(len(task.z)), -(-len(task.z) // settings.batch))
    ]
    shuffled = [rng.permutation(len(task.z)) for task in tasks]
    order_of = {id(task): order for task, order in zip(tasks, shuffled, strict=True)}
    total = settings.epochs * len(batches)
    for _ in range(settings.epochs):
        for index in rng.permutation(len(batches)):
            task, places = batches[index]
            gradient = _latent_gradient(value, task, order_of[id(task)][places], gain, half, settings.ridge)
            for name, update in adam.updates(gradient).items():
                value[name] -= np.float32(adam.rate(settings.rate, total)) * update.astype(np.float32)
    latent = np.zeros((settings.width, settings.latent), np.float32)
    latent[:half] = value["latent"]
    length = np.zeros((settings.width, settings.length), np.float32)
    length[half:] = value["length"]
    net = Latents(
        hidden_weight=value["hidden"] * gain,
        hidden_bias=value["hidden_bias"],
        latent_weight=latent,
        latent_bias=np.zeros(settings.latent, np.float32),
        length_weight=length,
        length_bias=np.zeros(settings.length, np.float32),
    )
    return net, value["of_latent"], value["of_length"]


def _latent_gradient(
    value: dict[str, Singles],
    task: LatentTask,
    rows: npt.NDArray[np.int64],
    gain: np.float32,
    half: int,
    ridge: float,
) -> dict[str, Singles]:
    z = task.z[rows] * gain
    columns = list(task.models)
    hidden = np.maximum(z @ value["hidden"] + value["hidden_bias"], 0)
    latent, length = hidden[:, :half] @ value["latent"], hidden[:, half:] @ value["length"]
    of_latent, of_length = value["of_latent"][columns], value["of_length"][columns]
    chance = 1 / (1 + np.exp(-(task.logit[rows] + latent @ of_latent.T)))
    count = np.float32(len(rows))
    surprise = task.weight[rows] * (chance - task.right[rows]) / count
    error = task.length_weight[rows] * (length @ of_length.T - task.log_length[rows]) / count
    into_latent, into_length = surprise @ of_latent, error @ of_length
    into_hidden = np.concatenate([into_latent @ value["latent"].T, into_length @ value["length"].T], axis=1)
    into_hidden *= hidden > 0
    found: dict[str, Any] = {name: np.zeros_like(current) for name, current in value.items()}
    found["hidden"] = z.T @ into_hidden + np.float32(1e-4) * value["hidden"]
    found["hidden_bias"] = into_hidden.sum(axis=0)
    found["latent"] = hidden[:, :half].T @ into_latent
    found["length"] = hidden[:, half:].T @ into_length
    share = task.weight[rows].sum(axis=0)[:, None] / count
    of_latent_slope = surprise.T @ latent + ridge * share * of_latent
    of_length_slope = error.T @ length + ridge * of_length
    found["of_latent"][columns] = of_latent_slope.astype(np.float32)
    found["of_length"][columns] = of_length_slope.astype(np.float32)
    return found
