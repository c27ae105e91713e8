"""Profiles from answers: intervals hold the truth, prompts are tied to a scale, and without answers little is claimed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.artifacts import predictor
from tradewind.artifacts.plan import Profile
from tradewind.errors import UsageError
from tradewind.training import analogy, anchors, catalogue, forecast, profiling, user_outcomes
from tradewind.training.prices import Price
from tradewind.training.profiling import Answered, Frozen

CHOSEN = anchors.select(anchors.shipped(), 400)
TEXTS = tuple(anchor.text for anchor in CHOSEN)
DOMAINS = tuple(anchor.domain for anchor in CHOSEN)
RUNS = 40


@pytest.fixture(scope="module")
def frozen() -> Frozen:
    return profiling.freeze(predictor.read())


def answered(score: np.ndarray, tokens: float = 50.0) -> Answered:
    return Answered(TEXTS, score, np.full(len(TEXTS), tokens), DOMAINS)


def test_intervals_hold_the_truth_of_models_with_an_accuracy_by_domain(frozen: Frozen) -> None:
    """The issue asks for 90 % of runs; 40 of them are told apart from 95 % only roughly, so they are seeded."""
    expected = analogy.expect("new", None, frozen.known, {})
    held = {"quality": 0, "accuracy": 0, "all domains": 0}
    domains = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        truth = {domain: float(rng.uniform(0.1, 0.98)) for domain in sorted(set(DOMAINS))}
        chance = np.array([truth[domain] for domain in DOMAINS])
        found = profiling.fit(frozen, answered((rng.random(400) < chance).astype(float)), expected)
        assert found.accuracy is not None
        assert found.domains is not None
        for name, interval in (("quality", found.quality), ("accuracy", found.accuracy)):
            held[name] += interval.low <= chance.mean() <= interval.high
        inside = [each.accuracy.low <= truth[name] <= each.accuracy.high for name, each in found.domains.items()]
        domains += sum(inside)
        held["all domains"] += all(each.jointly.low <= truth[n] <= each.jointly.high for n, each in found.domains.items())
    assert min(held.values()) >= 0.9 * RUNS, held
    assert domains >= 0.9 * RUNS * len(set(DOMAINS))


def test_intervals_are_not_empty_words(frozen: Frozen) -> None:
    found = profiling.fit(frozen, answered(np.arange(400) % 2.0), analogy.expect("new", None, frozen.known, {}))
    assert 0.05 < found.quality.high - found.quality.low < 0.12
    assert 0.05 < found.bias_sd < 0.25


def test_the_forecast_mean_is_what_was_measured(frozen: Frozen) -> None:
    expected = analogy.expect("new", None, frozen.known, {})
    for share in (0.15, 0.5, 0.9):
        score = (np.random.default_rng(1).random(400) < share).astype(float)
        assert profiling.fit(frozen, answered(score), expected).quality.value == pytest.approx(score.mean(), abs=0.01)


def test_few_answers_leave_the_profile_near_what_was_expected(frozen: Frozen) -> None:
    expected = analogy.expect("new", None, frozen.known, {})
    one = Answered(TEXTS[:1], np.ones(1), np.array([np.nan]), DOMAINS[:1])
    found = profiling.fit(frozen, one, expected)
    assert abs(found.profile.bias - expected.profile.bias) < 0.5
    assert found.bias_sd > 0.8
    assert found.profile.length == expected.profile.length
    assert found.output_tokens is None


def test_the_length_row_gives_the_measured_mean(frozen: Frozen) -> None:
    found = profiling.fit(frozen, answered(np.ones(400), tokens=321.0), analogy.expect("new", None, frozen.known, {}))
    prediction = frozen.predict(TEXTS)
    assert forecast.output_tokens(prediction, frozen.parameters, [found.profile]).mean() == pytest.approx(321, rel=0.01)
    assert found.output_tokens == 321.0


def test_a_known_models_answers_tie_the_prompts_to_its_scale(frozen: Frozen) -> None:
    """Prompts that are a logit easier than they look: linked, two models of one ability get one bias."""
    known = "gpt-4o-mini"
    easier = replace(frozen.known[known], bias=frozen.known[known].bias + 1.0)
    chance = forecast.quality(frozen.predict(TEXTS), frozen.parameters, [easier])[0][:, 0]
    rng = np.random.default_rng(3)
    mine, theirs = (answered((rng.random(400) < chance).astype(float)) for _ in range(2))
    expected = analogy.expect("new", None, frozen.known, {})
    alone = profiling.fit(frozen, mine, expected)
    linked = profiling.fit(frozen, mine, expected, {known: theirs})
    prediction = frozen.predict(TEXTS)
    profiles = [frozen.known[known], linked.profile, alone.profile]
    same, tied, untied = forecast.quality(prediction, frozen.parameters, profiles)[0].mean(axis=0)
    assert tied == pytest.approx(same, abs=0.03)
    assert untied > same + 0.1
    assert linked.scale_sd < alone.scale_sd
    assert linked.quality.value == pytest.approx(alone.quality.value, abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(1.0, 4.0))
def test_an_interval_of_a_mean_lies_within_the_scale_round_it(scores: list[float], z: float) -> None:
    found = profiling.wilson(np.array(scores), z)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_the_interval_of_a_share_is_that_of_the_paper() -> None:
    """Newcombe 1998, table I, method 4: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, count, low, high in (
        (81, 263, 0.2535, 0.3682),
        (15, 148, 0.0598, 0.1644),
        (0, 20, 0.0, 0.2005),
        (1, 29, 0.0018, 0.1963),
    ):
        found = profiling.wilson(np.array([1.0] * right + [0.0] * (count - right)), profiling.Z)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_left_out_models_lie_within_what_analogy_expects_of_them(frozen: Frozen) -> None:
    known = analogy.originals(frozen.known)
    inside = 0
    for name, profile in known.items():
        found = analogy.expect(name, None, known, {})
        inside += abs(profile.bias - found.profile.bias) <= profiling.Z * found.bias_sd
    assert inside >= 0.9 * len(known)


def test_size_family_and_price_are_read() -> None:
    check = analogy.likeness
    assert check("Qwen/Qwen2.5-32B-Instruct", None) == analogy.Likeness("qwen", 32.0)
    assert check("mixtral-8x7b-instruct-v0.1", None) == analogy.Likeness("mistral", 56.0)
    assert check("Meta-Llama-3_1-70B", None) == analogy.Likeness("llama", 70.0)
    assert check("gpt-4o", Price(2.5, 10.0)) == analogy.Likeness("gpt", None, 10.0)
    assert check("yi-1.5-9b-chat", Price(0.0, 0.0)) == analogy.Likeness("yi", 9.0)


def test_larger_and_dearer_models_are_expected_to_be_better() -> None:
    known = {f"zeta-{size}b": Profile(bias=0.3 * np.log(size)) for size in (1, 3, 8, 20, 70)}
    prices = {name: Price(1.0, 0.1 * float(name[5:-1])) for name in known}
    by_size = [analogy.expect(f"zeta-{size}b-chat", None, known, {}).profile.bias for size in (2, 13, 40)]
    by_price = [analogy.expect("other", Price(1.0, usd), known, prices).profile.bias for usd in (0.1, 1.0, 6.0)]
    assert by_size == sorted(by_size)
    assert by_price == sorted(by_price)
    # A price says nothing where none of the known models has one.
    assert analogy.expect("other", Price(1.0, 9.0), known, {}) == analogy.expect("other", None, known, {})


def test_without_answers_the_interval_is_wide(frozen: Frozen) -> None:
    for expected in (analogy.expect("zork-1", None, frozen.known, {}), analogy.like("gpt-4o", frozen.known)):
        found = profiling.assume(frozen, expected, TEXTS[:50])
        assert found.quality.high - found.quality.low > 0.15
        assert found.profile.answers == 0
    assert analogy.like("gpt-4o", frozen.known).profile.bias == frozen.known["gpt-4o"].bias


def test_no_model_takes_over_the_direct_forecast_of_another() -> None:
    """Nor would the spread of its ability say how far that forecast may be off."""
    known = {f"zeta-{size}b": Profile(bias=1.0, latent=(2.0, 1.0), clusters=(0.5,)) for size in (1, 3)}
    for expected in (analogy.like("zeta-1b", known), analogy.expect("zeta-2b", None, known, {})):
        assert expected.profile.latent == ()
        assert expected.profile.clusters == (0.5,)


def test_nothing_known_is_no_reason_to_fail(frozen: Frozen) -> None:
    empty = replace(frozen, known={})
    found = profiling.fit(empty, answered(np.ones(400)), analogy.expect("first", None, {}, {}))
    assert found.quality.value > 0.97


def test_the_catalogue_tells_of_every_shipped_model_where_it_comes_from(frozen: Frozen) -> None:
    artifact = predictor.read()
    known = catalogue.entries(artifact, frozen.parameters, frozen.predict(TEXTS[:40]))
    assert {name for each in known for name in (each.name, *each.aliases)} == set(artifact.profiles)
    for each in known:
        assert sum(each.sets.values()) == each.answers > 0, each.name
        assert each.licences, each.name
    assert [each.quality for each in known] == sorted((each.quality for each in known), reverse=True)


def test_outcomes_are_read_from_every_format_alike(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "score": 1, "output_tokens": 5, "domain": "x"}, {"prompt": "b, c", "score": 0.25, "domain": "y"}]
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "o.csv").write_text('prompt,score,output_tokens,domain\na,1,5,x\n"b, c",0.25,,y\n')
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "o.parquet")
    for name in ("o.jsonl", "o.csv", "o.parquet"):
        found = user_outcomes.read(tmp_path / name)
        assert (found.texts, found.score.tolist(), found.domains) == (("a", "b, c"), [1.0, 0.25], ("x", "y"))
        assert found.output_tokens[0] == 5
        assert np.isnan(found.output_tokens[1])
        assert len(user_outcomes.read(tmp_path / name, limit=1)) == 1


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("o.txt", "", "unknown format of outcomes `.txt`; expected one of `.csv`, `.jsonl`, `.parquet`"),
        ("o.jsonl", "", "lacks `prompt`, `score`"),
        ("o.csv", "prompt,score\n", "holds no outcome"),
        ("o.jsonl", "{", "line 1: it is not JSON"),
        ("o.jsonl", '{"prompt": "a", "scor": 1}', "lacks `score`; it has `prompt`, `scor`"),
        ("o.jsonl", '{"prompt": "a", "score": 1}\n{"prompt": "b"}', "line 2, column `score`: `None` was found"),
        ("o.csv", "prompt,score\na,1\nb,2\n", "row 2, column `score`: `2` was found; expected a number from 0 to 1"),
        ("o.csv", "prompt,score\na,good\n", "column `score`: `good` was found; expected a number"),
        ("o.csv", "prompt,score\na,nan\n", "column `score`: `nan` was found; expected a number"),
        ("o.csv", "prompt,score,output_tokens\na,1,-1\n", "column `output_tokens`: `-1` was found; expected a number from 0"),
        ("o.parquet", "not parquet", "cannot be read"),
    ],
)
def test_outcomes_that_cannot_be_read_are_refused_with_their_row(tmp_path: Path, name: str, text: str, part: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as refusal:
        user_outcomes.read(tmp_path / name)
    assert part in refusal.value.message
