"""List prices by model name, from the price table that lies beside the data sets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from tradewind.training import names


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input_usd_per_million: float
    output_usd_per_million: float


def load(data: Path) -> dict[str, Price]:
    """Prices by canonical name, from `data/prices/prices.csv`; the first matching row counts. None there: no
    prices."""
    path = data / "prices" / "prices.csv"
    found: dict[str, Price] = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            price = Price(float(row["usd_per_1m_input"]), float(row["usd_per_1m_output"]))
            found.setdefault(names.canonical(row["model"]), price)
    return found
