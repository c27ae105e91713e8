"""Fine-tunes the encoder with one logit for each pair of set and model (multi-task learning, Caruana 1997).

Over [pooled encoding, scaled surface features] lies one hidden layer. An epoch shows every question once, in one of its
two forms by chance, in batches of about equal length; widths are rounded up to a few buckets, so that XLA compiles few
programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from tradewind.training.teacher import encoder
from tradewind.training.teacher.encoder import Tensors, Weights
from tradewind.training.teacher.questions import FORMS, Questions, Rows, Singles

Progress = Callable[[int, int], None]
"""(questions shown, of how many)"""

WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
"""Tokens of a batch, special ones included."""
REPORT_STEPS = 50
"""Steps between two reports; only then does the host wait for the device."""
JITTER = 12
"""Tokens by which lengths are blurred where batches are cut, so that an epoch's batches differ."""


@dataclass(frozen=True)
class Settings:
    """How the teacher is fitted."""

    epochs: int = 2
    batch: int = 32
    tokens: int = 96
    """At most, special ones included."""
    encoder_rate: float = 1e-4
    head_rate: float = 2e-3
    decay: float = 0.01
    warm_up: float = 0.06
    """Share of the steps in which the rate rises."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    hidden: int = 128
    half_precision: bool = True
    """Whether matrix products are in bfloat16."""

    @property
    def kind(self) -> Any:
        """Of matrix products."""
        return jnp.bfloat16 if self.half_precision else jnp.float32

    @property
    def widths(self) -> tuple[int, ...]:
        """Buckets up to the largest number of tokens."""
        return (*(width for width in WIDTHS if width < self.tokens), self.tokens)


@dataclass(frozen=True)
class Teacher:
    """A fitted encoder with its head."""

    frozen: Weights
    weights: Weights


@dataclass(frozen=True)
class State:
    """Where fitting stands after some epochs."""

    epoch: int
    weights: Weights
    moments: Any
    """the optimiser's"""


def begin(tensors: Tensors, questions: Questions, rows: Rows, settings: Settings, seed: int) -> tuple[Weights, State]:
    """(frozen embeddings, state before the first epoch)."""
    frozen, layers = encoder.split(tensors)
    width = frozen["embeddings.LayerNorm.bias"].shape[0] + questions.surface.shape[2]
    weights = {**layers, **_head(questions, rows, width, settings, np.random.default_rng(seed))}
    return frozen, State(0, weights, _optimiser(settings).init(weights))


def _head(questions: Questions, rows: Rows, width: int, settings: Settings, rng: np.random.Generator) -> Weights:
    """Small weights; the bias of each pair is the logit of its mean."""
    right, weight = questions.right[rows], questions.weight[rows]
    mean = ((right * weight).sum(axis=0) + 0.5) / (weight.sum(axis=0) + 1)

    def uniform(shape: tuple[int, int], factor: float) -> jax.Array:
        bound = factor / math.sqrt(shape[0])
        return jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32)

    return {
        "head.hidden.weight": uniform((width, settings.hidden), 1.0),
        "head.hidden.bias": jnp.zeros(settings.hidden, jnp.float32),
        "head.out.weight": uniform((settings.hidden, len(mean)), 0.1),
        "head.out.bias": jnp.asarray(np.log(mean / (1 - mean)), jnp.float32),
    }


def fit(
    tensors: Tensors,
    questions: Questions,
    rows: Rows,
    settings: Settings,
    seed: int,
    progress: Progress | None = None,
    resumed: Callable[[State], State | None] | None = None,
    keep: Callable[[State], None] | None = None,
) -> Teacher:
    """Fits on these rows. `resumed` may give a later state for the first one; `keep` gets each epoch's but the last."""
    frozen, state = begin(tensors, questions, rows, settings, seed)
    state = (resumed(state) if resumed else None) or state
    each = -(-len(rows) // settings.batch)
    total = each * settings.epochs
    key = jax.random.key(seed, impl="rbg")
    weights, moments = state.weights, state.moments
    for epoch in range(state.epoch, settings.epochs):
        rng = np.random.default_rng((seed, epoch))
        for number, (chosen, forms) in enumerate(_batches(questions, rows, settings, rng)):
            step = epoch * each + number
            given = _given(questions, chosen, forms, settings)
            rate = np.float32(schedule(step, total, settings.warm_up))
            weights, moments, loss = _step(weights, moments, frozen, given, key, np.uint32(step), rate, settings)
            if progress and (step + 1) % REPORT_STEPS == 0:
                loss.block_until_ready()
                progress((step + 1) * settings.batch, total * settings.batch)
        if keep and epoch + 1 < settings.epochs:
            keep(State(epoch + 1, weights, moments))
    return Teacher(frozen, weights)


def schedule(step: int, total: int, warm_up: float) -> float:
    """Share of the full rate: a linear rise over the first steps, times half a cosine (Loshchilov and Hutter 2017)."""
    return min(1.0, (step + 1) / (warm_up * total)) * 0.5 * (1 + math.cos(math.pi * step / total))


@partial(jax.jit, static_argnames="settings", donate_argnums=(0, 1))
def _step(
    weights: Weights,
    moments: Any,
    frozen: Weights,
    given: dict[str, jax.Array],
    key: jax.Array,
    step: jax.Array,
    rate: jax.Array,
    settings: Settings,
) -> tuple[Weights, Any, jax.Array]:
    """One step of AdamW; gives new weights, moments and the loss."""
    hidden = encoder.embed(frozen, given["ids"])

    def loss(weights: Weights) -> jax.Array:
        found = _head_logits(weights, hidden, given, settings, jax.random.fold_in(key, step))
        surprise = optax.sigmoid_binary_cross_entropy(found, given["right"])
        mean: jax.Array = (surprise * given["weight"]).sum() / settings.batch
        return mean

    value, gradient = jax.value_and_grad(loss)(weights)
    updates, moments = _optimiser(settings).update(gradient, moments, weights)
    return jax.tree.map(lambda weight, update: weight + rate * update, weights, updates), moments, value


def _optimiser(settings: Settings) -> optax.GradientTransformation:
    """At full rate; AdamW's update, decay included, is linear in the rate."""
    groups = {
        "encoder": optax.adamw(settings.encoder_rate, weight_decay=settings.decay),
        "head": optax.adamw(settings.head_rate, weight_decay=settings.decay),
    }

    def group(weights: Weights) -> dict[str, str]:
        return {name: name.partition(".")[0] for name in weights}

    return optax.chain(optax.clip_by_global_norm(settings.clip), optax.multi_transform(groups, group))


def logits(weights: Weights, frozen: Weights, given: dict[str, jax.Array], settings: Settings) -> jax.Array:
    """[B, P] without dropout, from `ids` [B, T], `count` [B] and `surface` [B, F]."""
    return _head_logits(weights, encoder.embed(frozen, given["ids"]), given, settings, None)


def _head_logits(
    weights: Weights, hidden: jax.Array, given: dict[str, jax.Array], settings: Settings, key: jax.Array | None
) -> jax.Array:
    inner, first, second = (None, None, None) if key is None else jax.random.split(key, 3)
    mask = jnp.arange(hidden.shape[1]) < given["count"][:, None]
    seen = jnp.concatenate([encoder.pooled(weights, hidden, mask, settings.kind, inner), given["surface"]], axis=1)
    flat = encoder.dropped(seen, first) @ weights["head.hidden.weight"] + weights["head.hidden.bias"]
    active = encoder.dropped(jax.nn.gelu(flat, approximate=False), second)
    return active @ weights["head.out.weight"] + weights["head.out.bias"]


def _batches(questions: Questions, rows: Rows, settings: Settings, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    """(rows, their forms) of one epoch in random order."""
    forms = rng.integers(0, FORMS, len(rows))
    length = np.stack([questions.lengths(form)[rows] for form in range(FORMS)])[forms, np.arange(len(rows))]
    order = np.argsort(np.minimum(length, settings.tokens) + JITTER * rng.random(len(rows)), kind="stable")
    starts = np.arange(0, len(rows), settings.batch)
    for start in rng.permutation(starts):
        batch = order[start : start + settings.batch]
        yield rows[batch], forms[batch]


def _given(questions: Questions, rows: Rows, forms: Rows, settings: Settings) -> dict[str, npt.NDArray[Any]]:
    """A batch as the step takes it, filled up with rows of weight 0."""
    missing = settings.batch - len(rows)
    padded = np.pad(rows, (0, missing), mode="edge")
    weight = questions.weight[padded]
    weight[len(rows) :] = 0
    return {
        **_inputs(questions, padded, np.pad(forms, (0, missing)), settings),
        "right": questions.right[padded],
        "weight": weight,
    }


def _inputs(questions: Questions, rows: Rows, forms: Rows, settings: Settings) -> dict[str, npt.NDArray[Any]]:
    longest = max(int(questions.lengths(form)[row]) for row, form in zip(rows, forms, strict=True)) + 2
    width = next((width for width in settings.widths if width >= longest), settings.tokens)
    ids, count = questions.tokens(rows, forms, width)
    return {"ids": ids, "count": count, "surface": questions.surface[forms, rows]}


_forward = partial(jax.jit, static_argnames="settings")(logits)


def predict(
    teacher: Teacher,
    questions: Questions,
    rows: Rows,
    settings: Settings,
    progress: Progress | None = None,
    forms: Sequence[int] = range(FORMS),
) -> Singles:
    """Logits [len(rows), P] by the pairs that the teacher learned, the mean of those of the forms."""
    found = np.zeros((len(forms), len(rows), len(teacher.weights["head.out.bias"])), np.float32)
    done = 0
    for place, form in enumerate(forms):
        order = np.argsort(questions.lengths(form)[rows], kind="stable")
        for start in range(0, len(rows), settings.batch):
            batch = order[start : start + settings.batch]
            filled = np.pad(rows[batch], (0, settings.batch - len(batch)), mode="edge")
            given = _inputs(questions, filled, np.full(settings.batch, form), settings)
            found[place, batch] = np.asarray(_forward(teacher.weights, teacher.frozen, given, settings))[: len(batch)]
            done += len(batch)
            if progress:
                progress(done, len(forms) * len(rows))
    mean: Singles = found.mean(axis=0)
    return mean
