"""The teacher: it learns, repeats itself, goes on where it was, and labels no question that it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import synthetic
import tiny_encoder

from tradewind.errors import UsageError
from tradewind.training import datasets, prices
from tradewind.training.datasets import DataSet
from tradewind.training.teacher import fit, folds, labels, questions
from tradewind.training.teacher.fit import Settings
from tradewind.training.teacher.folds import Job, Run

SETTINGS = Settings(epochs=2, tokens=24, hidden=8, encoder_rate=1e-3, head_rate=1e-2, half_precision=False)
TENSORS = tiny_encoder.tensors()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[DataSet]:
    folder = synthetic.sets(tmp_path_factory.mktemp("data"), ours=240, pair=60)
    return [datasets.load(folder, name, prices.load(folder)) for name in ("ours", "pair")]


def quiet(stage: str, done: int, total: int) -> None:
    """Says nothing."""


def start(sets: list[DataSet], out: Path, seed: int = 3) -> Run:
    return folds.start(Job(sets, TENSORS, "tiny", out, seed, quiet, SETTINGS))


@pytest.fixture(scope="module")
def made(sets: list[DataSet], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of both folds."""
    out = tmp_path_factory.mktemp("teacher")
    begun = start(sets, out)
    for part in labels.PARTS:
        assert begun.fold(part) > 0
    yield out


def test_the_loss_falls_and_the_rule_is_learned(sets: list[DataSet], made: Path) -> None:
    """The small model can only do sums."""
    ours = sets[0]
    found = labels.load(made).of(ours)[:, ours.models.index("small")]
    sums = ours.tasks == "ours/sums"
    assert found[sums].min() > found[~sums].max()
