"""A second tier from policy to outcome: what a policy says of it decides or labels, and replays without its graph."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

import doors
import own_graph
import routing
import tiny_predictor
from commands import Tradewind
from hosted import hosted
from tradewind import core
from tradewind.artifacts import plan, predictor, schemas
from tradewind.artifacts.predictor import Artifact
from tradewind.engine import Engine
from tradewind.errors import ConfigurationError

CONFIG = Path(__file__).parent.parent / "resources" / "valid" / "minimal.yaml"
"""A pool of `cheap` (profile `tiny`) and `dear` (profile `strong`)."""
SAYS = {"strong": 0.02, "tiny": 0.97}
"""What the second tier says of two models, whatever the text; the third column is nobody's."""
TEXT = "Why is the sky blue?"


@pytest.fixture
def second(tmp_path: Path) -> Artifact:
    """A graph that is sure that the cheap one is right."""
    graph = own_graph.build(tokens=False, quality=np.array([SAYS["strong"], SAYS["tiny"], 0.5], np.float32))
    return predictor.read(own_graph.write(tmp_path / "site" / "second", graph, models=["strong", "tiny", "third"]))


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """A first tier that is sure that the dear one is."""
    return tiny_predictor.write(tmp_path / "default")


@pytest.fixture
def site(tmp_path: Path, second: Artifact) -> Iterator[str]:
    """Where it is fetched from."""
    with hosted(tmp_path / "site") as served:
        yield f"{served.url}/second/predictor.onnx"


def config(folder: Path, site: str, digest: str, **more: str) -> Path:
    """The resources with a policy that names it."""
    tier = {"url": site, "sha256": digest.removeprefix("sha256:"), "ambiguity": "1", **more}
    text = CONFIG.read_text().rstrip() + f"\n  predictor: {json.dumps({'default': {}, 'secondTier': tier})}\n"
    (folder / "config.yaml").write_text(text.replace('{type: Utility, utility: {willingnessToPayUSD: "0.02"}}', "{type: Best}"))
    return folder / "config.yaml"


def body(text: str = TEXT) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}]}


def logit(quality: float) -> float:
    return float(np.log(quality / (1 - quality)))


def test_a_policy_asks_it_inline_and_joins_both_in_logits(tmp_path: Path, site: str, second: Artifact, default: Path) -> None:
    def decided(**more: str) -> Any:
        place = config(tmp_path, site, second.digest, **more)
        return Engine.from_config(place, predictor_at=default, predictor_cache=tmp_path / "cache").decide(body())

    labels, inline, clear = decided(), decided(use="Inline", weight="0.75"), decided(use="Inline", ambiguity="0.001")
    assert "second_tier" not in labels.document
    assert "second_tier" not in clear.document
    assert clear.chosen == labels.chosen
    said = inline.document["second_tier"]
    assert said["digest"] == second.digest
    assert said["quality"] == pytest.approx({"default/chat/cheap": SAYS["tiny"], "default/chat/dear": SAYS["strong"]})
    for before, after, name in zip(labels.candidates, inline.candidates, ("tiny", "strong"), strict=True):
        assert logit(after.quality) == pytest.approx(0.25 * logit(before.quality) + 0.75 * logit(SAYS[name]), abs=1e-4)
    assert (labels.chosen.model, inline.chosen.model) == ("default/chat/dear", "default/chat/cheap")
    jsonschema.Draft202012Validator(schemas.read("decision")).validate(inline.document)


def test_the_command_line_decides_as_the_library_does(
    tmp_path: Path, site: str, second: Artifact, default: Path, tradewind: Tradewind
) -> None:
    place = config(tmp_path, site, second.digest, use="Inline", weight="1")
    given = ("--config", place, "--predictor", default, "--predictor-cache", tmp_path / "cache")
    lines = tmp_path / "calls.jsonl"
    lines.write_text(json.dumps({"id": "1", "text": TEXT}) + "\n")
    status, out, _ = tradewind("decide", *given, "--input", lines, "--json")
    assert (status, json.loads(out)["chosen"]) == (0, "default/chat/cheap")
    status, out, _ = tradewind("route", TEXT, *given, "--json")
    assert (status, json.loads(out)["decision"]["chosen"]) == (0, "default/chat/cheap")


@pytest.mark.parametrize("use", ["inline", "labels"])
def test_an_outcome_has_what_it_said_and_replays_without_the_graph_being_run(
    tmp_path: Path, second: Artifact, default: Path, tradewind: Tradewind, use: str
) -> None:
    first = predictor.read(default)
    with core.Simulator(models="cheap:0.05:0.2,dear:2.5:10.0") as simulator:
        url = simulator.url
        models = [routing.model("cheap", url, like="tiny"), routing.model("dear", url, like="strong")]
        columns = {models[0].id: 1, models[1].id: 0}
        tier = plan.SecondTier(second.digest, 1.0, columns, weight=1.0, purpose=use)
        source = routing.source(models, [routing.route("auto", first.digest, models, "best", second_tier=tier)])
        settings = {"ledger_dir": str(tmp_path / "ledger"), "capture": "features", "second_tier_timeout_ms": 20_000}
        with doors.opened(source.to_json(), [first.graph, second.graph], settings) as opened:
            for door in doors.NAMES:
                answer = httpx.post(f"{opened.url(door)}/v1/chat/completions", json=body(), timeout=20)
                assert answer.status_code == 200, answer.text
    outcomes = [json.loads(line) for file in (tmp_path / "ledger").iterdir() for line in file.read_text().splitlines()]
    assert len(outcomes) == 2
    for outcome in outcomes:
        jsonschema.Draft202012Validator(schemas.read("outcome")).validate(outcome)
        assert outcome["chosen"] == models[0 if use == "inline" else 1].id
        assert outcome["second_tier"]["quality"] == pytest.approx({models[0].id: SAYS["tiny"], models[1].id: SAYS["strong"]})
    (tmp_path / "plan.json").write_bytes(source.to_json())
    predictor_cache = tmp_path / "kept"
    predictor_cache.mkdir()
    second.folder.rename(predictor_cache / second.digest.removeprefix("sha256:"))
    status, out, err = tradewind(
        *("replay", "--ledger", tmp_path / "ledger", "--plan", tmp_path / "plan.json", "--predictor", default),
        *("--predictor-cache", predictor_cache, "--json"),
    )
    assert status == 0, (out, err)
    assert json.loads(out)["replayed"] == 2


def test_a_plan_with_it_is_read_back_as_it_was_written(second: Artifact) -> None:
    tier = plan.SecondTier(second.digest, 0.05, {"default/chat/tiny": 1}, purpose="inline")
    models = [routing.model("tiny", "http://127.0.0.1:1", like="tiny")]
    source = routing.source(models, [routing.route("auto", "sha256:" + "0" * 64, models, "best", second_tier=tier)])
    document = json.loads(source.to_json())
    assert plan.from_document(document) == dataclasses.replace(source, profiles=plan.from_document(document).profiles)
    jsonschema.Draft202012Validator(schemas.read("plan")).validate(document)


def test_what_cannot_be_a_second_tier_is_refused_where_it_is_named(
    tmp_path: Path, site: str, second: Artifact, default: Path
) -> None:
    def refused(url: str, digest: str) -> list[tuple[str, str]]:
        place = config(tmp_path, url, digest)
        with pytest.raises(ConfigurationError) as found:
            Engine.from_config(place, predictor_at=default, predictor_cache=tmp_path / "cache")
        return [(problem.code, problem.path) for problem in found.value.problems]

    there = "spec.predictor.secondTier"
    assert refused(f"{site}.old", "1" * 64) == [("missing_predictor", there)]
    tier1 = predictor.read(tiny_predictor.write(tmp_path / "site" / "tier1", steepness=2.0))
    assert refused(site.replace("second", "tier1"), tier1.digest) == [("invalid_second_tier", there)]
    strangers = predictor.read(
        own_graph.write(tmp_path / "site" / "strangers", own_graph.build(tokens=False), models=["a", "b", "c"])
    )
    assert refused(site.replace("second", "strangers"), strangers.digest) == [("unknown_name", there)]
