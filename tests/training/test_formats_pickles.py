"""Pickles are read as data: nothing in them is run, and what is not known is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import format_writers
import numpy as np
import pytest

from tradewind.errors import UsageError
from tradewind.training import datasets


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import builtins; builtins.ran = True",)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    """Neither where it is recognised nor where it is read."""
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps({"easy": Hostile()}))
    name = "ours.easy-3-all_weak"
    assert name in datasets.available(tmp_path)
    with pytest.raises(UsageError, match=r"it names `builtins\.exec`, which is not data.*read_pickle\('ours\.pkl'\)"):
        datasets.load(tmp_path, name, {})
    import builtins

    assert not hasattr(builtins, "ran")


def test_a_frame_of_another_pandas_is_refused_with_the_way_round(tmp_path: Path) -> None:
    """`pandas.DataFrame`, as pandas 3 names it."""
    (tmp_path / "ours.pkl").write_bytes(b"\x80\x04\x8c\x06pandas\x8c\x09DataFrame\x93)\x81.")
    with pytest.raises(
        UsageError, match=r"names `pandas\.DataFrame`.*read_pickle\('ours\.pkl'\)\.to_parquet\('ours\.parquet'\)"
    ):
        datasets.load(tmp_path, "ours", {})


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"easy", pickle.dumps([1]), pickle.dumps({"hard": 1})])
def test_a_pickle_of_something_else_is_in_no_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ours.pkl").write_bytes(content)
    with pytest.raises(UsageError, match="is in no format"):
        datasets.load(tmp_path, "ours", {})


def test_a_pickle_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    whole = pickle.dumps(format_writers.router_dataset())
    for kept in (50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "ours.pkl").write_bytes(whole[:kept])
        with pytest.raises(UsageError, match="cannot be read"):
            datasets.load(tmp_path, "ours.easy-3-all_weak", {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pool: pool["data"].update(val_score=np.array([[0, 1, 2]])), "val_score, row 1, column 3: `2.0`"),
        (lambda pool: pool["data"].update(test_score=np.zeros((1, 2))), r"test_score: shape \(1, 2\)"),
        (lambda pool: pool["data"].pop("train_score"), "easy-3-all_strong: KeyError"),
    ],
)
def test_a_pool_that_routereval_would_not_write_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    made = format_writers.router_dataset()
    change(made["easy"][3]["all_strong"])
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps(made))
    with pytest.raises(UsageError, match=said):
        datasets.load(tmp_path, "ours.easy-3-all_strong", {})
