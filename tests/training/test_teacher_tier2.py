"""The teacher as a predictor: the graph gives what JAX gives, and every command takes it."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jsonschema
import numpy as np
import onnxruntime
import pytest
import synthetic

import tiny_encoder
from tradewind.artifacts import predictor, schemas
from tradewind.cli import app
from tradewind.training import datasets, distill, estimation, evaluate, features, prices, train
from tradewind.training.estimators.encoder import Encoder
from tradewind.training.teacher import export, fit, labels, questions, teach
from tradewind.training.teacher.fit import Settings, Teacher

SETTINGS = Settings(tokens=128, hidden=8, half_precision=False)
TENSORS = tiny_encoder.tensors(width=64, layers=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=90, pair=20)


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes for a tiny encoder, with its folder."""
    out = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "read_safetensors", lambda path: tiny_encoder.tensors())
        taught = teach.run(teach.Options(data, out, settings=tiny_encoder.SETTINGS))
    document = json.loads(json.dumps(taught.document()))
    jsonschema.Draft202012Validator(schemas.read("train_teacher")).validate(document)
    return {**document, "out": out}


def test_the_graph_gives_what_jax_gives_whatever_the_length(data: Path) -> None:
    sets = [datasets.load(data, name, prices.load(data)) for name in ("ours", "pair")]
    every = questions.of(sets)
    frozen, state = fit.begin(TENSORS, every, np.arange(len(every)), SETTINGS, 1)
    louder = {name: values * (30 if name == "head.out.weight" else 1) for name, values in state.weights.items()}
    teacher = Teacher(frozen, louder)
    session = onnxruntime.InferenceSession(export.model(teacher, every).SerializeToString())
    texts = ["Hi", sets[0].texts[1], "Why does the river bend? " * 60]
    scanned = features.of(texts)
    found = []
    for i, text in enumerate(texts):
        ids = scanned.ids[scanned.offsets[i] : scanned.offsets[i + 1]]
        given = {"input_ids": ids[None].astype(np.int64), "features": scanned.surface[i : i + 1]}
        [[quality]] = session.run(["quality"], given)
        cut = np.array([distill.CLS, *ids[: export.LONGEST], distill.SEP])
        batch = {
            "ids": jnp.asarray(np.pad(cut, (0, export.LONGEST + 2 - len(cut)))[None]),
            "count": jnp.array([len(cut)]),
            "surface": jnp.asarray(every.scale.apply(scanned.surface[i : i + 1])),
        }
        logits = np.asarray(fit._forward(teacher.weights, teacher.frozen, batch, SETTINGS))[0]
        by_model = [
            np.mean([each for each, (_, name) in zip(logits, every.pairs, strict=True) if name == model])
            for model in export.models(every)
        ]
        np.testing.assert_allclose(quality, 1 / (1 + np.exp(-np.array(by_model))), atol=1e-3, err_msg=text[:20])
        found.append(quality)
    assert np.ptp(found, axis=0).min() > 0.005


def test_the_artifact_says_whose_columns_these_are(made: dict[str, Any]) -> None:
    found = predictor.read(made["out"] / teach.TIER2)
    assert found.own
    assert found.digest == made["tier2"]
    assert found.manifest["models"] == ["large", "other", "small"]
    assert found.manifest["teacher"] == made["digest"]
    assert found.profiles["small"].bias < found.profiles["large"].bias
    assert found.profiles["small"].length.bias == pytest.approx(np.log(40))
    assert set(made["files"]) >= {"fold-a.npz", "fold-b.npz", "full.npz", "tier2/predictor.onnx", "tier2/manifest.json"}


def test_decide_and_evaluate_take_it(
    made: dict[str, Any], data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(made["out"] / teach.TIER2)
    asked = ["evaluate", "--data", str(data), "--sets", "ours", "--predictor", folder, "--split", "question:1", "--json"]
    assert app.run([*asked, "--plans-out", str(tmp_path)]) == 0
    found = json.loads(capfd.readouterr().out)["sets"]["ours"]
    assert found["models"] == ["large", "other", "small"]
    # It was fitted on everything, and says so.
    assert [flag["kind"] for flag in found["flags"] if flag["kind"] == "trained_on_tested"]
    [plan] = tmp_path.glob("*.json")
    calls = tmp_path / "calls.jsonl"
    calls.write_text(json.dumps({"id": "sum", "text": "What is 17 + 25?"}) + "\n")
    assert app.run(["decide", str(plan), "--predictor", folder, "--input", str(calls), "--json"]) == 0
    decision = json.loads(capfd.readouterr().out)
    assert decision["predictor"] == made["tier2"]
    assert len({candidate["quality"] for candidate in decision["candidates"]}) == 3


def test_a_second_run_makes_nothing_anew(made: dict[str, Any], data: Path) -> None:
    options = teach.Options(data, made["out"], settings=tiny_encoder.SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "read_safetensors", lambda path: tiny_encoder.tensors())
        again = teach.run(options)
    assert again.milliseconds == {"fold a": 0.0, "fold b": 0.0, "full": 0.0}
    assert (again.digest, again.tier2) == (made["digest"], made["tier2"])


def test_train_reads_the_labels_and_refuses_a_teacher_that_saw_too_much(
    made: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    options = train.Options(data, tmp_path, sets=("ours",), teacher=made["out"])
    found = train.soft_labels(options)
    assert found is not None
    [ours] = train.load(options)
    assert found.of(ours).shape == ours.score.shape
    barred = tmp_path / "stems.txt"
    barred.write_text(f"{ours.stems[0]}\n")
    with pytest.raises(train.UsageError, match="learned from 1 excluded questions"):
        train.soft_labels(replace(options, exclude=barred))
    with pytest.raises(train.UsageError, match="--shuffle-outcomes goes without --teacher"):
        train.soft_labels(replace(options, shuffle_outcomes=True))
    with pytest.raises(train.UsageError, match="no soft labels are at"):
        train.soft_labels(replace(options, teacher=tmp_path))
    assert train.soft_labels(replace(options, teacher=None)) is None


def test_without_jax_the_command_says_what_brings_it(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "jax" else found(name, *more))
    assert app.run(["train-teacher", "--data", str(data), "--out", str(tmp_path)]) == 2
    assert "jax not installed: `pip install 'tradewind[encoder]'` brings what the teacher needs" in " ".join(
        capfd.readouterr().err.split()
    )


def test_folds_only_leaves_out_tier_2(
    made: dict[str, Any], data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = teach.run
    monkeypatch.setattr(distill, "read_safetensors", lambda path: tiny_encoder.tensors())
    monkeypatch.setattr(teach, "run", lambda options, say: run(replace(options, settings=tiny_encoder.SETTINGS), say))
    assert app.run(["train-teacher", "--data", str(data), "--out", str(tmp_path), "--folds-only", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    jsonschema.Draft202012Validator(schemas.read("train_teacher")).validate(found)
    assert found["tier2"] is None
    assert found["digest"] == made["digest"]
    assert set(found["files"]) == {labels.file(part) for part in labels.PARTS}
    np.testing.assert_array_equal(labels.load(tmp_path).probability, labels.load(made["out"]).probability)


def test_the_encoder_stands_in_the_table_when_it_is_asked_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "read_safetensors", lambda path: tiny_encoder.tensors())
    monkeypatch.setattr(fit, "Settings", lambda: tiny_encoder.SETTINGS)
    sets = evaluate.run(evaluate.Options(data, ("ours", "pair"), fit=("encoder",), split="question:1"))["sets"]
    assert set(sets) == {"ours", "pair"}
    assert all(0 <= found["score"]["value"] <= 1 for found in sets.values())
    assert all("encoder" in found["routers"] for found in sets.values())
    assert "encoder" not in {entry.name for entry in estimation.TABLE}


def test_the_encoder_forecasts_only_models_that_it_was_fitted_on(data: Path) -> None:
    ours = datasets.load(data, "ours", prices.load(data))
    fitted = Encoder(Teacher({}, {}), questions.of([ours.with_models([0, 1])]), SETTINGS)
    with pytest.raises(train.UsageError, match="`encoder` was fitted without `small` of `ours`"):
        fitted.quality(ours)
