"""Tables of our own for estimators: texts with a small encoder, and one law of quality for each estimator's idea."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind import core
from tradewind.training import features
from tradewind.training.corpus import Encoder
from tradewind.training.estimator import Estimator
from tradewind.training.heads import HeadSettings
from tradewind.training.tier1 import Settings

Floats = npt.NDArray[np.float64]

DIMENSIONS = 8
QUICK = Settings(
    heads=HeadSettings(sees=("both", "surface"), width=8, epochs=40, batch=64, rate=0.01),
    clusters=4,
    trust=1.0,
    difficulty_beyond=1.0,
)
VOCABULARY = 30_522
WORDS = ("river", "bridge", "integral", "poem", "loop", "matrix", "violin", "tax", "def", "why")


def texts(count: int, seed: int) -> list[str]:
    """All different, of 4 to 40 words and numbers."""
    rng = np.random.default_rng(seed)
    return [
        f"{number}: {' '.join(rng.choice(WORDS, size=int(rng.integers(3, 30))).tolist())} {rng.integers(1_000_000)}"
        for number in range(count)
    ]


def encoder(seen: list[str]) -> Encoder:
    """A random table of few dimensions."""
    rng = np.random.default_rng(0)
    scale = features.surface_scale(features.of(seen).surface, np.ones(len(seen)))
    return Encoder(
        table=rng.integers(-127, 128, (VOCABULARY, DIMENSIONS), np.int8),
        table_scale=np.full((VOCABULARY, 1), 0.01, np.float32),
        token_weight=rng.random(VOCABULARY, np.float32),
        surface=scale,
    )


def small(made: Estimator) -> Estimator:
    """With few trees and clusters, and the small encoder's dimensions."""
    sizes = {
        "embedding": DIMENSIONS,
        "iterations": 30,
        "rate": 0.1,
        "leaves": (2, 4),
        "settings": QUICK,
    }
    return made.set_params(**{name: size for name, size in sizes.items() if name in made.get_params()})


@dataclass(frozen=True)
class Law:
    """n rows of inputs, and how well each of M models would answer them."""

    x: npt.NDArray[Any]
    quality: Floats
    """[n, M]"""
    answered: float = 1.0
    """share of cells with an outcome"""
    price: tuple[float, ...] = (0.0,)
    """of an answer, in quality; one for all models, or one each"""

    def outcomes(self, seed: int) -> Floats:
        """Right or wrong, drawn by quality; NaN where there is no outcome."""
        rng = np.random.default_rng(seed)
        drawn = (rng.random(self.quality.shape) < self.quality).astype(float)
        return np.where(rng.random(drawn.shape) < self.answered, drawn, np.nan)


def _inputs(count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """z of length one, and four surface features."""
    z = rng.normal(size=(count, DIMENSIONS))
    return np.concatenate([z / np.linalg.norm(z, axis=1, keepdims=True), rng.normal(size=(count, 4))], axis=1).astype(
        np.float32
    )


def _expert(which: npt.NDArray[Any], models: int) -> Floats:
    """One model is good at each kind of question, the others are not."""
    return np.where(np.arange(models) == np.asarray(which)[:, None], 0.85, 0.35)


def difficulty(rng: np.random.Generator) -> Law:
    """A weak model and a dear strong one: some questions are hard for both."""
    x = _inputs(1500, rng)
    hard = 3 * x[:, -1] + 2 * x[:, -2]
    return Law(x, 1 / (1 + np.exp(hard[:, None] - [-2.0, 2.0])), price=(0.0, 0.4))


def tasks(rng: np.random.Generator) -> Law:
    """Four tasks with an expert each."""
    which = rng.integers(0, 4, 800)
    return Law(np.array(["sums", "law", "code", "poems"])[which][:, None], _expert(which, 4))


def clusters(rng: np.random.Generator) -> Law:
    """Texts in four heaps with an expert each."""
    which, x = rng.integers(0, 4, 800), _inputs(800, rng)
    z = 5 * np.eye(DIMENSIONS)[which] + x[:, :DIMENSIONS]
    x[:, :DIMENSIONS] = z / np.linalg.norm(z, axis=1, keepdims=True)
    return Law(x, _expert(which, 4))


def neighbours(rng: np.random.Generator) -> Law:
    """Texts on a circle, whose experts change in turn six times round it."""
    x = np.zeros((1200, DIMENSIONS + 4), np.float32)
    angle = rng.random(1200) * 2 * np.pi
    x[:, 0], x[:, 1] = np.cos(angle), np.sin(angle)
    return Law(x, _expert((angle / (2 * np.pi) * 12).astype(int) % 2, 2))


def line(rng: np.random.Generator) -> Law:
    """Quality is linear in the embedding, another line for each model."""
    x = _inputs(1000, rng)
    return Law(x, np.clip(0.5 + x[:, :DIMENSIONS] @ rng.normal(size=(DIMENSIONS, 3)) * 0.4, 0, 1))


def logits(rng: np.random.Generator) -> Law:
    """The logit of quality is linear in all inputs, another line for each model."""
    x = _inputs(1000, rng)
    weight = np.concatenate([4 * rng.normal(size=(DIMENSIONS, 3)), rng.normal(size=(4, 3))])
    return Law(x, 1 / (1 + np.exp(-x @ weight)))


def factors(rng: np.random.Generator) -> Law:
    """Thirty models with two skills between them, one outcome in five."""
    x = _inputs(1000, rng)
    skill = x @ rng.normal(size=(DIMENSIONS + 4, 2))
    return Law(x, 1 / (1 + np.exp(-skill @ rng.normal(size=(2, 30)))), answered=0.2)


def thresholds(rng: np.random.Generator) -> Law:
    """One model is for questions whose last surface feature is neither small nor large, the other for the rest."""
    x = _inputs(1000, rng)
    return Law(x, _expert((np.abs(x[:, -1]) < 0.67).astype(int), 2))


def lengths(rng: np.random.Generator) -> Law:
    """One model is for short questions, the other for long ones; nothing else matters."""
    names = core.feature_names()
    x = rng.normal(size=(1000, DIMENSIONS + len(names))).astype(np.float32)
    short = 1 / (1 + np.exp(4 * x[:, DIMENSIONS + names.index("log_bytes")]))
    return Law(x, np.stack([short, 1 - short], axis=1))


IDEAS: dict[str, Callable[[np.random.Generator], Law]] = {
    "tier1": difficulty,
    "task_mean": tasks,
    "cluster_mean": clusters,
    "knn": neighbours,
    "length": lengths,
    "ridge": line,
    "logistic": logits,
    "matrix_factorisation": factors,
    "gradient_boosting": thresholds,
}
"""By estimator, the table that it was made for."""
