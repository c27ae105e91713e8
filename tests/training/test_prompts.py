"""Our own prompts."""

from __future__ import annotations

import pytest

from tradewind.training import prompts


def test_there_are_enough_and_length_does_not_tell_the_label() -> None:
    found = prompts.load()
    assert len(found) >= 400
    assert prompts.unbalanced(found) == []
    taught, tested = prompts.halves(found)
    assert abs(len(taught) - len(tested)) < 0.2 * len(found)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 1, 2, 2], [1, 2, 3, 4], 0.8944),
        ([1, 1], [1, 2], 0.0),
    ],
)
def test_spearman_by_hand(first: list[float], second: list[float], expected: float) -> None:
    assert prompts.spearman(first, second) == pytest.approx(expected, abs=1e-4)
