"""Outcome tables of our own, tiny: sums are easy and words hard; the small model can only do sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

MODELS = {"small": (0.1, 0.4), "large": (5.0, 20.0), "other": (2.5, 10.0)}
"""USD per million input and output tokens"""

TOPICS = ("rivers", "bridges", "lanterns", "glaciers", "violins", "harbours", "orchards", "comets")


def write(folder: Path, name: str, questions: int, models: tuple[str, ...], seed: int) -> None:
    """A set of `questions`, half of them sums; right answers drawn from a known law."""
    rng = np.random.default_rng(seed)
    queries: dict[str, list[object]] = {key: [] for key in ("query_id", "prompt", "query_text", "task", "split")}
    outcomes: dict[str, list[object]] = {key: [] for key in ("query_id", "model", "score", "cost_usd", "output_chars")}
    for number in range(questions):
        easy = number % 2 == 0
        first, second = rng.integers(2, 9999, 2)
        topic = TOPICS[int(rng.integers(len(TOPICS)))]
        text = (
            f"What is {first} + {second}?"
            if easy
            else f"Explain why scholar {first} disputes the origin of {topic} in treatise {second}."
        )
        query_id = f"{name}/{number}"
        row = (query_id, text, text, f"{name}/{'sums' if easy else 'essays'}", "test")
        for key, value in zip(queries, row, strict=True):
            queries[key].append(value)
        for model in models:
            chance = {"small": 0.95 if easy else 0.1, "large": 0.96 if easy else 0.9, "other": 0.55}[model]
            right = float(rng.random() < chance)
            tokens = 40
            cost = (len(text) / 4 * MODELS[model][0] + tokens * MODELS[model][1]) / 1e6
            for key, value in zip(outcomes, (query_id, model, right, cost, tokens * 4), strict=True):
                outcomes[key].append(value)
    target = folder / name
    target.mkdir(parents=True)
    parquet.write_table(pa.table(queries), target / "queries.parquet")
    parquet.write_table(pa.table(outcomes), target / "outcomes.parquet")
    (target / "README.md").write_text("# Ours\n\n**Licence** Apache-2.0. Made by this test.\n", encoding="utf-8")


def sets(folder: Path, ours: int, pair: int) -> Path:
    """The set `ours` of three models and the set `pair` of two, with so many questions, and the prices; gives the folder."""
    write(folder, "ours", ours, ("small", "large", "other"), 1)
    write(folder, "pair", pair, ("small", "large"), 2)
    prices(folder)
    return folder


def prices(folder: Path) -> None:
    """The price table beside the sets."""
    (folder / "prices").mkdir(parents=True)
    rows = "".join(f"{name},{low},{high},ours\n" for name, (low, high) in MODELS.items())
    (folder / "prices" / "prices.csv").write_text(f"model,usd_per_1m_input,usd_per_1m_output,source\n{rows}", encoding="utf-8")


class Large:
    """A router of a user's own: always the large model, without a forecast."""

    def choose(self, texts: list[str], models: list[str], willingness_to_pay_usd: list[float]) -> list[list[int]]:
        """For each text and each willingness."""
        return [[models.index("large")] * len(willingness_to_pay_usd)] * len(texts)


LARGE = f"{__name__}:{Large.__name__}"
"""As `--router` names it."""
