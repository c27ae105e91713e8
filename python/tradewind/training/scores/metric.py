"""What a row of the table of metrics says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tradewind.training.scores.case import Case, Need

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A row: one figure of one router on one pool."""

    name: str
    """in the document of `evaluate`"""
    title: str
    source: str
    """paper and section"""
    better: Literal["higher", "lower"]
    compute: Callable[[Case], Floats]
    """[B], see `tradewind.bootstrap`; NaN in draws that have no such figure"""
    needs: tuple[Need, ...] = ()

    def allowed(self, case: Case) -> bool:
        """Whether the set and the router have what it needs; else the figure is null."""
        return case.allows.issuperset(self.needs)
