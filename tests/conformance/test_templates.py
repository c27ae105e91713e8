"""The same instructions before every question: a gateway learns where they end, and says so in each decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import doors
import routing
from doors import Doors
from tradewind import core
from tradewind.artifacts import decision, outcome, predictor

TEMPLATE = "You grade answers of pupils.\n" + "".join(
    f"Example {number}: the pupil writes {number} and {number}. Grade: {number % 6}.\n" for number in range(1, 40)
)
"""Longer than what the predictor reads of a text's beginning."""
EASY, HARD = "The pupil writes: hi", "The pupil writes: " + "a proof, in many steps, by contradiction, of a theorem, " * 8


def body(text: str) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}]}).encode()


def ask(url: str, path: str, text: str) -> httpx.Response:
    answer = httpx.post(f"{url}/v1/{path}", content=body(text))
    assert answer.status_code == 200
    return answer


@pytest.fixture
def plan_source(graph: bytes) -> Iterator[bytes]:
    with core.Simulator(models=routing.SIMULATED) as simulator:
        models = [routing.model(name, f"{simulator.url}/v1", like=name) for name in ("tiny", "strong")]
        strategy = {"type": "utility", "utility": {"willingness_to_pay_usd": 0.001}}
        yield routing.source(models, [routing.route("auto", predictor.digest_of(graph), models, strategy)]).to_json()


@pytest.fixture
def taught(plan_source: bytes, graph: bytes, tmp_path: Path) -> Iterator[Doors]:
    """A gateway that has answered sixty questions behind the template."""
    with doors.opened(plan_source, [graph], {"ledger_dir": str(tmp_path), "capture": "text"}) as opened:
        for number in range(60):
            ask(opened.native, "chat/completions", f"{TEMPLATE}The pupil writes: {number} and {number * number}.\nWhy?")
        yield opened


def test_both_doors_decide_on_the_question_alone_and_say_so(taught: Doors, plan_source: bytes, graph: bytes) -> None:
    planner = core.Planner(plan_source, [graph])
    for door in doors.NAMES:
        for text in (EASY, HARD):
            made = decision.from_json(ask(taught.url(door), "decide", TEMPLATE + text).content)
            alone = decision.from_json(planner.decide(body(text)))
            assert made.template_bytes == len(TEMPLATE)
            assert [each.quality for each in made.candidates] == [each.quality for each in alone.candidates]
        assert decision.from_json(ask(taught.url(door), "decide", EASY).content).template_bytes == 0


def test_decide_learns_nothing(plan_source: bytes, graph: bytes) -> None:
    with doors.opened(plan_source, [graph]) as opened:
        for number in range(60):
            ask(opened.native, "decide", f"{TEMPLATE}The pupil writes: {number} and {number * number}.")
        assert decision.from_json(ask(opened.native, "decide", TEMPLATE + EASY).content).template_bytes == 0


@pytest.mark.parametrize("kind", ["features", "text"])
def test_a_recorded_call_replays_exactly_without_what_was_learned(
    kind: str, taught: Doors, plan_source: bytes, graph: bytes, tmp_path: Path
) -> None:
    for text in (EASY, HARD):
        ask(taught.native, "chat/completions", TEMPLATE + text)
    taught.gateway.drain()
    recorded = list(outcome.read(tmp_path))
    planner = core.Planner(plan_source, [graph])
    cuts = []
    for call in recorded:
        assert isinstance(call, outcome.Outcome)
        capture = {**call.document["capture"], "kind": kind}
        if kind == "features":
            capture.pop("body")
        made = decision.from_json(planner.decide_again(json.dumps(capture).encode(), call.id))
        assert made.chosen.model == call.answered_by
        cuts.append(made.template_bytes)
        line = {"id": "a", "body": json.loads(call.document["capture"]["body"]), "template_bytes": made.template_bytes}
        decided = decision.from_json(planner.decide_lines(json.dumps(line).encode()).strip())
        assert [each.quality for each in decided.candidates] == [each.quality for each in made.candidates]
    assert cuts[0] == 0
    assert cuts[-2:] == [len(TEMPLATE)] * 2


def test_a_cut_that_is_none_is_refused(plan_source: bytes, graph: bytes) -> None:
    planner = core.Planner(plan_source, [graph])
    for cut in (1, 9999):
        (line,) = planner.decide_lines(json.dumps({"id": "a", "text": "é", "template_bytes": cut}).encode()).splitlines()
        assert json.loads(line)["error"]["path"] == "template_bytes"
