"""Every case, through every door, with every executor; and the doors' answers beside each other."""

from __future__ import annotations

import json
import re

import http_calls
import pytest
from cases import CALLS, CASES, ELSEWHERE, REFUSED_BY_POLICY, Case, ask
from http_calls import Answer
from world import ODD, STRATEGIES, World

from tradewind import core

CODES = {row["code"]: row for row in core.error_codes()}
DECISION_HEADERS = (
    "x-tradewind-decision",
    "x-tradewind-plan",
    "x-tradewind-decide-us",
    "x-tradewind-cost-usd",
    "x-tradewind-model",
)


def send(case: Case, world: World, door: str) -> Answer:
    headers = {"content-type": "application/json", **case.headers}
    return http_calls.call(world.doors(case.state).url(door), case.method, case.path, headers, case.bytes())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_answered_as_it_should_be(case: Case, executor_world: World, door: str) -> None:
    answer = send(case, executor_world, door)
    assert answer.status == case.status, answer.body
    if case.code is not None:
        check_error(answer, case)
    for part in case.contains:
        assert part in answer.body.decode()
    for name, value in case.gives.items():
        assert answer.headers.get(name) == value
    if "content-length" in answer.headers and case.method != "HEAD":
        assert int(answer.headers["content-length"]) == len(answer.body)


def check_error(answer: Answer, case: Case) -> None:
    row = CODES[case.code or ""]
    assert answer.status == row["status"]
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert (error["code"], error["type"]) == (row["code"], row["type"])
    assert isinstance(error["message"], str)
    assert error["message"]
    if case.param is not None:
        assert error["param"] == case.param


@pytest.mark.parametrize("case", [case for case in CASES if not case.drawn], ids=lambda case: case.name)
def test_the_doors_answer_alike(case: Case, executor_world: World) -> None:
    # A stream's cost is a forecast, which moves with the tokens that the call before taught.
    drawn = frozenset({"x-tradewind-cost-usd"} if b'"stream": true' in (case.bytes() or b"") else ())
    native, asgi = (http_calls.comparable(send(case, executor_world, door), drawn=drawn) for door in ("native", "asgi"))
    assert asgi == native


@pytest.mark.parametrize("case", [case for case in CALLS if case.status == 200], ids=lambda case: case.name)
def test_an_answer_says_how_it_came_about(case: Case, executor_world: World, door: str) -> None:
    headers = send(case, executor_world, door).headers
    assert all(headers.get(name) for name in DECISION_HEADERS)
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", headers["x-tradewind-decision"])
    assert re.fullmatch(r"\d+\.\d{9}", headers["x-tradewind-cost-usd"])
    assert int(headers["x-tradewind-decide-us"]) < 1_000_000


def test_metrics_have_the_same_families_through_both_doors(executor_world: World) -> None:
    def families(door: str) -> tuple[str, list[str]]:
        answer = http_calls.call(executor_world.doors("usual").url(door), "GET", "/metrics", {}, None)
        lines = answer.body.decode().splitlines()
        return answer.headers["content-type"], [line for line in lines if line.startswith("# TYPE")]

    assert families("native") == families("asgi")
    assert families("native")[1]


def test_bodies_go_both_ways_byte_for_byte_but_for_the_models_name(executor_world: World, door: str) -> None:
    message = b'{"content":"h\\u00e9 \xf0\x9f\x98\x80","role":"user"}'
    sent = b'{ "messages":[' + message + b'],\n"x":[1e5,{}], "model" : "to-odd","temperature":0.10 }'
    url = executor_world.doors("usual").url(door)
    answer = http_calls.call(url, "POST", "/v1/chat/completions", {}, sent)
    assert answer.body == ODD
    assert executor_world.upstream.bodies[-1] == sent.replace(b'"to-odd"', b'"odd"')


def test_usage_that_only_we_asked_for_is_taken_out_again(executor_world: World, door: str) -> None:
    url = executor_world.doors("usual").url(door)
    events = http_calls.call(url, "POST", "/v1/chat/completions", {}, json.dumps(ask("medium", stream=True)).encode()).events()
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert all(chunk["choices"] and chunk.get("usage") is None for chunk in chunks)


def test_every_strategy_policy_and_error_is_shown() -> None:
    tables = core.tables()
    assert sorted(STRATEGIES) == sorted(row["name"] for row in tables["strategies"])
    shown = {part.removeprefix("removed by ") for case in REFUSED_BY_POLICY for part in case.contains}
    in_states = {"health", "concurrency"}
    assert shown | in_states == {row["name"] for row in tables["policies"]}
    assert {case.code for case in CASES if case.code} | set(ELSEWHERE) == set(CODES)
