"""Which task a text looks like: a small classifier, whose probabilities say which of a model's deviations count.

The last topic is chat, our own prompts: exam answers say nothing of one model against another there. A model's deviations by
the other topics are what "knowing the task" would give; here the task is not told but recognised
(UniRoute's learned map Φ, arXiv:2502.08773, section 5.2, with task labels in place of end-to-end training).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.training.adam import Adam, minibatches
from tradewind.training.corpus import Material
from tradewind.training.scale import SAME_TASK

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

MINIMUM_TASK = 20
"""Questions below which a task is no topic of its own."""


@dataclass(frozen=True)
class TopicSettings:
    """How the classifier is trained: Adam with decoupled decay, cosine rate."""

    width: int = 64
    epochs: int = 20
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.3
    dropout: float = 0.1
    hidden_dropout: float = 0.3


@dataclass(frozen=True)
class Topics:
    """π(x) = softmax(relu(x·hidden + bias)·out + bias)"""

    hidden_weight: Singles
    """[D + F, W]"""
    hidden_bias: Singles
    out_weight: Singles
    """[W, T]"""
    out_bias: Singles

    def weights(self, x: Singles) -> Floats:
        """[n, T]"""
        hidden = np.maximum(x @ self.hidden_weight + self.hidden_bias, 0)
        logit = (hidden @ self.out_weight + self.out_bias).astype(np.float64)
        odds = np.exp(logit - logit.max(axis=1, keepdims=True))
        found: Floats = odds / odds.sum(axis=1, keepdims=True)
        return found


def names(material: Material, centre: Singles) -> npt.NDArray[np.str_]:
    """The topic of each question, [n]: its task; small tasks of a set are one topic together. A set that knows no tasks
    has the clusters round the centroids [D, C] in their place."""
    data = material.data
    tasks = np.array([SAME_TASK.get(str(task), str(task)) for task in data.tasks])
    found, at, count = np.unique(tasks, return_inverse=True, return_counts=True)
    if len(found) == 1 and found[0] not in SAME_TASK.values():
        nearest = (material.x[:, : len(centre)] @ centre).argmax(axis=1)
        return np.array([f"{data.name}: cluster {cluster}" for cluster in nearest])
    return np.where(count[at] >= MINIMUM_TASK, tasks, f"{data.name}: small tasks")


def fit(
    x: Singles,
    label: npt.NDArray[np.int64],
    weight: Singles,
    topics: int,
    gain: Singles,
    settings: TopicSettings,
    rng: np.random.Generator,
) -> Topics:
    """Trains on texts [n, D + F] with a topic each; `gain` [D + F] scales the inputs while training."""
    width = settings.width
    x = x * gain
    inputs = x.shape[1]
    value = {
        "hidden": (rng.normal(size=(inputs, width)) * np.sqrt(2 / inputs)).astype(np.float32),
        "hidden_bias": np.zeros(width, np.float32),
        "out": (rng.normal(size=(width, topics)) * np.sqrt(1 / width)).astype(np.float32),
        "out_bias": np.zeros(topics, np.float32),
    }
    adam = Adam(value)
    total = settings.epochs * -(-len(x) // settings.batch)
    for rows in minibatches(len(x), settings.batch, settings.epochs, rng):
        gradient = _gradient(value, x[rows], label[rows], weight[rows], settings, rng)
        for name, update in adam.updates(gradient).items():
            shrink = np.float32(0.0 if name.endswith("bias") else settings.decay)
            rate = np.float32(adam.rate(settings.rate, total))
            value[name] -= rate * (update.astype(np.float32) + shrink * value[name])
    return Topics((value["hidden"] * gain[:, None]).astype(np.float32), value["hidden_bias"], value["out"], value["out_bias"])


def _gradient(
    value: dict[str, Singles],
    x: Singles,
    label: npt.NDArray[np.int64],
    weight: Singles,
    settings: TopicSettings,
    rng: np.random.Generator,
) -> dict[str, Singles]:
    """Of the weighted mean cross-entropy."""
    x = x * (rng.random(x.shape, dtype=np.float32) >= settings.dropout) / np.float32(1 - settings.dropout)
    hidden = np.maximum(x @ value["hidden"] + value["hidden_bias"], 0)
    kept = (rng.random(hidden.shape, dtype=np.float32) >= settings.hidden_dropout) / np.float32(1 - settings.hidden_dropout)
    hidden = hidden * kept
    logit = hidden @ value["out"] + value["out_bias"]
    odds = np.exp(logit - logit.max(axis=1, keepdims=True))
    error = odds / odds.sum(axis=1, keepdims=True)
    error[np.arange(len(x)), label] -= 1
    error *= weight[:, None] / np.float32(len(x))
    into = (error @ value["out"].T) * (hidden > 0) * kept
    return {"out": hidden.T @ error, "out_bias": error.sum(axis=0), "hidden": x.T @ into, "hidden_bias": into.sum(axis=0)}
