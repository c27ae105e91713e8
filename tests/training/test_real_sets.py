"""On real outcome tables: what is gained comes from the text of the questions, and from nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest

from tradewind.training import evaluate, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = 2500
"""questions: the larger sets are cut, so that this stays under two minutes on two cores"""
PERMUTATIONS = 3


def copy(real: Path, name: str, folder: Path, order: np.random.Generator | None) -> None:
    """At most `LIMIT` questions of a set, with the price table; their texts dealt anew among them if `order` is
    given."""
    (folder / name).mkdir(parents=True)
    shutil.copytree(real / "prices", folder / "prices")
    queries = parquet.read_table(real / name / "queries.parquet")
    queries = queries.take(pa.array(np.random.default_rng(0).permutation(len(queries))[:LIMIT]))
    outcomes = parquet.read_table(real / name / "outcomes.parquet")
    outcomes = outcomes.filter(compute.is_in(outcomes["query_id"], value_set=queries["query_id"].combine_chunks()))
    if order is not None:
        dealt = queries.take(pa.array(order.permutation(len(queries))))
        for column in ("prompt", "query_text"):
            queries = queries.set_column(queries.column_names.index(column), column, dealt[column])
    parquet.write_table(queries, folder / name / "queries.parquet")
    parquet.write_table(outcomes, folder / name / "outcomes.parquet")


def gain(folder: Path, name: str) -> dict[str, Any]:
    """AIQ over Zero's of the shipped predictor, paired over questions, on a quarter of them."""
    found: dict[str, Any] = evaluate.run(evaluate.Options(folder, (name,), split="question:0"))["sets"][name]
    gained: dict[str, Any] = found["aiq_minus_zero"]
    return gained


@pytest.mark.parametrize(("name", "transfers"), [("routerbench", True), ("mmlu_pro", False)])
def test_permuting_the_texts_leaves_no_gain(real_data: Path, tmp_path: Path, name: str, transfers: bool) -> None:
    """Permuted, the true difference is 0 or less, and the lower end of a 95 % interval is above it in one of 40
    permutations. Two of three are in one of 500: so it is the middle one of three that must not be above 0."""
    permuted = []
    for seed in range(PERMUTATIONS):
        folder = tmp_path / f"permuted-{seed}"
        copy(real_data, name, folder, np.random.default_rng(seed))
        permuted.append(gain(folder, name))
    assert sorted(found["low"] for found in permuted)[PERMUTATIONS // 2] <= 0, permuted
    if transfers:
        copy(real_data, name, tmp_path / "real", None)
        # What the texts tell is more than any permutation happened to find.
        assert gain(tmp_path / "real", name)["low"] > max(0, *(found["value"] for found in permuted)), permuted


@pytest.mark.parametrize("shuffled", [True, False])
def test_the_gain_gate_fails_where_questions_say_nothing(real_data: Path, tmp_path: Path, shuffled: bool) -> None:
    """The recipe and the gates whole, on the two training sets that are done in a minute: other labels, the same
    models and means. Shuffled labels pass by chance once in 40 seeds, so a failure is repeated with another seed."""
    asked = train.Options(
        real_data,
        tmp_path / "out",
        sets=("routellm", "routerarena_sub10"),
        score=False,
        shuffle_outcomes=shuffled,
    )
    document = train.run(asked).document()
    gained = document["gates"]["gain"]
    assert gained["passed"] is not shuffled, gained
    if shuffled:
        assert (document["passed"], document["digest"], document["files"]) == (False, None, {})
        assert not (tmp_path / "out").exists()
