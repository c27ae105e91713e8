"""The estimator that sees lengths alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from tradewind.training import datasets, prices
from tradewind.training.datasets import DataSet
from tradewind.training.estimators import length
from tradewind.training.fitting import Given


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    folder = synthetic.sets(tmp_path_factory.mktemp("data"), ours=400, pair=20)
    return datasets.load(folder, "ours", prices.load(folder))


def test_it_tells_sums_from_essays_by_their_length(data: DataSet) -> None:
    router = length.ENTRY.prepare(Given([], [], 0))(data)
    quality = router.route(data).quality
    essays = np.array([text.startswith("Explain") for text in data.texts])
    small, large = data.models.index("small"), data.models.index("large")
    assert quality[~essays, small].min() > 0.8
    assert quality[essays, small].max() < 0.25
    assert np.abs(quality[:, large] - 0.93).max() < 0.06


def test_texts_of_one_length_have_one_forecast_and_it_is_the_mean(data: DataSet) -> None:
    same = replace(data, texts=("alike",) * len(data))
    quality = length.fit(same).route(same).quality
    assert np.allclose(quality, data.score.mean(axis=0))
