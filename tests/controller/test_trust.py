"""The renewal of the authority: three steps, none of which a session that is served may miss, and none that waits for ever."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tradewind.controller.kube import Kube
from tradewind.controller.trust import CERT, NEXT_CERT, OLD_CERT, PATIENCE_LOOKS, ROOT_DAYS, Authority, Patience, Trust

LATE = datetime.now(UTC) + timedelta(days=ROOT_DAYS)
"""When a renewal of an authority that is made now is due."""


@dataclass
class Secrets:
    """An API server with one Secret."""

    body: dict[str, Any] | None = None
    version: int = field(default=0)

    async def get(self, _path: str) -> dict[str, Any] | None:
        return self.body

    async def request(self, method: str, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert method in ("POST", "PUT")
        assert body["metadata"].get("resourceVersion", "0") == str(self.version)
        self.version += 1
        self.body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.body


@pytest.fixture
def trust() -> Trust:
    return Trust(cast("Kube", Secrets()), "tradewind-system", "tradewind-ca", "tradewind-trust")


def look(trust: Trust, patience: Patience, trusted: Mapping[str, str | None]) -> tuple[Authority, Patience]:
    """One look of the leader, a year before the end of the root."""

    async def looked() -> tuple[Authority, Patience]:
        authority = await trust.authority()
        seen = patience.look(authority, trusted)
        return await trust.advance(authority, seen, LATE), seen

    return asyncio.run(looked())


def steps(authority: Authority) -> set[str]:
    return {name for name in (CERT, NEXT_CERT, OLD_CERT) if name in authority.parts}


def test_a_renewal_goes_on_when_everybody_has_the_bundle(trust: Trust) -> None:
    first, patience = look(trust, Patience(), {"a": None})
    assert steps(first) == {CERT, NEXT_CERT}
    held, patience = look(trust, patience, {"a": first.digest, "b": "sha256:another"})
    assert held.parts == first.parts
    second, patience = look(trust, patience, {"a": first.digest, "b": first.digest})
    assert steps(second) == {CERT, OLD_CERT}
    assert second.parts[CERT] == first.parts[NEXT_CERT]
    # The bundle is the same two roots in another order, and so another digest.
    third, _ = look(trust, patience, {"a": second.digest, "b": second.digest})
    assert steps(third) == {CERT}


def test_a_session_that_does_not_take_the_bundle_holds_a_step_up_for_some_looks(trust: Trust) -> None:
    found, patience = look(trust, Patience(), {})
    first, given_up = found, list[str]()
    for _ in range(PATIENCE_LOOKS):
        found, patience = look(trust, patience, {"broken": "sha256:old", "good": first.digest})
        assert found.parts == first.parts
        given_up += patience.given_up
    assert given_up == []
    found, patience = look(trust, patience, {"broken": "sha256:old", "good": first.digest})
    assert (steps(found), patience.given_up) == ({CERT, OLD_CERT}, ["broken"])
    # The next step waits again: it may have been late.
    held, patience = look(trust, patience, {"broken": "sha256:old", "good": found.digest})
    assert held.parts == found.parts


def test_a_session_that_comes_late_is_waited_for_from_its_first_look(trust: Trust) -> None:
    first, patience = look(trust, Patience(), {})
    for _ in range(PATIENCE_LOOKS):
        _, patience = look(trust, patience, {"broken": None})
    found, patience = look(trust, patience, {"broken": None, "late": None})
    assert (found.parts, patience.given_up) == (first.parts, ["broken"])
    found, patience = look(trust, patience, {"broken": None, "late": first.digest})
    assert (steps(found), patience.given_up) == ({CERT, OLD_CERT}, [])


def test_sessions_without_the_bundle_do_not_matter_while_nothing_is_renewed() -> None:
    body = {name: base64.b64decode(b"") for name in (CERT,)}
    assert Patience().look(Authority("1", body), {"a": "sha256:old"}) == Patience()
