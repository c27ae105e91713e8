"""Which sets a data folder has, and what of a set comes from its place."""

from __future__ import annotations

from pathlib import Path

import format_writers
import numpy as np
import pytest
from format_writers import PROMPTS

from tradewind.errors import UsageError
from tradewind.training import datasets


def test_a_folder_has_sets_of_any_format_by_the_names_of_their_files(tmp_path: Path) -> None:
    format_writers.tables(tmp_path, "a")
    format_writers.long(".csv")(tmp_path, "b")
    format_writers.ledger(tmp_path, "c")
    format_writers.routereval_pool(tmp_path, "d_router_dataset")
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "prices.csv").write_text("model,usd_per_1m_input,usd_per_1m_output\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Ours\n", encoding="utf-8")
    names = datasets.available(tmp_path)
    assert [name for name in names if not name.startswith("d")] == ["a", "b", "c"]
    pools = [name for name in names if name.startswith("d")]
    assert len(pools) == 15
    assert pools[0] == "d_router_dataset.easy-3-all_strong"
    assert len(datasets.load(tmp_path, "d_router_dataset.hard-1000-strong_to_weak", {})) == 3
    with pytest.raises(UsageError, match="unknown data set `e`; expected one of `a`, `b`, `c`"):
        datasets.load(tmp_path, "e", {})
    format_writers.wide(".jsonl")(tmp_path, "a")
    with pytest.raises(UsageError, match=r"`a` and `a.jsonl` are both the set `a`"):
        datasets.available(tmp_path)


def test_one_file_is_a_set_of_its_own(tmp_path: Path) -> None:
    format_writers.long(".csv")(tmp_path, "ours")
    assert datasets.available(tmp_path / "ours.csv") == ["ours"]
    assert datasets.load(tmp_path / "ours.csv", "ours", {}).texts == PROMPTS
    with pytest.raises(UsageError, match=r"absent\.csv holds no data set: No such file"):
        datasets.available(tmp_path / "absent.csv")


def test_a_set_has_the_licence_that_its_folder_states(tmp_path: Path) -> None:
    format_writers.long(".csv")(tmp_path / "ours", "answers")
    (tmp_path / "ours" / "README.md").write_text("**Licence** CC0. Ours.\n", encoding="utf-8")
    found = datasets.load(tmp_path, "ours", {})
    assert (found.name, found.licence) == ("ours", "CC0")


def test_cells_that_are_empty_are_answers_that_were_not_given(tmp_path: Path) -> None:
    (tmp_path / "ours.csv").write_text("prompt,small,large\nWhy?,True,\nHow?,nan,0.5\n", encoding="utf-8-sig")
    found = datasets.load(tmp_path, "ours", {})
    np.testing.assert_array_equal(found.score, [[np.nan, 1.0], [0.5, np.nan]])
    assert set(found.tasks) == {"ours"}
