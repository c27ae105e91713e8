"""Which questions are held out. A split is by question stem across all sets at once, so no question is on
both sides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError, unknown
from tradewind.training import stems
from tradewind.training.datasets import DataSet

TEST_SHARE = 0.25


@dataclass(frozen=True)
class Split:
    """Evaluated stems (`None`: every question, and nothing to learn from outside them)."""

    name: str
    held_out: frozenset[str] | None

    def tested(self, data: DataSet) -> npt.NDArray[np.bool_]:
        """Mask [n] of the rows to evaluate."""
        if self.held_out is None:
            return np.ones(len(data), bool)
        return np.isin(data.stems, sorted(self.held_out))

    def trained(self, data: DataSet) -> npt.NDArray[np.bool_]:
        """Mask [n] of the rows that may be learned from."""
        return ~self.tested(data)


def parse(text: str, sets: Iterable[DataSet]) -> Split:
    """`none`, `question:<seed>` (a quarter of the stems) or `task:<name>` (every stem of the task, wherever
    it occurs)."""
    kind, _, argument = text.partition(":")
    tables = list(sets)
    if kind == "none" and not argument:
        return Split(text, None)
    if kind == "question" and argument.lstrip("-").isdigit():
        return Split(text, held_out(tables, int(argument), TEST_SHARE))
    if kind == "task" and argument:
        found = {stem for data in tables for stem in data.stems[data.tasks == argument]}
        if not found:
            known = sorted({str(task) for data in tables for task in data.tasks})
            raise UsageError(unknown("task", argument, known))
        return Split(text, frozenset(found))
    raise UsageError(unknown("split", text, ["none", "question:<seed>", "task:<name>"]))


def held_out(sets: Iterable[DataSet], seed: int, share: float, offset: float = 0.0) -> frozenset[str]:
    """The stems whose place in [0, 1) under `seed` lies in [offset, offset + share)."""
    every = {str(stem) for data in sets for stem in data.stems}
    return frozenset(stem for stem in every if offset <= stems.bucket(stem, seed) < offset + share)
