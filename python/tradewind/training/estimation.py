"""The estimators that `evaluate --fit` and the gates know. One file and one row each."""

from __future__ import annotations

from tradewind.errors import UsageError, unknown
from tradewind.training.estimators import knn, length, mean, task_mean, tier1
from tradewind.training.fitting import Entry

TABLE: tuple[Entry, ...] = (tier1.ENTRY, task_mean.ENTRY, knn.ENTRY, length.ENTRY, mean.ENTRY)


def named(name: str) -> Entry:
    """The row of that name."""
    for entry in TABLE:
        if entry.name == name:
            return entry
    raise UsageError(unknown("estimator", name, sorted(entry.name for entry in TABLE)))
