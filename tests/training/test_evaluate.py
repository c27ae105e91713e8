"""The whole way from tables to figures, on tables of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic

from tradewind import core
from tradewind.bootstrap import Interval
from tradewind.errors import UsageError
from tradewind.training import (
    corpus,
    datasets,
    distill,
    evaluate,
    export,
    forecast,
    gates,
    prices,
    production,
    prompts,
    routing,
    splits,
    tier1,
    train,
    value,
)
from tradewind.training.corpus import Corpus
from tradewind.training.direct import DirectSettings
from tradewind.training.ground import Ground
from tradewind.training.heads import HeadSettings
from tradewind.training.scores import Scores
from tradewind.training.tier1 import Settings, Tier1

QUICK = Settings(
    heads=HeadSettings(sees=("both", "surface"), width=8, epochs=40, batch=64, rate=0.01),
    direct=DirectSettings(epochs=2),
    clusters=4,
)
VOCABULARY = 30_522


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=600, pair=300)


@pytest.fixture(scope="module")
def whole(data: Path) -> Corpus:
    rng = np.random.default_rng(0)
    table = distill.StaticTable(rng.normal(size=(VOCABULARY, 8)).astype(np.float32), "sha256:none")
    listed = prices.load(data)
    own, _ = prompts.halves(prompts.load())
    sets = [datasets.load(data, name, listed) for name in ("ours", "pair")]
    return corpus.build(sets, own, table)


@pytest.fixture(scope="module")
def held_out(whole: Corpus) -> frozenset[str]:
    return splits.held_out([m.data for m in whole.materials], 3, 0.3)


def without(whole: Corpus, held_out: frozenset[str]) -> Corpus:
    kept = (m.take(~np.isin(m.data.stems, sorted(held_out))) for m in whole.materials)
    return replace(whole, materials=tuple(kept))


@pytest.fixture(scope="module")
def fitted(whole: Corpus, held_out: frozenset[str]) -> Tier1:
    return tier1.fit(without(whole, held_out), QUICK, 0)


@pytest.fixture(scope="module")
def graph(fitted: Tier1, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("artifact")
    export.write(fitted, folder)
    return (folder / export.FILE).read_bytes()


def test_costs_are_measured_else_listed_and_licences_are_read(data: Path) -> None:
    loaded = datasets.load(data, "ours", prices.load(data))
    assert loaded.licence == "Apache-2.0"
    assert datasets.is_priced(loaded)
    assert loaded.output_tokens[0, 0] == 40
    with pytest.raises(UsageError, match="unknown data set `theirs`; expected one of `ours`, `pair`"):
        datasets.load(data, "theirs", {})


def test_excluded_questions_are_not_trained_on(data: Path) -> None:
    loaded = datasets.load(data, "ours", {})
    barred = {str(loaded.stems[0]), str(loaded.stems[5])}
    kept = datasets.for_training(loaded, barred)
    assert len(kept) == len(loaded) - 2
    assert not barred & set(kept.stems.tolist())


def test_the_graph_the_core_and_numpy_agree(fitted: Tier1, graph: bytes, whole: Corpus) -> None:
    data = whole.materials[0].data.take(np.arange(40))
    x = whole.materials[0].x[:40]
    prediction = fitted.predict(x)
    again = export.Artifact(graph).predict(x)
    assert np.allclose(prediction.difficulty, again.difficulty)
    profiles = [fitted.profiles[name] for name in data.models]
    quality, sd = forecast.quality(prediction, fitted.parameters, profiles)
    tokens = forecast.output_tokens(prediction, fitted.parameters, profiles)
    source = routing.plan_source(data, profiles, _digest(graph))
    for executor in ("native", "onnxruntime"):
        planner = core.Planner(source.to_json(), [graph], executor)
        for row, text in enumerate(data.texts):
            body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}]}).encode()
            for column, candidate in enumerate(json.loads(planner.decide(body))["candidates"]):
                assert candidate["quality"] == pytest.approx(quality[row, column], abs=1e-4)
                assert candidate["quality_sd"] == pytest.approx(sd[row, column], abs=1e-3)
                assert candidate["output_tokens"] == pytest.approx(tokens[row, column], abs=1)


def _digest(graph: bytes) -> str:
    from tradewind.artifacts import predictor

    return predictor.digest_of(graph)


def check(whole: Corpus, held_out: frozenset[str], fitted: Tier1, graph: bytes) -> Scores:
    """The production router on the held-out questions of `ours`."""
    pool = datasets.pool(whole.materials[0].data)
    tested = np.isin(pool.stems, sorted(held_out))
    router = production.router(graph, fitted.profiles, pool.take(~tested))
    ground = Ground.of(pool.take(tested), pool.take(~tested), seed=5)
    return ground.score(*ground.decide(router))


def test_a_router_that_knows_the_question_beats_mixing_at_random(
    whole: Corpus, held_out: frozenset[str], fitted: Tier1, graph: bytes
) -> None:
    found = check(whole, held_out, fitted, graph).values
    gain, aiq, oracle = found["aiq_minus_zero"], found["aiq"], found["oracle"]
    assert gain is not None
    assert aiq is not None
    assert oracle is not None
    assert gain.low > 0
    assert aiq.value < oracle.value


def test_permuted_texts_leave_no_more_than_mixing_at_random(
    whole: Corpus, held_out: frozenset[str], fitted: Tier1, graph: bytes
) -> None:
    ours = whole.materials[0]
    order = np.random.default_rng(4).permutation(len(ours.data))
    dealt = replace(ours.data, texts=tuple(ours.data.texts[i] for i in order))
    mixed = replace(whole, materials=(replace(ours, data=dealt), whole.materials[1]))
    gain = check(mixed, held_out, fitted, graph).values["aiq_minus_zero"]
    assert gain is not None
    assert gain.low <= 0
    assert abs(gain.value) < 0.02


def test_the_gain_gate_passes_on_real_labels_and_fails_on_shuffled_ones(
    whole: Corpus, held_out: frozenset[str], fitted: Tier1
) -> None:
    rng = np.random.default_rng(6)
    shuffled = replace(whole, materials=tuple(replace(m, data=train.shuffled(m.data, rng)) for m in whole.materials))
    blind = tier1.fit(without(shuffled, held_out), QUICK, 0)
    assert gates.Gates(tuple(_compared(whole, held_out, fitted)), ()).gains
    assert not gates.Gates(tuple(_compared(shuffled, held_out, blind)), ()).gains


def _compared(whole: Corpus, held_out: frozenset[str], fitted: Tier1) -> list[gates.Comparison]:
    found = []
    for pool in value.pools(whole.materials):
        tested = np.isin(pool.data.stems, sorted(held_out))
        compared = gates.compare(pool.data.name, fitted, pool.take(tested), pool.take(~tested), 0)
        assert compared is not None
        found.append(compared)
    return found


def test_a_clearly_worse_router_fails_the_first_gate() -> None:
    def compared(name: str, value: float) -> gates.Comparison:
        return gates.Comparison(name, 400, "aiq", Interval(value, value - 0.01, value + 0.01), np.full(5, value))

    assert gates.Gates((compared("a", 0.02),), (compared("a: b", -0.005), compared("a: c", 0.0))).not_inferior
    assert not gates.Gates((compared("a", -0.02),), ()).not_inferior
    assert not gates.Gates((), (compared("a: b", -0.005),)).not_inferior


def test_a_new_model_gets_a_profile_that_tells_it_from_the_others(whole: Corpus, fitted: Tier1, graph: bytes) -> None:
    ours = whole.materials[0].data
    known = {name: profile for name, profile in fitted.profiles.items() if name != "small"}
    found = production.fitted_profiles(graph, known, ours, ["small"])["small"]
    assert found.answers == len(ours)
    assert found.bias < known["large"].bias
    assert np.exp(found.length.bias) == pytest.approx(40, rel=0.1)
    with pytest.raises(UsageError, match="no profile for `small`"):
        production.router(graph, known, None, ours)


def test_a_router_that_knows_only_means_is_zero_and_the_report_shows_it(data: Path, tmp_path: Path) -> None:
    asked = evaluate.Options(data, ("ours",), fit=("mean",), split="question:1", report=tmp_path / "report")
    found = evaluate.run(asked)["sets"]["ours"]
    assert found["aiq"]["value"] == pytest.approx(found["zero"]["value"], abs=1e-6)
    assert found["share_of_questions_trained_on"] == 0
    assert (tmp_path / "report" / "ours.png").stat().st_size > 5000
    assert "| ours |" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_fitting_without_a_split_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="needs a split"):
        evaluate.run(evaluate.Options(data, ("ours",), fit=("mean",)))
    with pytest.raises(UsageError, match="unknown estimator `magic`"):
        evaluate.run(evaluate.Options(data, ("ours",), fit=("magic",), split="question:1"))
