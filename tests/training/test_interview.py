"""Asking a model: again where that helps, never twice for the same, never beyond the budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tradewind.artifacts import predictor
from tradewind.errors import UpstreamConnect, UpstreamInvalid, UpstreamRejected, UpstreamStatus, UsageError
from tradewind.training import interview, profiling
from tradewind.training.anchors import Anchor
from tradewind.training.interview import Interviewed, Means, Party, Terms
from tradewind.training.prices import Price
from tradewind.training.transcript import Transcript
from tradewind.training.upstream import ATTEMPTS, Budget, Client, Reply, Spent, Target

ANCHORS = [Anchor(f"a{n}", f"What is {n} + {n}?", "numeric", 2 * n, domain="sums") for n in range(12)]
OPEN = [Anchor(f"o{n}", f"Tell me about {n}.", "open", domain="talk") for n in range(4)]
TARGET = Target("http://model.test/v1", "m", key="k", max_tokens=100)

Handler = Callable[[httpx.Request], httpx.Response]
AsyncHandler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def completion(text: str, finish: str = "stop", tokens: int = 7) -> httpx.Response:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return httpx.Response(200, json={"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": tokens}})


def prompt(request: httpx.Request) -> str:
    content: str = json.loads(request.content)["messages"][-1]["content"]
    return content


def solve(request: httpx.Request) -> httpx.Response:
    asked = prompt(request)
    return completion(f"Answer: {eval(asked.split('is ')[1].rstrip('?'))}" if "What is" in asked else "Well …")


def ask(handler: Handler, budget: Budget | None = None, target: Target = TARGET) -> tuple[Reply, list[float]]:
    """One answer, and how long was waited between attempts."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async def one() -> Reply:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as http:
            return await Client(target, budget or Budget(), http, wait).ask("Hi", "Be short.")

    return asyncio.run(one()), waited


def hold(handler: Handler | AsyncHandler, file: Path, **more: Any) -> Interviewed:
    async def wait(_seconds: float) -> None:
        return

    asked = more.pop("anchors", ANCHORS)
    terms = Terms(**{"party": Party(TARGET), "concurrency": 3, **more})
    return interview.hold(asked, Transcript(file, "m"), terms, means=Means(httpx.MockTransport(handler), wait))


def failing(*statuses: int, **headers: str) -> Handler:
    """These statuses one after the other, then an answer."""
    left = list(statuses)
    return lambda _: httpx.Response(left.pop(0), headers=headers, text="no") if left else completion("Answer: 1")


def test_a_call_carries_key_model_and_parameters() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return completion("Hello", finish="length")

    reply, _ = ask(handler)
    assert reply == Reply("Hello", "length", 20, 7)
    assert str(seen[0].url) == "http://model.test/v1/chat/completions"
    assert seen[0].headers["authorization"] == "Bearer k"
    assert json.loads(seen[0].content) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}],
        "temperature": 0,
        "max_tokens": 100,
    }


def test_it_is_asked_again_after_longer_and_longer_waits() -> None:
    assert ask(failing(500, 503, 429))[1] == [0.5, 1.0, 2.0]


def test_the_upstream_may_say_how_long_to_wait() -> None:
    assert ask(failing(429, 429, **{"retry-after": "7"}))[1] == [7.0, 7.0]
    assert ask(failing(429, **{"retry-after": "86400"}))[1] == [60.0]
    assert ask(failing(429, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}))[1] == [0.5]


def test_it_is_not_asked_for_ever() -> None:
    with pytest.raises(UpstreamStatus, match="answered 503"):
        ask(failing(*[503] * ATTEMPTS))
    assert len(ask(failing(*[503] * (ATTEMPTS - 1)))[1]) == ATTEMPTS - 1


def test_a_connection_that_fails_is_tried_again() -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(UpstreamConnect, match="cannot be reached: ConnectError refused"):
        ask(handler)


@pytest.mark.parametrize(
    ("status", "error"), [(400, UpstreamStatus), (401, UpstreamRejected), (404, UpstreamRejected), (422, UpstreamStatus)]
)
def test_what_cannot_succeed_is_not_tried_again(status: int, error: type[Exception]) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(status)

    with pytest.raises(error):
        ask(handler)
    assert len(calls) == 1


def test_parameters_that_a_reasoning_model_refuses_go() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "max_tokens" in body:
            return httpx.Response(400, text="Unsupported parameter: use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return httpx.Response(400, text="Unsupported value: 'temperature' does not support 0.")
        return completion(str(body["max_completion_tokens"]))

    assert ask(handler)[0].text == "100"


def test_calls_under_way_while_a_parameter_goes_are_asked_again(tmp_path: Path) -> None:
    everyone = asyncio.Barrier(3)

    async def handler(request: httpx.Request) -> httpx.Response:
        if "max_tokens" in json.loads(request.content):
            await everyone.wait()
            return httpx.Response(400, text="Unsupported parameter: use 'max_completion_tokens' instead.")
        return solve(request)

    assert hold(handler, tmp_path / "answers.jsonl", anchors=ANCHORS[:3]).missing == {}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[1]"])
def test_what_is_no_completion_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid, match="no chat completion"):
        ask(lambda _: httpx.Response(200, content=body))


def test_without_usage_tokens_are_estimated() -> None:
    reply, _ = ask(lambda _: httpx.Response(200, json={"choices": [{"message": {"content": "x" * 400}}]}))
    assert reply.output_tokens == 100


def test_a_call_that_could_exceed_the_budget_is_not_made() -> None:
    dear = Price(0.0, 1e6)
    with pytest.raises(Spent):
        ask(solve, Budget(dear, max_usd=99.0))
    budget = Budget(dear, max_usd=100.0)
    ask(lambda _: completion("x"), budget)
    assert budget.spent_usd == pytest.approx(7.0)


def test_answers_are_scored_and_not_asked_for_again(tmp_path: Path) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(prompt(request))
        return solve(request) if "5 + 5" not in calls[-1] else completion("Answer: 7", finish="length")

    first = hold(handler, tmp_path / "answers.jsonl", anchors=ANCHORS[:8])
    assert first.answered.score.tolist() == [1.0] * 5 + [0.0] + [1.0] * 2
    assert (first.cut_off, first.missing, first.answered.domains) == (1, {}, ("sums",) * 8)
    second = hold(handler, tmp_path / "answers.jsonl")
    assert sorted(calls) == sorted(anchor.text for anchor in ANCHORS)
    assert len(second.answered) == len(ANCHORS)


def test_the_folder_of_the_answers_is_made_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "answers.jsonl"
    assert hold(solve, file).missing == {}
    assert len(file.read_text().splitlines()) == len(ANCHORS)


def test_a_line_that_a_kill_cut_off_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    hold(solve, file)
    file.write_bytes(file.read_bytes()[:-20])
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(prompt(request))
        return solve(request)

    assert hold(handler, file).answered.score.tolist() == [1.0] * 12
    assert len(calls) == 1
    assert len(file.read_text().splitlines()) == 12


def test_an_anchor_that_has_changed_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    hold(solve, file, anchors=ANCHORS[:3])
    changed = [Anchor("a0", "What is 20 + 20?", "numeric", 40, domain="sums"), *ANCHORS[1:3]]
    assert hold(solve, file, anchors=changed).answered.score.tolist() == [1.0, 1.0, 1.0]
    assert len(file.read_text().splitlines()) == 4


def test_answers_of_another_model_and_torn_lines_within_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    hold(solve, file)
    with pytest.raises(UsageError, match="is an answer of `m`, not of `other`"):
        Transcript(file, "other")
    file.write_text("{\n" + file.read_text())
    with pytest.raises(UsageError, match=r"answers.jsonl:1 is no line of answers"):
        Transcript(file, "m")


def test_what_was_not_answered_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, text="filtered") if "3 + 3" in prompt(request) else solve(request)

    held = hold(handler, tmp_path / "answers.jsonl")
    assert list(held.missing) == ["a3"]
    assert "filtered" in held.missing["a3"]
    assert len(held.answered) == 11


def test_a_key_that_is_refused_ends_everything_at_once(tmp_path: Path) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(401, text="bad key")

    with pytest.raises(UpstreamRejected, match="bad key"):
        hold(handler, tmp_path / "answers.jsonl")
    assert len(calls) <= 3


def test_asking_ends_before_the_budget_does(tmp_path: Path) -> None:
    party = Party(TARGET, Price(0.0, 1e6))  # at most $100 a call, $7 in fact
    held = hold(solve, tmp_path / "answers.jsonl", party=party, max_usd=130.0, concurrency=1)
    assert held.spent_usd == pytest.approx(35.0)  # a sixth call could have cost $135 in all
    assert len(held.answered) == 5
    assert set(held.missing.values()) == {"the budget was spent"}


def test_a_judge_scores_open_answers_once(tmp_path: Path) -> None:
    calls = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "model.test":
            return completion("Well …")
        calls.append(prompt(request))
        assert "<question>\nTell me about" in calls[-1]
        assert "<answer>\nWell …\n</answer>" in calls[-1]
        return completion("Hm." if "about 3" in calls[-1] else "Verdict: 10")

    judge = Party(Target("http://judge.test/v1", "j"))
    held = hold(handler, tmp_path / "answers.jsonl", anchors=OPEN, judge=judge)
    assert held.answered.score.tolist() == [1.0] * 3
    assert "neither 1 to 10" in held.missing["o3"]
    hold(handler, tmp_path / "answers.jsonl", anchors=OPEN, judge=judge)
    assert len(calls) == 5  # only the one without a verdict again


def test_the_estimate_counts_what_is_missing_and_bounds_the_cost(tmp_path: Path, predictor_folder: Path) -> None:
    frozen = profiling.freeze(predictor.read(predictor_folder))
    file = tmp_path / "answers.jsonl"
    party = Party(TARGET, Price(1.0, 10.0))
    whole = interview.estimate(frozen, ANCHORS, Transcript(file, "m"), Terms(party))
    assert (whole.calls, whole.most_output_tokens) == (12, 1200)
    assert whole.usd is not None
    assert whole.most_usd is not None
    assert whole.usd == pytest.approx((whole.input_tokens + 10 * whole.output_tokens) / 1e6)
    assert "about $0.0" in str(whole)
    hold(solve, file, anchors=ANCHORS[:9])
    assert interview.estimate(frozen, ANCHORS, Transcript(file, "m"), Terms(party)).calls == 3
    assert "nothing is said of dollars" in str(interview.estimate(frozen, ANCHORS, Transcript(file, "m"), Terms(Party(TARGET))))
