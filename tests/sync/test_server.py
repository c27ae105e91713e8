"""The controller's end of the channel, as Python holds it: callbacks, TLS with a certificate that is replaced."""

from __future__ import annotations

import json
import queue
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tradewind import core
from tradewind.errors import TradewindError

SETTINGS = {"gateway_accounts": ["system/gateway"], "park_s": 0.2, "silence_s": 5}
EMPTY = {"schema": 3, "version": "0.1.0"}


@dataclass
class Place:
    """A server and what its callbacks saw."""

    server: core.SyncServer
    address: str
    changed: queue.Queue[None]
    tokens: list[str]

    def sessions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.server.sessions())
        return found

    def poll(self, token: str, body: dict[str, Any] | None = None, scheme: str = "http", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(timeout=10, **more) as client:
            return client.post(f"{scheme}://{self.address}/v1/sync", json=body or EMPTY, headers=headers)


@contextmanager
def started(certificate: tuple[bytes, bytes] | None = None) -> Iterator[Place]:
    changed: queue.Queue[None] = queue.Queue()
    tokens: list[str] = []

    def identify(token: str) -> bytes:
        tokens.append(token)
        if token == "bad":
            raise ValueError(token)
        if token == "broken":
            raise RuntimeError(token)
        who = {"namespace": "system", "service_account": "gateway", "pod": token, "pod_uid": f"uid-{token}", "node": "n"}
        return json.dumps(who).encode()

    server = core.SyncServer(json.dumps(SETTINGS).encode(), identify, lambda: changed.put(None))
    if certificate is not None:
        server.set_certificate(*certificate)
    try:
        yield Place(server, server.listen(), changed, tokens)
    finally:
        server.stop()


def test_a_session_is_told_and_read() -> None:
    with started() as place:
        assert place.poll("g0").status_code == 204
        place.changed.get(timeout=5)
        (session,) = place.sessions()
        assert (session["pod"], session["role"], session["parked"]) == ("g0", "gateway", False)
        assert json.loads(place.server.counters())["polls"] == 1


def test_an_offer_is_expected_as_soon_as_it_is_made() -> None:
    with started() as place:
        # Not parked by now: no poll of it could note the offer.
        assert place.poll("g0").status_code == 204
        plan = json.dumps({"schema": "tradewind.plan/v3", "profiles": {}, "models": [], "routes": []}).encode()
        offered = place.server.offer("uid-g0", "l", 7, plan)
        (session,) = place.sessions()
        assert session["expected"] == {"lineage": "l", "serial": 7, "plan": offered}


def test_a_serial_that_no_controller_gives_is_refused() -> None:
    with started() as place:
        assert place.poll("g0", {**EMPTY, "lineage": "l", "serial": 2**64 - 2}).status_code == 400
        assert place.sessions() == []
        assert json.loads(place.server.counters())["refused"] == {"invalid_serial": 1}


def test_predictors_that_nothing_names_are_forgotten() -> None:
    with started() as place:
        kept, forgotten = place.server.add_predictor(b"one"), place.server.add_predictor(b"two")
        place.server.keep_predictors((kept,))
        headers = {"authorization": "Bearer g0"}
        found = [
            httpx.get(f"http://{place.address}/v1/predictors/{digest}", headers=headers).status_code
            for digest in (kept, forgotten)
        ]
        assert found == [200, 404]


def test_a_value_error_is_401_and_anything_else_503() -> None:
    with started() as place:
        assert [place.poll(token).status_code for token in ("bad", "bad", "broken", "broken")] == [401, 401, 503, 503]
        assert place.tokens == ["bad", "broken", "broken"]


def test_a_certificate_is_replaced_without_a_restart() -> None:
    authority, key = core.make_ca("test", 1)
    other, other_key = core.make_ca("other", 1)
    with started(core.issue_certificate(authority, key, ["localhost", "127.0.0.1"], 1)) as place:

        def poll(trusted: bytes) -> int:
            context = ssl.create_default_context(cadata=trusted.decode())
            return place.poll("g0", scheme="https", verify=context).status_code

        assert poll(authority) == 204
        with pytest.raises(httpx.ConnectError):
            poll(other)
        place.server.set_certificate(*core.issue_certificate(other, other_key, ["127.0.0.1"], 1))
        assert poll(other) == 204


def test_what_cannot_be_used_is_refused_without_being_repeated() -> None:
    with started() as place:
        for call in (
            lambda: place.server.publish("l", 1, b"{"),
            lambda: place.server.offer("nobody", "l", 1, b"{}"),
            lambda: place.server.set_keys(b'{"callers": "sk-secret"}'),
            lambda: place.server.set_certificate(b"", b"sk-secret"),
            lambda: place.server.set_trust(b""),
            lambda: core.issue_certificate(b"", b"sk-secret", ["x"], 1),
            lambda: core.SyncServer(b'{"park_s": 60}', lambda _: b"", lambda: None),
            lambda: core.SyncServer(b'{"hop_url": "http://gateway/v1"}', lambda _: b"", lambda: None),
        ):
            with pytest.raises(TradewindError) as raised:
                call()
            assert "sk-secret" not in str(raised.value)
