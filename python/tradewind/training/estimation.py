"""The estimators that `evaluate --fit` and the gates know. One file and one row each."""

from __future__ import annotations

from tradewind.errors import UsageError, unknown
from tradewind.training.estimators import (
    cluster_mean,
    encoder,
    gradient_boosting,
    knn,
    length,
    logistic,
    matrix_factorisation,
    mean,
    ridge,
    task_mean,
    tier1,
)
from tradewind.training.fitting import Entry

TABLE: tuple[Entry, ...] = (
    tier1.ENTRY,
    task_mean.ENTRY,
    cluster_mean.ENTRY,
    knn.ENTRY,
    length.ENTRY,
    ridge.ENTRY,
    logistic.ENTRY,
    matrix_factorisation.ENTRY,
    gradient_boosting.ENTRY,
    mean.ENTRY,
)

ON_REQUEST: tuple[Entry, ...] = (encoder.ENTRY,)
"""Too slow for a table that nobody asked for by name."""


def named(name: str) -> Entry:
    """The row of that name."""
    known = (*TABLE, *ON_REQUEST)
    for entry in known:
        if entry.name == name:
            return entry
    raise UsageError(unknown("estimator", name, sorted(entry.name for entry in known)))
