"""Features of texts, computed by the Rust core: the code that serves is the code that trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind import core

Floats = npt.NDArray[np.float32]
CHUNK = 4096


@dataclass(frozen=True)
class TextFeatures:
    """n texts. Token ids of text i are `ids[offsets[i]:offsets[i + 1]]`; `surface` is [n, F], raw."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    surface: Floats

    def __len__(self) -> int:
        return len(self.offsets) - 1


def of(texts: Sequence[str]) -> TextFeatures:
    """Scans the texts with the core."""
    ids, offsets, surface = core.featurize(list(texts))
    return TextFeatures(
        np.frombuffer(ids, "<i4"),
        np.frombuffer(offsets, "<i8"),
        np.frombuffer(surface, "<f4").reshape(len(texts), len(core.feature_names())),
    )


def embed(features: TextFeatures, table: Floats, token_weight: Floats) -> Floats:
    """z [n, D]: the weighted mean of the token rows, scaled to length one, as in the graph of `export`."""
    embedded = np.zeros((len(features), table.shape[1]), np.float32)
    for start in range(0, len(features), CHUNK):
        stop = min(start + CHUNK, len(features))
        bounds = features.offsets[start : stop + 1]
        ids = features.ids[bounds[0] : bounds[-1]]
        filled = np.flatnonzero(np.diff(bounds) > 0)
        if len(filled) == 0:
            continue
        begins = (bounds - bounds[0])[filled]
        weight = token_weight[ids]
        total = np.add.reduceat(table[ids] * weight[:, None], begins, axis=0)
        embedded[start + filled] = total / (np.add.reduceat(weight, begins)[:, None] + np.float32(1e-6))
    length = np.sqrt((embedded * embedded).sum(axis=1, keepdims=True))
    scaled: Floats = embedded / (length + np.float32(1e-6))
    return scaled


@dataclass(frozen=True)
class SurfaceScale:
    """How raw surface features enter the heads: clip((features − mean)·inverse_sd, −4, 4)."""

    mean: Floats
    inverse_sd: Floats

    def apply(self, surface: Floats) -> Floats:
        """s [n, F]"""
        scaled: Floats = np.clip((surface - self.mean) * self.inverse_sd, -4, 4)
        return scaled


def surface_scale(surface: Floats, weight: npt.NDArray[np.float64]) -> SurfaceScale:
    """Weighted mean and spread of each feature; a feature that never varies is left out (inverse_sd 0)."""
    share = weight / weight.sum()
    wide = surface.astype(np.float64)
    mean = share @ wide
    spread = np.sqrt(share @ (wide - mean) ** 2)
    inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    return SurfaceScale(mean.astype(np.float32), inverse.astype(np.float32))


def token_weights(ids: Sequence[npt.NDArray[np.int32]], vocabulary: int, smoothing: float) -> Floats:
    """Smooth inverse frequency a/(a + p_t), [V] (Arora et al. 2017), p the mean of the groups'; 0 for [PAD]
    alone."""
    share = np.zeros(vocabulary)
    for group in ids:
        share += np.bincount(group, minlength=vocabulary) / max(len(group), 1) / len(ids)
    weight = (smoothing / (smoothing + share)).astype(np.float32)
    weight[0] = 0
    return weight
