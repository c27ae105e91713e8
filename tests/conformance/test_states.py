"""What takes more than one request to show: rest after a failure, full models, shutdown, an absent body."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import http_calls
from cases import CHAT, ask
from http_calls import Answer
from world import World

import doors
import routing
import scripted
from tradewind.artifacts import outcome, plan, predictor
from tradewind.artifacts.outcome import Outcome


def post(url: str, model: str, **more: object) -> Answer:
    return http_calls.call(url, "POST", CHAT, {}, json.dumps(ask(model, **more)).encode())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def test_a_model_rests_after_a_failure(executor_world: World, door: str) -> None:
    with executor_world.another(rest_ms=60_000, max_rest_ms=60_000) as opened:
        url = opened.url(door)
        assert code(post(url, "to-fails")) == (502, "upstream_status")
        second = post(url, "to-fails")
        assert code(second) == (503, "all_resting")
        assert "health" in second.json()["error"]["message"]
        assert 50 <= int(second.headers["retry-after"]) <= 60


def test_without_keys_a_page_of_another_host_is_not_served(executor_world: World, door: str) -> None:
    with executor_world.another() as opened:
        body = json.dumps(ask("auto")).encode()
        local, foreign = (
            http_calls.call(opened.url(door), "POST", CHAT, {"origin": origin}, body)
            for origin in ("http://localhost:4001", "https://example.com")
        )
        assert local.status == 200
        assert code(foreign) == (403, "forbidden")


def test_a_full_model_is_passed_by(graph: bytes, door: str) -> None:
    held = scripted.Held()
    with scripted.Scripted({"held": held}) as upstream:
        limits = plan.Limits(context_tokens=1000, output_tokens=1000, concurrent_requests=1)
        model = routing.model("held", upstream.url, limits=limits)
        routes = (routing.route("auto", predictor.digest_of(graph), [model], "best"),)
        source = routing.source([model], routes).to_json()
        with (
            doors.opened(source, [graph]) as opened,
            closing(begin(opened.url(door), ask(stream=True))) as stream,
        ):
            assert held.chunk in received(stream, held.chunk)
            answer = post(opened.url(door), "auto")
            assert code(answer) == (503, "all_resting")
            assert "concurrency" in answer.json()["error"]["message"]
        assert held.left.wait(10)


def test_a_body_that_does_not_come_is_not_waited_for(executor_world: World, door: str) -> None:
    with executor_world.another(body_read_timeout_ms=50) as opened:
        parts = urlsplit(opened.url(door))
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{".encode())
            answer = received(connection, b"}}")
    assert answer.startswith(b"HTTP/1.1 408 ")
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert json.loads(body)["error"] == {
        "message": "the body was not complete after 50 ms",
        "type": "invalid_request_error",
        "param": None,
        "code": "request_timeout",
    }


def test_a_gateway_that_shuts_down_takes_no_new_call(executor_world: World, door: str) -> None:
    with executor_world.another() as opened:
        body = json.dumps(ask()).encode()
        # The head comes before the shutdown, the body after it: the one way to reach a closed listener.
        connection = begin_head(opened.url(door), len(body), expect=True)
        assert received(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        drained = threading.Thread(target=opened.gateway.drain)
        drained.start()
        while http_calls.call(opened.asgi, "GET", "/readyz", {}, None).status != 503:
            pass
        connection.sendall(body)
        answer = received(connection, b"}}")
        connection.close()
        drained.join()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"draining"' in answer


def test_calls_that_are_cut_at_the_end_of_a_drain_say_so_in_their_outcomes(graph: bytes, door: str, tmp_path: Path) -> None:
    silent, held = scripted.Silent(), scripted.Held()
    with scripted.Scripted({"silent": silent, "held": held}) as upstream:
        models = [routing.model(name, upstream.url) for name in ("silent", "held")]
        routes = tuple(routing.route(found.upstream.model, predictor.digest_of(graph), [found], "best") for found in models)
        source = routing.source(models, routes).to_json()
        with (
            doors.opened(source, [graph], {"drain_s": 0, "ledger_dir": str(tmp_path)}) as opened,
            closing(begin(opened.url(door), ask("silent"))),
            closing(begin(opened.url(door), ask("held", stream=True))) as stream,
        ):
            assert held.chunk in received(stream, held.chunk)
            assert silent.reached.wait(10)
            assert not opened.gateway.drain()
            assert held.left.wait(10)
            assert silent.left.wait(10)
    found = [line.document for line in outcome.read(tmp_path) if isinstance(line, Outcome)]
    assert [(line["error"], line["attempts"][0]["error"]) for line in found] == [("drain_timeout", "drain_timeout")] * 2
    assert {line["answered_by"] for line in found} == {None, "default/chat/held"}


def test_a_broken_plan_is_refused_and_the_old_one_kept(executor_world: World, door: str) -> None:
    with executor_world.another() as opened:
        before = http_calls.call(opened.url(door), "GET", "/plan", {}, None).json()
        opened.gateway.refuse([{"code": "unreadable", "file": "a.yaml", "line": 3, "message": "no"}], source="a.yaml")
        after = http_calls.call(opened.url(door), "GET", "/plan", {}, None).json()
        assert (before["refusal"], after["plan"]) == (None, before["plan"])
        assert after["refusal"]["problems"][0]["line"] == 3
        assert post(opened.url(door), "medium").status == 200


def begin(url: str, body: object) -> socket.socket:
    """Sends a whole request; the answer is the caller's to read."""
    sent = json.dumps(body).encode()
    connection = begin_head(url, len(sent))
    connection.sendall(sent)
    return connection


def begin_head(url: str, length: int, *, expect: bool = False) -> socket.socket:
    """Sends a request's head; who expects it is told when the body is waited for."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n"
    connection.sendall((head + ("expect: 100-continue\r\n" if expect else "") + "\r\n").encode())
    return connection


def received(connection: socket.socket, until: bytes) -> bytes:
    """What comes, up to and with these bytes, or to the end."""
    found = b""
    while until not in found and (more := connection.recv(65536)):
        found += more
    return found
