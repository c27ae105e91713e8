"""RouterEval's metrics against tables computed by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
import score_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.training.scores import references, routereval

ONCE = np.ones((1, 4))


def test_v_r_is_the_score_beside_that_of_a_published_reference() -> None:
    tasks = np.array(["mmlu/law", "mmlu/law", "gsm8k", "gsm8k"])
    # .5 against (.864 + .864 + .92 + .92) / 4 = .892.
    found = routereval.v_r(ONCE, np.array([1.0, 0.0, 1.0, 0.0]), references.of(tasks))
    assert found == pytest.approx([0.5 / 0.892])
    assert references.known(tasks)
    assert not references.known(np.array(["gsm8k", "mbpp"]))


def test_v_b_is_above_1_where_the_router_beats_its_best_model() -> None:
    assert routereval.v_b(np.array([0.6, 0.6]), np.array([0.5, 0.0])) == pytest.approx([1.2, np.nan], nan_ok=True)


def test_the_entropy_of_the_selection() -> None:
    # Sure: 0 bits. A coin: 1 bit. Three to one: −.75 log2 .75 − .25 log2 .25 = .8113 bits. Of four, all alike: 2 bits.
    probability = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.75, 0.25, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    expected = (0 + 1 - 0.75 * log2(0.75) + 0.25 * 2 + 2) / 4
    assert routereval.entropy(ONCE, probability) == pytest.approx([expected])
    # e^0 : e^ln 3 is one to three.
    assert routereval.softmax(np.array([[0.0, np.log(3)]])) == pytest.approx(np.array([[0.25, 0.75]]))


@given(score_cases.SEEDS, st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_entropy_lies_between_certainty_and_knowing_nothing(seed: int, models: int) -> None:
    quality = np.random.default_rng(seed).normal(0, 5, (4, models))
    found = routereval.entropy(ONCE, routereval.softmax(quality))[0]
    assert -1e-12 <= found <= log2(models) + 1e-12
    assert routereval.entropy(ONCE, routereval.softmax(0 * quality))[0] == pytest.approx(log2(models))


def test_r_o_is_the_oracle_with_some_probability() -> None:
    oracle, random = np.array([0.9]), np.array([0.5])
    assert [routereval.r_o(p, oracle, random)[0] for p in (0.0, 0.25, 1.0)] == pytest.approx([0.5, 0.6, 0.9])


def test_pools_of_strong_weak_and_mixed_models() -> None:
    #            rank: 2    0    4    1    3
    strength = np.array([0.5, 0.9, 0.1, 0.7, 0.3])
    found = {group: members.tolist() for group, members in routereval.groups(strength, 3).items()}
    assert found == {"all_strong": [1, 3, 0], "all_weak": [0, 4, 2], "strong_to_weak": [1, 0, 2]}


@given(score_cases.SEEDS, st.integers(2, 40), st.data())
@settings(max_examples=30, deadline=None)
def test_a_pool_has_so_many_different_models(seed: int, models: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, models))
    strength = np.random.default_rng(seed).random(models)
    found = routereval.groups(strength, size)
    for members in found.values():
        assert len(set(members.tolist())) == size
        assert (np.diff(strength[members]) <= 0).all()
    assert strength[found["all_strong"]].mean() >= strength[found["all_weak"]].mean()


def test_a_router_is_held_to_the_models_of_its_pool() -> None:
    #           m00 m01 m02 ; the pool is m01 and m00, of which m01 is the stronger one
    score = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 1], [1, 1, 1]], float)
    quality = np.array([[0.9, 0.1, 1.0], [0.2, 0.8, 1.0], [0.6, 0.5, 1.0], [0.5, 0.5, 1.0]])
    found = routereval.pool(ONCE, score, quality, "all_weak", np.array([1, 0]))
    # It takes m00, m01, m00 and, of equals, m01: 1 + 1 + 0 + 1. m01 alone has 3 of 4.
    assert found.routed == pytest.approx([0.75])
    assert found.best == pytest.approx([0.75])
    assert found.v_b == pytest.approx([1.0])
    assert found.oracle == pytest.approx([1.0])
    assert found.random == pytest.approx([(0.5 + 0.5 + 0.5 + 1) / 4])


def test_scaling_goes_from_small_pools_to_the_whole_set() -> None:
    found = routereval.scaling(score_cases.drawn_case(2, models=24))
    assert [entry["models"] for entry in found] == [3, 3, 3, 5, 5, 5, 10, 10, 10, 20, 20, 20, 24]
    assert found[-1]["group"] == "all"
    for entry in found:
        assert len(entry["members"]) == entry["models"]
        assert entry["random"]["value"] <= entry["oracle"]["value"]
        assert entry["best_single"]["value"] <= entry["oracle"]["value"]
        assert entry["v_b"]["value"] == pytest.approx(entry["score"]["value"] / entry["best_single"]["value"])
    strong = [entry["oracle"]["value"] for entry in found if entry["group"] in ("all_strong", "all")]
    # More candidates, a better oracle.
    assert strong == sorted(strong)
