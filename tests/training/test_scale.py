"""Abilities of models on one scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import synthetic

from tradewind.training import datasets, prices, scale
from tradewind.training.datasets import DataSet


def answered(folder: Path, difficulty: np.ndarray, abilities: tuple[float, ...]) -> DataSet:
    """One task whose answers follow Rasch's law."""
    synthetic.prices(folder)
    models = tuple(synthetic.MODELS)[: len(abilities)]
    synthetic.write(folder, "ours", len(difficulty), models, seed=0)
    data = datasets.load(folder, "ours", prices.load(folder))
    chance = 1 / (1 + np.exp(difficulty[:, None] - np.array(abilities)))
    right = (np.random.default_rng(1).random(chance.shape) < chance).astype(float)
    return replace(data, score=right, tasks=np.full(len(difficulty), "one"))


def test_abilities_lie_further_apart_where_the_difficulty_of_questions_is_seen(tmp_path: Path) -> None:
    difficulty = np.random.default_rng(0).normal(0, 2.5, 4000)
    data = answered(tmp_path, difficulty, (-1.5, 1.5))
    low, high = data.models

    def apart(found: scale.Scale) -> float:
        return found.ability[high] - found.ability[low] + found.special[high, "ours"] - found.special[low, "ours"]

    blind, seeing = scale.fit([data]), scale.fit([data], [difficulty])
    assert apart(seeing) > 1.4 * apart(blind) > 0


def test_a_difficulty_that_is_the_same_everywhere_changes_nothing(tmp_path: Path) -> None:
    data = answered(tmp_path, np.zeros(500), (-0.5, 0.5))
    blind, seeing = scale.fit([data]), scale.fit([data], [np.zeros(500)])
    assert blind == seeing
