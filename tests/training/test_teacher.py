"""The teacher: it learns, repeats itself, goes on where it was, and labels no question that it has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

import tiny_encoder
from tradewind.errors import UsageError
from tradewind.training import datasets, distill, prices
from tradewind.training.datasets import DataSet
from tradewind.training.teacher import encoder, fit, folds, labels, questions
from tradewind.training.teacher.folds import Job, Run

SETTINGS, TENSORS = tiny_encoder.SETTINGS, tiny_encoder.tensors()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[DataSet]:
    folder = synthetic.sets(tmp_path_factory.mktemp("data"), ours=240, pair=60)
    return [datasets.load(folder, name, prices.load(folder)) for name in ("ours", "pair")]


def quiet(stage: str, done: int, total: int) -> None:
    """Says nothing."""


def start(sets: list[DataSet], out: Path, seed: int = 3) -> Run:
    return folds.start(Job(sets, TENSORS, "tiny", out, seed, quiet, SETTINGS))


@pytest.fixture(scope="module")
def made(sets: list[DataSet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both folds."""
    out = tmp_path_factory.mktemp("teacher")
    begun = start(sets, out)
    for part in labels.PARTS:
        assert begun.fold(part) > 0
    return out


def test_a_planted_rule_is_learned(sets: list[DataSet], made: Path) -> None:
    """The small model can only do sums."""
    ours = sets[0]
    found = labels.load(made).of(ours)[:, ours.models.index("small")]
    sums = ours.tasks == "ours/sums"
    for in_a in (True, False):
        mine = folds.half(ours.stems, 3) == in_a
        assert found[sums & mine].min() > found[~sums & mine].max()


def test_the_forward_pass_is_that_of_distillation_whatever_the_padding() -> None:
    ids = np.array([[101, 2054, 2003, 102], [101, 2129, 2116, 102]])
    expected = distill.encode(dict(TENSORS), ids, heads=1).mean(axis=1)
    frozen, layers = encoder.split(TENSORS)
    padded = jnp.asarray(np.pad(ids, ((0, 0), (0, 3)), constant_values=7))
    mask = jnp.arange(7)[None, :] < jnp.array([[4], [4]])
    found = jax.jit(lambda hidden: encoder.pooled(layers, hidden, mask, jnp.float32))(encoder.embed(frozen, padded))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_dropout_keeps_the_mean() -> None:
    found = np.asarray(encoder.dropped(jnp.ones((200, 200)), jax.random.key(0)))
    assert (found == 0).mean() == pytest.approx(encoder.DROPOUT, abs=0.01)
    assert found.mean() == pytest.approx(1, abs=0.01)


def test_each_epoch_shows_every_question_once(sets: list[DataSet]) -> None:
    every, rows = questions.of(sets), np.arange(3, 200)
    batches = list(fit._batches(every, rows, SETTINGS, np.random.default_rng(0)))
    assert sorted(np.concatenate([batch for batch, _ in batches]).tolist()) == rows.tolist()
    assert {int(form) for _, forms in batches for form in forms} == {0, 1}


def test_a_batch_that_is_not_full_counts_only_its_own(sets: list[DataSet]) -> None:
    every = questions.of(sets)
    batch = fit._given(every, np.arange(5), np.zeros(5, np.int64), SETTINGS)
    assert batch["ids"].shape[0] == SETTINGS.batch
    np.testing.assert_array_equal(batch["weight"][:5], every.weight[:5])
    assert not batch["weight"][5:].any()


def test_the_rate_rises_and_falls() -> None:
    rates = [fit.schedule(step, 100, 0.06) for step in range(100)]
    assert rates[0] < rates[3] < rates[6] <= 1
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] < 0.001


@given(st.integers(0, 9), st.sets(st.text("0123456789abcdef", min_size=4, max_size=8), min_size=1, max_size=30))
def test_a_stem_is_in_one_half_wherever_it_occurs(seed: int, drawn: set[str]) -> None:
    found = sorted(drawn)
    twice = np.array([*found, *found[::-1]])
    halves = folds.half(twice, seed)
    assert halves[: len(found)].tolist() == halves[len(found) :][::-1].tolist()


def test_no_label_comes_from_a_teacher_that_saw_the_stem(sets: list[DataSet], tmp_path: Path, made: Path) -> None:
    """Outcomes of half A are turned around: what fold A says of half B changes, what fold B says of half A does not."""
    in_a = [folds.half(data.stems, 3) for data in sets]
    turned = [
        replace(data, score=np.where(mine[:, None], 1 - data.score, data.score)) for data, mine in zip(sets, in_a, strict=True)
    ]
    begun = start(turned, tmp_path)
    for part in labels.PARTS:
        begun.fold(part)
    before, after = labels.load(made), labels.load(tmp_path)
    for data, mine in zip(sets, in_a, strict=True):
        np.testing.assert_array_equal(before.of(data)[mine], after.of(data)[mine])
        assert (before.of(data)[~mine] != after.of(data)[~mine]).all()


def test_every_question_is_labelled_for_its_own_models(sets: list[DataSet], made: Path) -> None:
    found = labels.load(made)
    for data in sets:
        assert ((found.of(data) > 0) & (found.of(data) < 1)).all()


@pytest.mark.parametrize(
    ("what", "count"),
    [({"ids": ("nothing", "nobody")}, 2), ({"models": ("small", "large", "nobody")}, 240), ({"name": "theirs"}, 240)],
)
def test_a_set_that_is_labelled_in_part_is_refused(sets: list[DataSet], made: Path, what: dict[str, Any], count: int) -> None:
    """Training would show answers without labels as often as it shows labels, which are less noisy."""
    ids = {"ids": (*what["ids"], *sets[0].ids[len(what["ids"]) :])} if "ids" in what else {}
    with pytest.raises(UsageError, match=rf"has no labels of {count} of 240 questions of `{what.get('name', 'ours')}`"):
        labels.load(made).of(replace(sets[0], **{**what, **ids}))


def test_what_is_there_is_not_made_again(sets: list[DataSet], made: Path) -> None:
    file = made / labels.file("a")
    before = file.stat().st_mtime_ns
    assert start(sets, made).fold("a") == 0.0
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("what", ["score", "seed", "text"])
def test_a_file_of_other_questions_or_another_seed_is_refused(sets: list[DataSet], made: Path, what: str) -> None:
    ours = sets[0]
    changed = {
        "score": replace(ours, score=1 - ours.score),
        "seed": ours,
        "text": replace(ours, texts=("Another question?", *ours.texts[1:])),
    }[what]
    with pytest.raises(UsageError, match=r"fold-a\.npz was made from other questions, outcomes, settings or seed"):
        start([changed, sets[1]], made, seed=4 if what == "seed" else 3).fold("a")


def test_a_fold_that_was_cut_off_goes_on_after_its_last_epoch(
    sets: list[DataSet], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the same labels as one that was not."""
    whole = fit._batches
    epochs = []

    def counted(*given: object) -> object:
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(fit, "_batches", counted)
    with pytest.raises(KeyboardInterrupt):
        start(sets, tmp_path).fold("a")
    assert [path.name for path in tmp_path.iterdir()] == ["fold-a.partial.npz"]
    with pytest.raises(UsageError, match=r"fold-a\.partial\.npz was made from other"):
        start(sets[:1], tmp_path).fold("a")
    start(sets, tmp_path).fold("a")
    assert len(epochs) == SETTINGS.epochs + 1
    assert [path.name for path in tmp_path.iterdir()] == ["fold-a.npz"]
    with np.load(tmp_path / "fold-a.npz") as found, np.load(made / "fold-a.npz") as expected:
        np.testing.assert_array_equal(found["probability"], expected["probability"])


def test_labels_refuse_a_half_a_mixture_and_other_tables(sets: list[DataSet], made: Path, tmp_path: Path) -> None:
    (tmp_path / "fold-a.npz").write_bytes((made / "fold-a.npz").read_bytes())
    with pytest.raises(UsageError, match=r"no soft labels are at .*fold-b\.npz"):
        labels.load(tmp_path)
    with np.load(made / "fold-b.npz") as stored:
        np.savez(tmp_path / "fold-b.npz", **{**stored, "digest": np.array("another")})
    with pytest.raises(UsageError, match="are of two runs"):
        labels.load(tmp_path)
    found = labels.load(made)
    with pytest.raises(UsageError, match="learned `ours` from other files"):
        found.of(replace(sets[0], source="sha256:other"))
    found.refuse_seen({"unknown"})
    with pytest.raises(UsageError, match="learned from 1 excluded questions"):
        found.refuse_seen({str(sets[0].stems[0])})
