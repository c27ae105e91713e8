"""What the teacher is taught: every question of all sets in both forms, with one column for each model of each set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind import core
from tradewind.training import features, tier1
from tradewind.training.datasets import DataSet
from tradewind.training.distill import CLS, SEP
from tradewind.training.features import SurfaceScale, TextFeatures

Singles = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
FORMS = 2


@dataclass(frozen=True)
class Questions:
    """n questions, P pairs of set and model."""

    keys: tuple[tuple[str, str], ...]
    """[n] (set, query id)"""
    stems: npt.NDArray[np.str_]
    """[n]"""
    pairs: tuple[tuple[str, str], ...]
    """[P] (set, model)"""
    forms: tuple[TextFeatures, TextFeatures]
    """`texts` and `variants`"""
    surface: Singles
    """[2, n, F], scaled"""
    scale: SurfaceScale
    right: Singles
    """[n, P] in [0, 1], 0 where nobody answered"""
    weight: Singles
    """[n, P], 0 where nobody answered"""

    def __len__(self) -> int:
        return len(self.keys)

    def lengths(self, form: int) -> Rows:
        """[n] word pieces of a form, without special tokens."""
        return np.diff(self.forms[form].offsets)

    def tokens(self, rows: Rows, forms: Rows, width: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Ids [B, width] of the first word pieces between [CLS] and [SEP], zeros behind; and how many of them count, [B]."""
        ids = np.zeros((len(rows), width), np.int32)
        count = np.zeros(len(rows), np.int32)
        for place, (row, form) in enumerate(zip(rows, forms, strict=True)):
            scanned = self.forms[form]
            found = scanned.ids[scanned.offsets[row] : scanned.offsets[row + 1]][: width - 2]
            ids[place, : len(found) + 2] = (CLS, *found, SEP)
            count[place] = len(found) + 2
        return ids, count


def of(sets: Sequence[DataSet], scale: SurfaceScale | None = None) -> Questions:
    """All of these sets, scanned; the scale of surface features is that of their own texts where none is given."""
    pairs = tuple((data.name, model) for data in sets for model in data.models)
    forms = (
        features.of([text for data in sets for text in data.texts]),
        features.of([text for data in sets for text in data.variants]),
    )
    raw = np.stack([form.surface for form in forms])
    scale = scale or features.surface_scale(raw.reshape(-1, raw.shape[2]), np.ones(raw.shape[0] * raw.shape[1]))
    starts = np.cumsum([0, *(len(data.models) for data in sets)])
    rows = sum(len(data) for data in sets)
    right, weight = (np.zeros((rows, len(pairs)), np.float32) for _ in range(2))
    first = 0
    for data, (start, stop) in zip(sets, pairwise(starts), strict=True):
        right[first : first + len(data), start:stop] = np.nan_to_num(data.score)
        weight[first : first + len(data), start:stop] = tier1.answer_weights(data.score)
        first += len(data)
    return Questions(
        keys=tuple((data.name, query) for data in sets for query in data.ids),
        stems=np.concatenate([data.stems for data in sets]),
        pairs=pairs,
        forms=forms,
        surface=scale.apply(raw),
        scale=scale,
        right=right,
        weight=weight,
    )


def digest(sets: Sequence[DataSet], *more: Any) -> str:
    """SHA-256 of all that teaches: questions, outcomes, the core's features, and what else is named."""
    mixed = hashlib.sha256(repr((core.feature_schema(), *more)).encode())
    for data in sets:
        mixed.update(repr((data.name, data.ids, data.texts, data.variants, data.stems.tolist(), data.models)).encode())
        mixed.update(np.ascontiguousarray(data.score).tobytes())
    return mixed.hexdigest()
