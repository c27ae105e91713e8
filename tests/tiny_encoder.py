"""A sentence encoder of random weights, small enough to be fine-tuned in a test."""

from __future__ import annotations

import numpy as np

from tradewind.training.distill import Array
from tradewind.training.teacher.fit import Settings

VOCABULARY = 30522
SETTINGS = Settings(tokens=16, hidden=8, encoder_rate=1e-3, head_rate=1e-2)
"""The same everywhere, so that JAX compiles fitting once."""


def tensors(width: int = 32, layers: int = 1, positions: int = 128, seed: int = 0) -> dict[str, Array]:
    """By the names of MiniLM's file, which has 384, 6 and 512."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}

    def matrix(name: str, *shape: int) -> None:
        found[name] = (rng.normal(size=shape) * 0.05).astype(np.float32)

    def linear(name: str, into: int, out: int) -> None:
        matrix(f"{name}.weight", out, into)
        matrix(f"{name}.bias", out)

    def norm(name: str) -> None:
        found[f"{name}.weight"] = np.ones(width, np.float32)
        found[f"{name}.bias"] = np.zeros(width, np.float32)

    matrix("embeddings.word_embeddings.weight", VOCABULARY, width)
    matrix("embeddings.position_embeddings.weight", positions, width)
    matrix("embeddings.token_type_embeddings.weight", 2, width)
    norm("embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{name}.attention.self.{part}", width, width)
        linear(f"{name}.attention.output.dense", width, width)
        norm(f"{name}.attention.output.LayerNorm")
        linear(f"{name}.intermediate.dense", width, 4 * width)
        linear(f"{name}.output.dense", 4 * width, width)
        norm(f"{name}.output.LayerNorm")
    return found
