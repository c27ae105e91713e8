"""The classifier of tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from score_cases import drawn_case

from tradewind.training import topics
from tradewind.training.corpus import Material
from tradewind.training.topics import TopicSettings


def clouds(rng: np.random.Generator, each: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Three separable clouds, [n, 4] and the label."""
    label = np.repeat(np.arange(3), each)
    centre = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]], np.float32)
    return (centre[label] + rng.normal(size=(len(label), 4)) * 0.5).astype(np.float32), label


def fitted(weight: np.ndarray | None = None) -> tuple[topics.Topics, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, label = clouds(rng)
    weight = np.ones(len(x), np.float32) if weight is None else weight
    gain = np.ones(4, np.float32)
    return (
        topics.fit(x, label, weight, 4, gain, TopicSettings(width=16, epochs=30, batch=16, rate=1e-2, decay=0.01), rng),
        x,
        label,
    )


def test_it_recognises_what_it_was_shown_and_gives_chances() -> None:
    found, _, _ = fitted()
    x, label = clouds(np.random.default_rng(1))
    chances = found.weights(x)
    assert chances.shape == (len(x), 4)
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances.argmax(axis=1) == label).mean() > 0.95
    # Nobody showed it the fourth.
    assert chances[:, 3].max() < 0.2


def test_weight_moves_the_border() -> None:
    heavy = np.where(np.repeat(np.arange(3), 80) == 0, 20.0, 1.0).astype(np.float32)
    between = np.array([[1.0, 1.0, 0.0, 0.0]], np.float32)
    assert fitted(heavy)[0].weights(between)[0, 0] > fitted()[0].weights(between)[0, 0] + 0.1


def test_the_same_seed_gives_the_same_weights() -> None:
    assert np.array_equal(fitted()[0].out_weight, fitted()[0].out_weight)


@pytest.mark.parametrize(
    ("tasks", "expected"), [(("a", "b"), {"a", "b"}), (("a",), {"ours: cluster 0", "ours: cluster 1"})], ids=["tasks", "none"]
)
def test_a_set_without_tasks_has_clusters(tasks: tuple[str, ...], expected: set[str]) -> None:
    data = drawn_case(1, questions=60, models=2).learned
    data = replace(data, name="ours", tasks=np.array([tasks[i % len(tasks)] for i in range(len(data))]))
    x = np.zeros((len(data), 3), np.float32)
    x[np.arange(len(data)), np.arange(len(data)) % 2] = 1
    named = topics.names(Material(data, x, x), np.eye(2, dtype=np.float32))
    assert set(named.tolist()) == expected


def test_small_tasks_of_a_set_are_one_topic() -> None:
    data = drawn_case(1, questions=60, models=2).learned
    tasks = np.array(["large"] * (len(data) - 3) + ["tiny", "tinier", "tiniest"])
    data = replace(data, name="ours", tasks=tasks)
    x = np.ones((len(data), 2), np.float32)
    named = topics.names(Material(data, x, x), np.eye(2, dtype=np.float32))
    assert set(named.tolist()) == {"large", "ours: small tasks"}
