"""The plan's ConfigMap: what is written is read again, and since when the plan carries what."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tradewind.controller import conditions, published
from tradewind.controller.kube import ApiError
from tradewind.controller.published import Draft, Overtaken, Place, PlanTooLarge, Published
from tradewind.controller.reconcile import Form
from tradewind.controller.store import Key

CHAT = Key("ModelPool", "a", "chat")
FORM = Form(CHAT, "u1", 1, "2026-01-01T00:00:00Z", b'{"models":[]}')


class Server:
    """One ConfigMap, with the API server's compare-and-swap."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0

    async def get(self, _: str) -> dict[str, Any] | None:
        return self.stored

    async def request(self, method: str, _: str, body: dict[str, Any]) -> dict[str, Any]:
        if method == "POST" and self.stored is not None:
            raise ApiError(409, "AlreadyExists", "it is there")
        known = self.stored["metadata"]["resourceVersion"] if self.stored is not None else ""
        if method == "PUT" and body["metadata"].get("resourceVersion") != known:
            raise ApiError(409, "Conflict", "it was written since")
        self.version += 1
        self.stored = {**body, "metadata": {**body["metadata"], "uid": "L", "resourceVersion": str(self.version)}}
        return self.stored


def place(server: Server) -> Place:
    return Place(server, "tw", "tradewind-plan")  # type: ignore[arg-type]


def write(server: Server, old: Published, serial: int, form: Form = FORM) -> Published:
    return asyncio.run(place(server).replace(old, serial, draft(form)))


def draft(form: Form = FORM, *, carried: bool = True, plan: bytes = b'{"plan":1}') -> Draft:
    return Draft(plan, "sha256:x", {form.key: form}, frozenset({form.key}) if carried else frozenset())


def test_what_is_written_is_read_again() -> None:
    server = Server()
    empty = asyncio.run(place(server).create())
    assert (empty.lineage, empty.serial, empty.plan) == ("L", 0, b"")
    new = write(server, empty, 1)
    assert asyncio.run(place(server).read()) == new
    assert new.kept == {CHAT: FORM}


def test_a_generation_keeps_the_serial_that_first_carried_it() -> None:
    server = Server()
    first = write(server, asyncio.run(place(server).create()), 1)
    second = write(server, first, 2)
    assert second.sources[CHAT].since == 1
    third = write(server, second, 3, replace(FORM, generation=2))
    assert third.sources[CHAT].since == 3
    anew = write(server, third, 4, replace(FORM, generation=2, uid="u2"))
    assert anew.sources[CHAT].since == 4


def test_what_left_the_plan_and_came_back_is_carried_since_it_came_back() -> None:
    server = Server()
    first = write(server, asyncio.run(place(server).create()), 1)
    gone = asyncio.run(place(server).replace(first, 2, draft(carried=False)))
    assert (gone.sources[CHAT].since, gone.carried, gone.kept) == (None, frozenset(), {CHAT: FORM})
    assert write(server, gone, 3).sources[CHAT].since == 3


def test_a_stale_write_is_refused_by_the_api_server() -> None:
    server = Server()
    first = write(server, asyncio.run(place(server).create()), 1)
    write(server, first, 2)
    with pytest.raises(Overtaken):
        write(server, first, 2)
    with pytest.raises(Overtaken):
        asyncio.run(place(server).create())


def test_a_plan_that_does_not_fit_is_not_written() -> None:
    server = Server()
    first = asyncio.run(place(server).create())
    noise = os.urandom(published.LARGEST)
    with pytest.raises(PlanTooLarge, match="one ConfigMap holds"):
        asyncio.run(place(server).replace(first, 1, draft(plan=noise)))
    assert server.version == 1


@pytest.mark.parametrize(
    "spoiled",
    [
        {"data": {"serial": "x"}},
        {"binaryData": {"plan.json.gz": "!!", "sources.json.gz": "aGVsbG8="}},
        {"binaryData": {"sources.json.gz": "H4sIAAAAAAAC"}},
    ],
)
def test_a_spoiled_config_map_counts_as_empty(spoiled: dict[str, Any]) -> None:
    found = published.decode({"metadata": {"uid": "L", "resourceVersion": "1"}, **spoiled})
    assert (found.serial, found.plan, dict(found.sources)) == (0, b"", {})


def test_the_page_of_conditions_is_the_code_s() -> None:
    assert (Path(__file__).parents[2] / "docs" / "conditions.md").read_text() == conditions.page()
