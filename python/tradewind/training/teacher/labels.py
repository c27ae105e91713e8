"""Soft labels of a teacher's folds, as training reads them. Needs no JAX."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError
from tradewind.training.datasets import DataSet

PARTS = ("a", "b")
"""Fold a is fitted on half A and labels half B."""


def file(part: str) -> str:
    """Name of a fold's file."""
    return f"fold-{part}.npz"


@dataclass(frozen=True)
class Labels:
    """How probably each model answers each question well, according to a teacher that has not seen the question."""

    row: Mapping[tuple[str, str], int]
    """by (set, query id)"""
    column: Mapping[tuple[str, str], int]
    """by (set, model)"""
    probability: npt.NDArray[np.float32]
    sources: Mapping[str, str]
    """digest of each set's files"""
    stems: frozenset[str]
    """of all questions"""
    folder: Path
    digest: str
    """of all that the teacher was made from"""

    def of(self, data: DataSet) -> npt.NDArray[np.float32]:
        """[n, M] for a set's questions and models.

        Raises `UsageError` where the teacher learned the set of that name from other files, or not all of it.
        """
        if self.sources.get(data.name, data.source) != data.source:
            message = (
                f"the teacher in {self.folder} learned `{data.name}` from other files; run `tradewind train-teacher` again"
            )
            raise UsageError(message, str(self.folder))
        rows = np.array([self.row.get((data.name, query), -1) for query in data.ids], np.int64)
        columns = np.array([self.column.get((data.name, model), -1) for model in data.models], np.int64)
        known = (rows >= 0)[:, None] & (columns >= 0)[None, :]
        if not known.all():
            message = (
                f"the teacher in {self.folder} has no labels of {(~known).any(axis=1).sum()} of {len(data)} questions of "
                f"`{data.name}`; run `tradewind train-teacher` with the same --data, --sets and --exclude"
            )
            raise UsageError(message, str(self.folder))
        found: npt.NDArray[np.float32] = self.probability[np.ix_(rows, columns)]
        return found

    def refuse_seen(self, barred: Collection[str]) -> None:
        """Raises `UsageError` where the teacher learned from a stem that nothing may learn from."""
        seen = self.stems & frozenset(barred)
        if seen:
            message = f"the teacher in {self.folder} learned from {len(seen)} excluded questions; it needs the same --exclude"
            raise UsageError(message, str(self.folder))


def load(folder: Path) -> Labels:
    """Both folds. Raises `UsageError` where one is missing or they are not of one run."""
    folds = [_read(folder / file(part)) for part in PARTS]
    if len({str(fold["digest"]) for fold in folds}) > 1:
        raise UsageError(f"the folds in {folder} are of two runs; run `tradewind train-teacher` again", str(folder))
    keys = np.concatenate([fold["keys"] for fold in folds])
    return Labels(
        row={(str(name), str(query)): row for row, (name, query) in enumerate(keys)},
        column={(str(name), str(model)): column for column, (name, model) in enumerate(folds[0]["pairs"])},
        probability=np.concatenate([fold["probability"] for fold in folds]),
        sources={str(name): str(source) for name, source in folds[0]["sources"]},
        stems=frozenset(str(stem) for fold in folds for stem in fold["stems"]),
        folder=folder,
        digest=str(folds[0]["digest"]),
    )


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        message = f"no soft labels are at {path}; `tradewind train-teacher --out {path.parent}` makes them"
        raise UsageError(message, str(path)) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", str(path)) from None
