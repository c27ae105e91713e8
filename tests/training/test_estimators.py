"""What every row of the table of estimators keeps to, whatever it learns."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import invented
import numpy as np
import onnxruntime
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import tiny_predictor
from tradewind import core
from tradewind.artifacts import plan, predictor
from tradewind.errors import UsageError
from tradewind.training import estimation, export_estimator, features
from tradewind.training.corpus import Encoder
from tradewind.training.estimator import Estimator, Floats, Inputs
from tradewind.training.estimators.mean import Mean
from tradewind.training.estimators.task_mean import TaskMeans
from tradewind.training.estimators.tier1 import MicrosecondTier
from tradewind.training.fitting import Entry

MODELS = ("small", "large", "other")
TEXTS = invented.texts(80, 1)
FRESH = invented.texts(12, 2)
ROWS = estimation.TABLE
GRAPHS = [entry for entry in ROWS if entry.name not in ("tier1", "task_mean")]
Learned = Callable[[Entry], tuple[Estimator, Inputs]]
Table = dict[str, dict[str, plan.Profile]]
"""Profiles by task and model"""
every = pytest.mark.parametrize("entry", ROWS, ids=lambda entry: entry.name)
every_graph = pytest.mark.parametrize("entry", GRAPHS, ids=lambda entry: entry.name)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return invented.encoder(TEXTS)


def outcomes(count: int) -> tuple[Floats, Floats, Floats]:
    """(score, cost, tokens) [count, 3]; a fifth of the cells is missing."""
    rng = np.random.default_rng(3)
    score = np.where(rng.random((count, 3)) < 0.2, np.nan, rng.integers(0, 5, (count, 3)) / 4)
    score[0] = (0, 1, 0.5)
    tokens = rng.integers(1, 900, (count, 3)).astype(float)
    return score, tokens * (1e-7, 2e-5, 1e-5), tokens


def inputs(made: Estimator, encoder: Encoder, texts: list[str]) -> Inputs:
    """What the estimator sees of texts: tasks where it is told them."""
    if isinstance(made, TaskMeans):
        return np.array([["odd" if len(text) % 2 else "even"] for text in texts])
    return encoder.encode(features.of(texts))


def build(entry: Entry) -> Estimator:
    return invented.small(entry.build())


@pytest.fixture(scope="module")
def fitted(encoder: Encoder) -> Learned:
    """(fitted on all tables, x of fresh texts), made once."""

    @cache
    def made(entry: Entry) -> tuple[Estimator, Inputs]:
        found = build(entry)
        return found.fit(inputs(found, encoder, TEXTS), *outcomes(len(TEXTS))), inputs(found, encoder, FRESH)

    return made


@every
def test_forecasts_have_a_row_a_question_and_a_column_a_model(entry: Entry, fitted: Learned) -> None:
    made, x = fitted(entry)
    for forecast in (made.predict(x), made.predict_cost_usd(x), made.predict_output_tokens(x)):
        assert forecast.shape == (len(FRESH), 3)
        assert (forecast >= 0).all()
    assert (made.predict(x) <= 1).all()
    assert np.allclose(made.predict(x[:1]), made.predict(x)[:1], atol=1e-6)


@every
def test_parameters_are_stored_cloned_and_set(entry: Entry) -> None:
    made = build(entry)
    parameters = made.get_params()
    assert vars(made) == parameters
    again = clone(made)
    assert again is not made
    assert again.get_params() == parameters
    for name in parameters:
        assert again.set_params(**{name: (1,)}).get_params()[name] == (1,)
    with pytest.raises(ValueError, match="Invalid parameter 'magic'"):
        made.set_params(magic=1)


@every
def test_a_second_fit_and_a_pickle_forecast_the_same(entry: Entry, encoder: Encoder, fitted: Learned) -> None:
    made, x = fitted(entry)
    again = clone(made).fit(inputs(made, encoder, TEXTS), *outcomes(len(TEXTS)))
    assert np.array_equal(again.predict(x), made.predict(x))
    unpickled = pickle.loads(pickle.dumps(made))
    for method in ("predict", "predict_cost_usd", "predict_output_tokens"):
        assert np.array_equal(getattr(unpickled, method)(x), getattr(made, method)(x))


@every
def test_one_row_is_enough(entry: Entry, encoder: Encoder) -> None:
    made = build(entry)
    x = inputs(made, encoder, TEXTS[:1])
    found = made.fit(x, [[0.0, 1.0, 0.5]], [[1e-6, 1e-4, 1e-5]]).predict(x)
    assert found.shape == (1, 3)
    assert found[0, 0] <= found[0, 2] <= found[0, 1]


@every
def test_a_missing_cell_is_not_a_wrong_answer(entry: Entry, encoder: Encoder) -> None:
    made = build(entry)
    score, _, _ = outcomes(len(TEXTS))
    score[:, 1] = np.where(np.arange(len(TEXTS)) % 2, np.nan, 1.0)
    found = made.fit(inputs(made, encoder, TEXTS), score).predict(inputs(made, encoder, FRESH))
    assert found[:, 1].min() > 0.75


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "x is a row": ({"x": np.zeros(80, np.float32)}, r"x has shape \(80,\); expected \[n, inputs\]"),
    "no rows": ({"x": np.zeros((0, 4))}, r"x has shape \(0, 4\); expected \[n, inputs\] with n of 1 or more"),
    "rows differ": ({"score": np.ones((79, 3))}, r"score has shape \(79, 3\); expected \(80, models\)"),
    "score is a row": ({"score": np.ones(80)}, r"score has shape \(80,\); expected \(80, models\)"),
    "no models": ({"score": np.ones((80, 0))}, r"score has shape \(80, 0\); expected \(80, models\)"),
    "score is text": ({"score": [["good"] * 3] * 80}, "score is not a table of numbers"),
    "score is too high": ({"score": np.full((80, 3), 1.5)}, r"score\[0, 0\] is 1.5; expected from 0 to 1, or NaN"),
    "a model has no score": ({"score": [[1, np.nan, 0]] * 80}, "column 1 of score has no cell"),
    "costs of fewer": ({"cost_usd": np.ones((80, 2))}, r"cost_usd has shape \(80, 2\); expected \(80, 3\)"),
    "a cost below 0": ({"cost_usd": np.full((80, 3), -1)}, r"cost_usd\[0, 0\] is -1; expected 0 or more"),
    "endless tokens": ({"output_tokens": np.full((80, 3), np.inf)}, r"output_tokens\[0, 0\] is inf; expected 0 or more"),
}


@every
@pytest.mark.parametrize("wrong", REFUSED)
def test_tables_that_do_not_fit_are_refused(entry: Entry, encoder: Encoder, wrong: str) -> None:
    made = build(entry)
    given: dict[str, Any] = {"x": inputs(made, encoder, TEXTS), "score": outcomes(80)[0]}
    changed, message = REFUSED[wrong]
    with pytest.raises(UsageError, match=f"^`{type(made).__name__}.fit`: {message}"):
        made.fit(**{**given, **changed})


@every
def test_forecasts_before_fit_or_of_other_inputs_are_refused(entry: Entry, encoder: Encoder) -> None:
    made = build(entry)
    x = inputs(made, encoder, TEXTS)
    with pytest.raises(NotFittedError):
        made.predict(x)
    made.fit(x, outcomes(80)[0])
    with pytest.raises(UsageError, match=r"predict`: `fit` was given no cost_usd"):
        made.predict_cost_usd(x)
    with pytest.raises(UsageError, match=r"predict`: x has "):
        made.predict(np.concatenate([x, x], axis=1))


@pytest.mark.parametrize("entry", [e for e in GRAPHS if e.name != "mean"], ids=lambda entry: entry.name)
def test_inputs_that_are_no_finite_numbers_are_refused(entry: Entry, encoder: Encoder) -> None:
    made = build(entry)
    x = inputs(made, encoder, TEXTS)
    x[7, 3] = np.nan
    with pytest.raises(UsageError, match="x has cells that are not finite"):
        made.fit(x, outcomes(80)[0])
    with pytest.raises(UsageError, match="x is not a table of numbers"):
        made.fit([["a"]] * 80, outcomes(80)[0])


@every_graph
def test_the_exported_graph_forecasts_the_same(entry: Entry, encoder: Encoder, fitted: Learned, tmp_path: Path) -> None:
    made, x = fitted(entry)
    export_estimator.write(tmp_path, encoder, made, MODELS)
    session = onnxruntime.InferenceSession((tmp_path / predictor.GRAPH).read_bytes())
    assert {slot.name for slot in session.get_inputs()} <= {"input_ids", "attention_mask", "features"}
    scanned = features.of(FRESH)
    quality, tokens = made.predict(x), made.predict_output_tokens(x)
    for row in range(len(FRESH)):
        ids = scanned.ids[scanned.offsets[row] : scanned.offsets[row + 1]]
        fed = {"input_ids": ids[None].astype(np.int64), "features": scanned.surface[row : row + 1]}
        given = dict(zip(("quality", "output_tokens"), session.run(["quality", "output_tokens"], fed), strict=True))
        assert given["quality"].shape == (1, 3)
        assert given["quality"][0] == pytest.approx(quality[row], abs=1e-4)
        assert given["output_tokens"][0] == pytest.approx(tokens[row], rel=1e-4)


@every_graph
def test_a_graph_is_written_with_its_models_and_only_for_its_encoder(entry: Entry, encoder: Encoder, tmp_path: Path) -> None:
    made = build(entry)
    made.fit(inputs(made, encoder, TEXTS), outcomes(80)[0])
    digest = export_estimator.write(tmp_path, encoder, made, MODELS)
    read = predictor.read(tmp_path)
    assert (read.digest, read.manifest["models"]) == (digest, list(MODELS))
    assert f"sha256:{read.manifest['graph']['sha256']}" == digest
    assert [output.name for output in export_estimator.model(encoder, made).graph.output] == ["quality"]
    with pytest.raises(UsageError, match="2 names for the 3 models"):
        export_estimator.write(tmp_path, encoder, made, MODELS[:2])
    if not isinstance(made, Mean):
        made.fit(inputs(made, encoder, TEXTS)[:, :-1], outcomes(80)[0])
        with pytest.raises(UsageError, match=r"fitted on \d+ inputs a text; this encoder makes \d+"):
            export_estimator.model(encoder, made)


@every_graph
def test_the_core_runs_the_exported_graph(entry: Entry, encoder: Encoder, fitted: Learned, tmp_path: Path) -> None:
    made, x = fitted(entry)
    export_estimator.write(tmp_path, encoder, made, MODELS)
    artifact = predictor.read(tmp_path)
    check_core({"auto": dict(artifact.profiles)}, artifact.graph, "auto", made.predict(x), made.predict_output_tokens(x))


def test_the_core_runs_the_task_means_as_a_table(encoder: Encoder, tmp_path: Path) -> None:
    made = TaskMeans()
    made.fit(inputs(made, encoder, TEXTS), *outcomes(80))
    table = made.profiles(MODELS)
    assert set(table) == {"odd", "even"}
    artifact = predictor.read(tiny_predictor.write(tmp_path))
    for task in table:
        told = np.array([[task]] * len(FRESH))
        check_core(table, artifact.graph, task, made.predict(told), made.predict_output_tokens(told))


def test_the_core_runs_the_microsecond_tier(encoder: Encoder) -> None:
    made = invented.small(MicrosecondTier())
    made.fit(inputs(made, encoder, TEXTS), *outcomes(80))
    graph, profiles = made.predictor(encoder, MODELS)
    x = inputs(made, encoder, FRESH)
    check_core({"auto": profiles}, graph, "auto", made.predict(x), made.predict_output_tokens(x))


@pytest.mark.parametrize("made", [TaskMeans(), invented.small(MicrosecondTier())], ids=lambda made: type(made).__name__)
def test_what_is_exported_otherwise_is_no_graph_of_quality(made: Estimator, encoder: Encoder) -> None:
    made.fit(inputs(made, encoder, TEXTS), outcomes(80)[0])
    with pytest.raises(UsageError, match=f"{type(made).__name__} is not exported as a graph of `quality`"):
        export_estimator.model(encoder, made)


def check_core(table: Table, graph: bytes, alias: str, quality: Floats, tokens: Floats) -> None:
    """The core's forecasts of the fresh texts by the route of that alias, against the estimator's."""
    planner = core.Planner(_plan(table, predictor.digest_of(graph)).to_json(), [graph])
    for row, text in enumerate(FRESH):
        body = json.dumps({"model": alias, "messages": [{"role": "user", "content": text}]}).encode()
        found = {c["model"].split("/")[-1]: c for c in json.loads(planner.decide(body))["candidates"]}
        assert [found[model]["quality"] for model in MODELS] == pytest.approx(quality[row], abs=1e-4)
        assert [found[model]["output_tokens"] for model in MODELS] == pytest.approx(tokens[row], abs=1)


def _plan(table: Table, digest: str) -> plan.PlanSource:
    """A route for each task over the same models."""
    every = [profile for profiles in table.values() for profile in profiles.values()]
    models = tuple(
        plan.Model(
            id=f"default/pool/{name}",
            upstream=plan.Upstream("http://models.invalid/v1", "openai", name),
            price=plan.Price(1000, 1000),
            limits=plan.Limits(context_tokens=100_000, output_tokens=10_000),
            profile=plan.profile_key(every[0]),
        )
        for name in MODELS
    )
    routes = tuple(
        plan.Route(
            id=f"default/{task}",
            aliases=(task,),
            predictor=digest,
            candidates=tuple(model.id for model in models),
            strategy={"type": "utility", "utility": {"willingness_to_pay_usd": 0.02}},
            profiles={f"default/pool/{name}": plan.profile_key(profile) for name, profile in profiles.items()},
        )
        for task, profiles in table.items()
    )
    return plan.PlanSource(plan.table(every), models, routes)
