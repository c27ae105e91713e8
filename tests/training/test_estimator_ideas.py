"""Each estimator finds, on a table made for its idea, what the mean of each model cannot."""

from __future__ import annotations

import invented
import numpy as np
import pytest

from tradewind.training import estimation
from tradewind.training.estimators.mean import Mean


def test_every_estimator_but_the_mean_has_a_table_of_its_own() -> None:
    assert {entry.name for entry in estimation.TABLE} == {*invented.IDEAS, "mean"}


@pytest.mark.parametrize("name", invented.IDEAS)
def test_it_beats_the_mean_of_each_model(name: str) -> None:
    law = invented.IDEAS[name](np.random.default_rng(11))
    made = invented.small(estimation.named(name).build())
    score = law.outcomes(12)
    learned, tested = np.arange(len(score)) % 4 > 0, np.arange(len(score)) % 4 == 0
    truth = law.quality[tested]
    forecast = made.fit(law.x[learned], score[learned]).predict(law.x[tested])
    mean = Mean().fit(np.zeros((learned.sum(), 0)), score[learned]).predict(np.zeros((tested.sum(), 0)))

    def error(found: np.ndarray) -> float:
        return float(((found - truth) ** 2).mean())

    def earned(found: np.ndarray) -> float:
        worth = truth - law.price
        return float(worth[np.arange(len(truth)), (found - law.price).argmax(axis=1)].mean())

    assert error(forecast) < 0.7 * error(mean)
    assert earned(forecast) > earned(mean) + 0.05
