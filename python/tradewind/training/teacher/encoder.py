"""BERT's forward pass in JAX (Devlin et al. 2018), as `distill.encode` has it in numpy, with dropout and a mask.

Weights are a flat mapping by the names of the safetensors file. Those of the embeddings stay as they are; the others are
fine-tuned. Linear weights are kept as [in, out].
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

Weights = dict[str, jax.Array]
Tensors = Mapping[str, npt.NDArray[np.float32]]

HEAD_WIDTH = 32
"""Of an attention head; MiniLM's 384 are 12 of them."""
EPSILON = 1e-12
"""of layer norms, as BERT has it"""
MASKED = -1e9
DROPOUT = 0.1
"""Of what each half of a layer adds; the rate that MiniLM was trained with."""


def split(tensors: Tensors) -> tuple[Weights, Weights]:
    """(frozen embeddings, weights of the layers) of a sentence encoder's tensors."""
    frozen = {
        name: jnp.array(values)
        for name, values in tensors.items()
        if name.startswith("embeddings.") and values.dtype == np.float32
    }
    layers = {
        name: jnp.array(values.T if values.ndim == 2 else values)
        for name, values in tensors.items()
        if name.startswith("encoder.layer.")
    }
    return frozen, layers


def layer_count(weights: Mapping[str, object]) -> int:
    """How many layers there are."""
    return sum(name.endswith(".intermediate.dense.weight") for name in weights)


def embed(frozen: Weights, ids: jax.Array) -> jax.Array:
    """ids [B, T] → [B, T, E], before the first layer."""
    hidden = (
        frozen["embeddings.word_embeddings.weight"][ids]
        + frozen["embeddings.position_embeddings.weight"][: ids.shape[1]]
        + frozen["embeddings.token_type_embeddings.weight"][0]
    )
    return _layer_norm(hidden, frozen, "embeddings.LayerNorm")


def pooled(weights: Weights, hidden: jax.Array, mask: jax.Array, kind: jnp.dtype, key: jax.Array | None = None) -> jax.Array:
    """Mean of the last hidden states of the tokens of the mask: hidden [B, T, E] of `embed`, mask [B, T] → [B, E].

    Matrix products are of `kind`; all else is float32. With a key there is dropout.
    """
    spread = jnp.where(mask, 0.0, MASKED)[:, None, None, :]
    count = layer_count(weights)
    keys = [None] * (2 * count) if key is None else list(jax.random.split(key, 2 * count))
    for layer in range(count):
        name = f"encoder.layer.{layer}"
        added = dropped(_attention(weights, name, hidden, spread, kind), keys[2 * layer])
        hidden = _layer_norm(hidden + added, weights, f"{name}.attention.output.LayerNorm")
        inner = jax.nn.gelu(_dense(weights, f"{name}.intermediate.dense", hidden, kind), approximate=False)
        added = dropped(_dense(weights, f"{name}.output.dense", inner, kind), keys[2 * layer + 1])
        hidden = _layer_norm(hidden + added, weights, f"{name}.output.LayerNorm")
    share = mask / mask.sum(axis=1, keepdims=True)
    return jnp.einsum("bt,bte->be", share, hidden)


def dropped(x: jax.Array, key: jax.Array | None) -> jax.Array:
    """Dropout (Srivastava et al. 2014) from one random byte an entry."""
    if key is None:
        return x
    kept = jax.random.bits(key, x.shape, jnp.uint8) >= round(256 * DROPOUT)
    return jnp.where(kept, x / (1 - round(256 * DROPOUT) / 256), 0)


def _attention(weights: Weights, name: str, hidden: jax.Array, spread: jax.Array, kind: jnp.dtype) -> jax.Array:
    batch, tokens, width = hidden.shape
    heads = (batch, tokens, width // HEAD_WIDTH, HEAD_WIDTH)
    query, key, value = (
        _dense(weights, f"{name}.attention.self.{part}", hidden, kind).reshape(heads).astype(kind)
        for part in ("query", "key", "value")
    )
    score = jnp.einsum("bthd,bshd->bhts", query, key).astype(jnp.float32) / math.sqrt(HEAD_WIDTH)
    share = jax.nn.softmax(score + spread, axis=-1).astype(kind)
    mixed = jnp.einsum("bhts,bshd->bthd", share, value)
    return _dense(weights, f"{name}.attention.output.dense", mixed.reshape(batch, tokens, width), kind)


def _dense(weights: Weights, name: str, x: jax.Array, kind: jnp.dtype) -> jax.Array:
    product = x.astype(kind) @ weights[f"{name}.weight"].astype(kind)
    return product.astype(jnp.float32) + weights[f"{name}.bias"]


def _layer_norm(x: jax.Array, weights: Weights, name: str) -> jax.Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + EPSILON)
    return centred * scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
