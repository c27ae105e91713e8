"""What programs publish to each other: it comes back as it went, and broken ones say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tradewind import core, errors
from tradewind.artifacts import outcome, plan, predictor, schemas
from tradewind.errors import InvalidPredictor, UsageError

PROFILE = plan.Profile(0.5, latent=(0.25,), clusters=(0.1,), length=plan.Length(5.0, (0.5,)), answers=7)
PLAN = plan.PlanSource(
    profiles=plan.table([PROFILE, PROFILE, plan.Profile(1.0)]),
    models=(
        plan.Model(
            id="default/chat/a",
            upstream=plan.Upstream("http://127.0.0.1:1/v1", "openai", "a", credential="default/keys/a"),
            price=plan.Price(1, 2, 0),
            limits=plan.Limits(100, 50, concurrent_requests=3),
            profile=plan.profile_key(PROFILE),
            capabilities=("tools",),
            labels={"b": "2", "a": "1"},
            latency=plan.Latency(120.0, 80.0),
        ),
    ),
    routes=(
        plan.Route(
            id="default/default",
            aliases=("auto",),
            predictor="sha256:" + "0" * 64,
            candidates=("default/chat/a",),
            strategy={"type": "best"},
            constraints=plan.Constraints(0.5, 1000, 200.0, {"a": "1"}, "best_effort"),
            when="request.stream",
            callers=plan.Callers("listed", ("other",)),
            profiles={"default/chat/a": plan.profile_key(plan.Profile(1.0))},
        ),
    ),
)

OUTCOME = {
    "id": "1",
    "time": "2026-01-31T12:00:00Z",
    "tenant": "default",
    "plan": "sha256:0",
    "answered_by": None,
    "attempts": [],
    "baseline_cost_nanousd": None,
}


def test_a_plan_source_comes_back_as_it_went() -> None:
    assert plan.from_document(json.loads(PLAN.to_json())) == PLAN
    assert plan.from_document(json.loads(PLAN.to_json())).to_json() == PLAN.to_json()


def test_a_plan_source_fits_its_schema_and_the_core(predictor_folder: Path) -> None:
    schema = jsonschema.Draft202012Validator(schemas.read("plan"))
    schema.validate(PLAN.document())
    with pytest.raises(jsonschema.ValidationError):
        schema.validate({**PLAN.document(), "surplus": 1})
    artifact = predictor.read(predictor_folder)
    route = replace(PLAN.routes[0], predictor=artifact.digest)
    assert core.check_plan(replace(PLAN, routes=(route,)).to_json(), [artifact.graph]) == []


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.read(name))


def test_an_artifact_is_read_from_its_folder_or_its_file(predictor_folder: Path) -> None:
    artifact = predictor.read(predictor_folder)
    assert artifact.digest == predictor.digest_of(artifact.graph)
    assert predictor.read(predictor_folder / predictor.GRAPH) == artifact
    assert artifact.profiles["strong"].length.latent == (0.1,)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"schema": "tradewind.predictor/v9"}, "expected `tradewind.predictor/v1`"),
        ({"digest": "sha256:0"}, "but its manifest says `sha256:0`"),
        ({"profiles": {"a": {"bais": 1}}}, "a profile that cannot be read"),
        ({"graph": {"file": "../x.onnx"}}, "outside its folder"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, predictor_folder: Path, change: dict[str, object], part: str
) -> None:
    manifest = json.loads((predictor_folder / predictor.MANIFEST).read_text())
    (tmp_path / predictor.MANIFEST).write_text(json.dumps({**manifest, **change}))
    (tmp_path / predictor.GRAPH).write_bytes((predictor_folder / predictor.GRAPH).read_bytes())
    with pytest.raises(InvalidPredictor, match=part):
        predictor.read(tmp_path)


def test_a_missing_artifact_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no predictor is at"):
        predictor.read(tmp_path / "nowhere")


def test_a_torn_line_is_given_as_such_and_the_others_are_read(tmp_path: Path) -> None:
    line = json.dumps(OUTCOME).encode()
    (tmp_path / "outcomes-00000001.jsonl").write_bytes(line + b"\n" + line[:20] + b"\n" + line + b"\n")
    (tmp_path / "outcomes-00000002.jsonl").write_bytes(line + b"\n" + line[:20])
    found = list(outcome.read(tmp_path))
    torn = [entry for entry in found if isinstance(entry, outcome.Torn)]
    assert len(found) == 5
    assert [(entry.file.name[-7], entry.line, entry.last) for entry in torn] == [
        ("1", 2, False),
        ("2", 2, True),
    ]


def test_no_ledger_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ledger"):
        list(outcome.read(tmp_path / "nowhere"))


def test_every_code_of_the_core_has_its_exception() -> None:
    rows = {row["code"]: row for row in core.error_codes()}
    leaves = errors.by_code()
    assert leaves.keys() == rows.keys()
    for code, leaf in leaves.items():
        assert (leaf.side, leaf.retry) == (rows[code]["side"], rows[code]["retry"]), code
        assert leaf.__doc__
        assert leaf.__doc__.rstrip(".").lower() == rows[code]["about"].lower(), code
        assert leaf.__name__ in (errors.__doc__ or ""), code


def test_a_core_error_is_raised_as_its_leaf() -> None:
    error = errors.from_code("no_candidate", "none is left", "model")
    assert isinstance(error, errors.NoCandidate)
    assert (error.code, error.message, error.path) == ("no_candidate", "none is left", "model")
    assert isinstance(errors.from_code("brand_new", "?"), errors.Internal)
