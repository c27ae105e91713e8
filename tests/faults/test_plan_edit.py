"""The resources are edited while calls go on through both doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accounts
import calls
import httpx
import processes
from calls import KINDS, Seen
from processes import Gateway

import simulators

Document = dict[str, Any]


async def edited(client: httpx.AsyncClient, gateway: Gateway, text: str, awaited: Callable[[Document], bool]) -> Document:
    """Edits the resources once and waits until `/plan` says what is awaited."""
    processes.write(gateway.folder, text)
    while not awaited(told := (await client.get("/plan")).json()):
        pass
    return told


async def load(client: httpx.AsyncClient, name: str, stop: asyncio.Event) -> list[Seen]:
    """Calls one after the other."""
    seen: list[Seen] = []
    while not stop.is_set():
        seen.append(await calls.ask(client, f"{name} {len(seen)}", KINDS[len(seen) % len(KINDS)]))
    return seen


async def story(gateway: Gateway, new_text: str) -> tuple[str, str, list[list[Seen]]]:
    """Edits under load, the second one broken; gives the old plan, the new one, and the calls of each caller."""
    async with calls.client(gateway.url("native")) as native, calls.client(gateway.url("asgi")) as asgi:
        clients = {"native": native, "asgi": asgi}
        before = [await calls.ask(client, f"{door} before", "unary") for door, client in clients.items()]
        old = before[0].headers["x-tradewind-plan"]
        stop = asyncio.Event()
        callers = [
            asyncio.create_task(load(client, f"{door} {number}", stop))
            for door, client in clients.items()
            for number in range(2)
        ]
        new: str = (await edited(native, gateway, new_text, lambda told: told["plan"] != old))["plan"]
        await edited(native, gateway, new_text.replace("Best", "Bset"), lambda told: told["refusal"] is not None)
        for client in clients.values():
            told = (await client.get("/plan")).json()
            (problem,) = told["refusal"]["problems"]
            assert told["plan"] == new
            assert "`Bset`" in problem["message"]
            assert "`Best`" in problem["message"]
        after = [await calls.ask(client, f"{door} after", "unary") for door, client in clients.items()]
        assert {call.headers["x-tradewind-plan"] for call in after} == {new}
        stop.set()
        return old, new, [before, *await asyncio.gather(*callers), after]


def test_an_edit_under_load_fails_no_call_and_a_broken_one_changes_nothing(tmp_path: Path, predictor_folder: Path) -> None:
    with (
        simulators.upstreams(tmp_path, one=(), two=()) as (one, two),
        processes.gateway(tmp_path, predictor_folder, one, two) as gateway,
    ):
        old, new, callers = asyncio.run(story(gateway, processes.resources(two, one)))
        seen = [call for caller in callers for call in caller]
        outcomes = accounts.check(seen, gateway.stop(), [one, two])
    for caller in callers:
        renewed = [call.headers["x-tradewind-plan"] == new for call in caller]
        assert renewed == sorted(renewed), "no call goes back to the old plan"
    assert {call.headers["x-tradewind-plan"] for call in seen} == {old, new}
    for call, outcome in zip(seen, outcomes, strict=True):
        assert (call.status, call.done) == (200, True)
        assert outcome["plan"] == call.headers["x-tradewind-plan"]
        assert outcome["answered_by"] == ("default/pool/one" if outcome["plan"] == old else "default/pool/two")
