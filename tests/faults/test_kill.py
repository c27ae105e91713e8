"""SIGKILL of the preferred upstream with 64 calls in flight through each door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import accounts
import calls
import httpx
import processes
from calls import Kind, Seen
from processes import Gateway

import doors
import simulators
from simulators import Upstream

CALLS = 64
ANSWER = "".join(f" word{number}" for number in range(400))


async def all_of_them(
    gateway: Gateway,
    kinds: Sequence[Kind],
    in_flight: Callable[[], Awaitable[None]],
    progress: Callable[[int], None],
    dear: Upstream,
) -> list[Seen]:
    """Calls through both doors at once; the upstream is killed when they are in flight."""
    async with AsyncExitStack() as stack:
        clients = {door: await stack.enter_async_context(calls.client(gateway.url(door))) for door in doors.NAMES}
        tasks = [
            asyncio.create_task(calls.ask(client, f"{door} {number}", kinds[number % len(kinds)], progress))
            for number in range(CALLS)
            for door, client in clients.items()
        ]
        await in_flight()
        dear.kill()
        return await asyncio.gather(*tasks)


def test_every_call_without_a_first_byte_is_answered_by_another_model(tmp_path: Path, predictor_folder: Path) -> None:
    # No first token comes before the kill, however slow the machine is.
    with (
        simulators.upstreams(tmp_path, dear=("--first-token-ms", "10000"), spare=()) as (dear, spare),
        processes.gateway(tmp_path, predictor_folder, dear, spare) as gateway,
    ):

        async def reached() -> None:
            async with httpx.AsyncClient() as client:
                stats = dear.url.replace("/v1", "/_stats")
                while (await client.get(stats)).json()["requests"] < CALLS * len(doors.NAMES):
                    pass

        seen = asyncio.run(all_of_them(gateway, calls.KINDS, reached, calls.ignored, dear))
        outcomes = accounts.check(seen, gateway.stop(), [dear, spare])
    for call, outcome in zip(seen, outcomes, strict=True):
        assert (call.status, call.done, call.error) == (200, True, None), call.user
        told = [(attempt["model"], attempt["usage"], attempt["error"]) for attempt in outcome["attempts"]]
        assert told == [
            ("default/pool/dear", "estimated", "upstream_broken"),
            ("default/pool/spare", "reported", None),
        ], call.user


def test_every_started_stream_is_a_prefix_of_its_answer_and_then_an_error(tmp_path: Path, predictor_folder: Path) -> None:
    table = tmp_path / "answers.json"
    table.write_text(json.dumps({"contains": "story", "answer": ANSWER}))
    # Twenty seconds an answer: none is complete at the kill.
    slow = ("--token-rate", "20", "--answers", str(table))
    with (
        simulators.upstreams(tmp_path, dear=slow, spare=()) as (dear, spare),
        processes.gateway(tmp_path, predictor_folder, dear, spare) as gateway,
    ):

        async def story() -> list[Seen]:
            started = asyncio.Semaphore(0)

            def progress(events: int) -> None:
                if events == 5:
                    started.release()

            async def all_started() -> None:
                for _ in range(CALLS * len(doors.NAMES)):
                    await started.acquire()

            return await all_of_them(gateway, calls.KINDS[1:], all_started, progress, dear)

        seen = asyncio.run(story())
        outcomes = accounts.check(seen, gateway.stop(), [dear, spare])
    for call, outcome in zip(seen, outcomes, strict=True):
        assert (call.status, call.done, call.error) == (200, False, "upstream_broken"), call.user
        assert len(call.events) >= 6
        assert call.text
        assert ANSWER.startswith(call.text)
        assert (outcome["answered_by"], outcome["error"]) == ("default/pool/dear", "upstream_broken")
        assert [attempt["usage"] for attempt in outcome["attempts"]] == ["estimated"]
