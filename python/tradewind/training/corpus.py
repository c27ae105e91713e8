"""Questions as the heads see them: every text once through the core's scan and the static table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.training import distill, features
from tradewind.training.datasets import DataSet
from tradewind.training.features import SurfaceScale, TextFeatures
from tradewind.training.prompts import Prompt

Singles = npt.NDArray[np.float32]

SMOOTHING = 1e-3
"""a of the token weights a/(a + p_t)"""


@dataclass(frozen=True)
class Encoder:
    """What turns a scan into the heads' input; the first initialisers of the graph."""

    table: npt.NDArray[np.int8]
    """[V, D]"""
    table_scale: Singles
    """[V, 1]"""
    token_weight: Singles
    """[V]"""
    surface: SurfaceScale

    @property
    def dimensions(self) -> int:
        """D"""
        return int(self.table.shape[1])

    def encode(self, scanned: TextFeatures) -> Singles:
        """x [n, D + F]: z and s side by side."""
        rows = self.table.astype(np.float32) * self.table_scale
        z = features.embed(scanned, rows, self.token_weight)
        return np.concatenate([z, self.surface.apply(scanned.surface)], axis=1)


@dataclass(frozen=True)
class Material:
    """A data set with the inputs of its texts, in both forms."""

    data: DataSet
    x: Singles
    """[n, D + F] of `data.texts`"""
    other: Singles
    """[n, D + F] of `data.variants`"""
    soft: Singles | None = None
    """[n, M] in [0, 1]: what a teacher that has not seen a question says of the models on it"""

    def take(self, rows: npt.NDArray[Any]) -> Material:
        """The same with these rows only (indices or mask)."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        soft = None if self.soft is None else self.soft[index]
        return replace(self, data=self.data.take(index), x=self.x[index], other=self.other[index], soft=soft)


@dataclass(frozen=True)
class Own:
    """Our own prompts: inputs [n, D + F] and mean labels [n], 1 to 5."""

    prompts: tuple[Prompt, ...]
    x: Singles
    labels: npt.NDArray[np.float64]

    def take(self, rows: npt.NDArray[Any]) -> Own:
        """The same with these rows only (indices or mask)."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Own(tuple(self.prompts[i] for i in index), self.x[index], self.labels[index])

    def halves(self) -> tuple[Own, Own]:
        """(train, test)"""
        tests = np.array([p.tests for p in self.prompts], bool)
        return self.take(~tests), self.take(tests)


@dataclass(frozen=True)
class Corpus:
    """All material of a training run."""

    encoder: Encoder
    materials: tuple[Material, ...]
    own: Own
    table_source: str


def build(sets: Sequence[DataSet], own: Sequence[Prompt], table: distill.StaticTable) -> Corpus:
    """Scans every text once, fits the encoder and encodes them."""
    scanned = [_both_forms(data) for data in sets]
    encoder = _encoder(scanned, features.of([prompt.text for prompt in own]), table)
    return Corpus(
        encoder=encoder,
        materials=tuple(
            Material(data, encoder.encode(text), encoder.encode(other))
            for data, (text, other) in zip(sets, scanned, strict=True)
        ),
        own=own_prompts(encoder, own),
        table_source=table.source,
    )


def encoder(sets: Sequence[DataSet], own: Sequence[Prompt], table: distill.StaticTable) -> Encoder:
    """The encoder of such a corpus alone: nothing is encoded."""
    return _encoder([_both_forms(data) for data in sets], features.of([prompt.text for prompt in own]), table)


def _both_forms(data: DataSet) -> tuple[TextFeatures, TextFeatures]:
    return features.of(data.texts), features.of(data.variants)


def _encoder(scanned: Sequence[tuple[TextFeatures, TextFeatures]], chat: TextFeatures, table: distill.StaticTable) -> Encoder:
    """What needs no outcome: token weights and the scale of the surface features."""
    quantised, scale = distill.quantise(table.rows)
    groups = [part for pair in scanned for part in pair] + ([chat] if len(chat) else [])
    # Each set counts the same, however many questions it has; chat counts as two sets.
    share = [np.full(len(g), (2.0 if g is chat else 0.5) / len(g)) for g in groups]
    return Encoder(
        table=quantised,
        table_scale=scale,
        token_weight=features.token_weights([g.ids for g in groups], len(quantised), SMOOTHING),
        surface=features.surface_scale(np.concatenate([g.surface for g in groups]), np.concatenate(share)),
    )


def own_prompts(encoder: Encoder, own: Sequence[Prompt]) -> Own:
    """Our own prompts through the encoder."""
    return Own(
        tuple(own),
        encoder.encode(features.of([p.text for p in own])),
        np.array([p.label for p in own], np.float64),
    )


def embedding(encoder: Encoder, texts: Sequence[str]) -> Singles:
    """z [n, D] of texts."""
    return encoder.encode(features.of(texts))[:, : encoder.dimensions]
