"""Adam as its paper has it: steps as long as the rate at first, and down to the least."""

from __future__ import annotations

import numpy as np
import pytest

from tradewind.training.adam import Adam


def test_the_first_step_is_as_long_as_the_rate_whatever_the_gradient() -> None:
    found = Adam({"w": np.zeros(3)}).updates({"w": np.array([1e-3, -5.0, 0.0])})
    assert found["w"] == pytest.approx([1, -1, 0], abs=1e-4)


def test_it_finds_the_least_and_the_rate_ends_at_nothing() -> None:
    least = np.array([1.0, -2.0])
    weights = {"w": np.zeros(2)}
    adam = Adam(weights)
    for _ in range(400):
        update = adam.updates({"w": weights["w"] - least})["w"]
        weights["w"] -= adam.rate(0.1, 400) * update
    assert weights["w"] == pytest.approx(least, abs=1e-2)
    assert adam.rate(0.1, 400) == pytest.approx(0.0)
