"""The shared difficulty: small heads on [z, s], trained together by Adam on every model's answers at once.

Head h predicts δ_h(x) in logits, such that model m answers x well with probability σ(b_m − δ_h(x)). The b_m
come from `scale` and stay fixed, so that all heads, sets and our own prompts live on one scale. Heads differ
in what they see (text and surface, text alone, surface alone), in their start and in a bootstrap of the
questions; their spread is the forecast's uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tradewind.training.adam import Adam, minibatches

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """What n texts cost their answerers: binary or fractional answers of up to M answerers each."""

    x: Floats
    """[n, D + F]: z and s"""
    right: Floats
    """[n, M] in [0, 1]"""
    weight: Floats
    """[n, M], 0 where nobody answered"""
    bias: Floats
    """[n, M]: b_m; an answerer is right with probability σ(slope·(b_m − δ))"""
    slope: Floats
    """[n]"""
    group: npt.NDArray[np.int64]
    """[n]: texts of one question share a number, and are drawn together"""

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class HeadSettings:
    """`sees`: one entry a head, of `both`, `text`, `surface`."""

    sees: tuple[str, ...] = ("both",) * 5 + ("surface",) * 3
    width: int = 32
    epochs: int = 16
    batch: int = 512
    rate: float = 3e-3
    decay: float = 0.1
    dropout: float = 0.1


@dataclass(frozen=True)
class Heads:
    """Weights of all heads side by side; the graph's initialisers of the same names."""

    hidden_weight: Floats
    """[D + F, W], W = H·width"""
    hidden_bias: Floats
    """[W]"""
    out_weight: Floats
    """[W, H], block diagonal"""
    out_bias: Floats
    """[H]"""

    def scaled(self, factor: float) -> Heads:
        """With `factor` times the difficulty."""
        return replace(self, out_weight=self.out_weight * np.float32(factor), out_bias=self.out_bias * np.float32(factor))

    def difficulty(self, x: Floats) -> Floats:
        """[n, D + F] → [n, H], larger is harder."""
        hidden = np.maximum(x @ self.hidden_weight + self.hidden_bias, 0)
        found: Floats = hidden @ self.out_weight + self.out_bias
        return found


def stack(parts: Sequence[Answers]) -> Answers:
    """All parts below one another; narrower ones are padded with answerers of weight 0."""
    widest = max(part.right.shape[1] for part in parts)

    def padded(values: Floats) -> Floats:
        return np.pad(values, ((0, 0), (0, widest - values.shape[1])))

    return Answers(
        x=np.concatenate([part.x for part in parts]),
        right=np.concatenate([padded(part.right) for part in parts]),
        weight=np.concatenate([padded(part.weight) for part in parts]),
        bias=np.concatenate([padded(part.bias) for part in parts]),
        slope=np.concatenate([part.slope for part in parts]),
        group=np.concatenate([part.group for part in parts]),
    )


def fit(
    answers: Answers,
    dimensions: int,
    settings: HeadSettings,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Heads:
    """Trains the heads; the first `dimensions` columns of x are z, the others s."""
    inputs, width, heads = answers.x.shape[1], settings.width, len(settings.sees)
    mask = np.zeros((inputs, heads, width), np.float32)
    for head, sees in enumerate(settings.sees):
        mask[_seen(sees, dimensions, inputs), head] = 1
    seen = mask.sum(axis=0, keepdims=True)
    weight = {
        "hidden": (rng.normal(size=mask.shape) * mask * np.sqrt(2 / seen)).astype(np.float32),
        "hidden_bias": np.zeros((heads, width), np.float32),
        "out": (rng.normal(size=(heads, width)) * 0.5 / np.sqrt(width)).astype(np.float32),
        "out_bias": np.zeros(heads, np.float32),
    }
    scale = gain(inputs, dimensions)
    x = answers.x * scale
    groups, group = np.unique(answers.group, return_inverse=True)
    drawn = rng.poisson(1.0, (len(groups), heads)).astype(np.float32)[group]
    adam = Adam(weight)
    total = settings.epochs * -(-len(answers) // settings.batch)
    for rows in minibatches(len(answers), settings.batch, settings.epochs, rng):
        batch = x[rows]
        if settings.dropout:
            batch = batch * (rng.random(batch.shape, dtype=np.float32) >= settings.dropout) / (1 - settings.dropout)
        gradient = _gradient(weight, batch, answers, rows, drawn[rows])
        gradient["hidden"] *= mask
        for name, update in adam.updates(gradient).items():
            shrink = settings.decay if name in ("hidden", "out") else 0.0
            weight[name] -= np.float32(adam.rate(settings.rate, total)) * (update + np.float32(shrink) * weight[name])
        if progress and adam.step % 50 == 0:
            progress(adam.step, total)
    out = np.zeros((heads * width, heads), np.float32)
    for head in range(heads):
        out[head * width : (head + 1) * width, head] = weight["out"][head]
    return Heads(
        hidden_weight=(weight["hidden"].reshape(inputs, -1) * scale[:, None]).astype(np.float32),
        hidden_bias=weight["hidden_bias"].reshape(-1),
        out_weight=out,
        out_bias=weight["out_bias"],
    )


def gain(inputs: int, dimensions: int) -> Floats:
    """[inputs]: factors of z and s while training. A unit-length z has small entries: these give text and surface features
    about the same leverage."""
    found = np.ones(inputs, np.float32)
    found[:dimensions] = np.sqrt(dimensions)
    return found


def _seen(sees: str, dimensions: int, inputs: int) -> slice:
    known = {"both": slice(0, inputs), "text": slice(0, dimensions), "surface": slice(dimensions, inputs)}
    if sees not in known:
        raise ValueError(f"a head cannot see `{sees}`; expected one of `both`, `surface`, `text`")
    return known[sees]


def _gradient(
    weight: dict[str, Floats], x: Floats, answers: Answers, rows: npt.NDArray[np.int64], drawn: Floats
) -> dict[str, Floats]:
    """Of the mean weighted negative log-likelihood, for all heads at once."""
    inputs, heads, width = weight["hidden"].shape
    flat = x @ weight["hidden"].reshape(inputs, -1)
    hidden = np.maximum(flat.reshape(len(x), heads, width) + weight["hidden_bias"], 0)
    difficulty = np.einsum("nhw,hw->nh", hidden, weight["out"]) + weight["out_bias"]
    slope = answers.slope[rows]
    logit = slope[:, None, None] * (answers.bias[rows][:, None, :] - difficulty[:, :, None])
    chance = 1 / (1 + np.exp(-logit))
    surprise = np.einsum("nm,nhm->nh", answers.weight[rows], chance - answers.right[rows][:, None, :])
    # dL/dδ = −slope·Σ_m weight·(chance − right)
    slope_of_loss = -slope[:, None] * surprise * drawn / np.float32(len(x))
    through = (slope_of_loss[:, :, None] * weight["out"]) * (hidden > 0)
    return {
        "out": np.einsum("nh,nhw->hw", slope_of_loss, hidden),
        "out_bias": slope_of_loss.sum(axis=0),
        "hidden": (x.T @ through.reshape(len(x), -1)).reshape(weight["hidden"].shape),
        "hidden_bias": through.sum(axis=0),
    }
