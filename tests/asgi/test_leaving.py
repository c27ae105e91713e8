"""Clients that leave, read slowly, or come in numbers; and the interpreter, which none may hold up."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import doors
import scripted
from doors import Gateways
from tradewind import asgi, core
from tradewind.artifacts import outcome
from tradewind.artifacts.outcome import Outcome

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}


def begin(url: str, body: object) -> socket.socket:
    """Sends a call; the answer is the caller's to read."""
    parts, sent = urlsplit(url), json.dumps(body).encode()
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(sent)}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_a_client_that_leaves_a_stream_cancels_the_upstream_call(gateway_to: Gateways) -> None:
    held = scripted.Held()
    with (
        scripted.Scripted({"m": held}) as upstream,
        doors.served(asgi.create_app(gateway_to(upstream.url))) as url,
    ):
        connection = begin(url, {**BODY, "stream": True})
        while held.chunk not in connection.recv(65536):
            pass
        assert not held.left.is_set()
        connection.close()
        assert held.left.wait(10)


def test_a_client_that_leaves_before_the_first_byte_cancels_the_upstream_call(gateway_to: Gateways) -> None:
    silent = scripted.Silent()
    with (
        scripted.Scripted({"m": silent}) as upstream,
        doors.served(asgi.create_app(gateway_to(upstream.url))) as url,
    ):
        connection = begin(url, BODY)
        assert silent.reached.wait(10)
        assert not silent.left.is_set()
        connection.close()
        assert silent.left.wait(10)


def test_a_client_that_leaves_is_an_outcome(gateway_to: Gateways, tmp_path: Path) -> None:
    held = scripted.Held()
    with scripted.Scripted({"m": held}) as upstream:
        gateway = gateway_to(upstream.url, ledger_dir=str(tmp_path))
        with doors.served(asgi.create_app(gateway)) as url:
            connection = begin(url, {**BODY, "stream": True})
            while held.chunk not in connection.recv(65536):
                pass
            connection.close()
            assert held.left.wait(10)
        gateway.drain()
    [found] = outcome.read(tmp_path)
    assert isinstance(found, Outcome)
    assert found.document["error"] == "client_gone"


def test_a_client_that_does_not_read_holds_back_the_upstream(gateway_to: Gateways) -> None:
    """Or else a slow reader's answer would pile up in our memory."""
    chunk = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 60_000}}]}).encode() + b"\n\n"
    framed = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    blocked = threading.Event()

    def flood(connection: scripted.Connection) -> None:
        connection.connection.settimeout(1)
        connection.wfile.write(scripted.begun())
        try:
            for _ in range(2000):
                connection.wfile.write(framed)
        except TimeoutError:
            blocked.set()

    with (
        scripted.Scripted({"m": flood}) as upstream,
        doors.served(asgi.create_app(gateway_to(upstream.url))) as url,
    ):
        connection = begin(url, {**BODY, "stream": True})
        # 120 MB are on offer; the kernel's buffers and ours take a few.
        assert blocked.wait(20)
        connection.close()


def test_two_hundred_streams_at_once_arrive_whole(gateway_to: Gateways) -> None:
    async def ask(client: httpx.AsyncClient, number: int) -> tuple[str, str]:
        messages = [{"role": "user", "content": f"Question {number}?"}]
        body = {"model": "auto", "messages": messages}
        streamed = (await client.post("/v1/chat/completions", json={**body, "stream": True})).text
        events = [json.loads(part[6:]) for part in streamed.split("\n\n")[:-2]]
        whole = (await client.post("/v1/chat/completions", json=body)).json()
        return "".join(event["choices"][0]["delta"].get("content", "") for event in events), whole["choices"][0]["message"][
            "content"
        ]

    async def all_of_them(url: str) -> list[tuple[str, str]]:
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=100)) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    with core.Simulator(models="m:1:1") as simulator:
        with doors.served(asgi.create_app(gateway_to(f"{simulator.url}/v1"))) as url:
            answers = asyncio.run(all_of_them(url))
        totals = simulator.totals()
    assert all(streamed == whole for streamed, whole in answers)
    assert (totals["answers"], totals["in_flight"]) == (400, 0)


def test_waiting_for_an_upstream_leaves_the_event_loop_free(gateway_to: Gateways) -> None:
    silent = scripted.Silent()
    with (
        scripted.Scripted({"m": silent}) as upstream,
        doors.served(asgi.create_app(gateway_to(upstream.url))) as url,
    ):
        connections = [begin(url, BODY) for _ in range(20)]
        assert silent.reached.wait(10)
        assert httpx.get(f"{url}/healthz", timeout=5).status_code == 200
        for connection in connections:
            connection.close()


def test_draining_blocks_without_the_interpreter_lock(gateway_to: Gateways) -> None:
    silent = scripted.Silent()
    with scripted.Scripted({"m": silent}) as upstream:
        gateway = gateway_to(upstream.url, drain_s=30)
        native = gateway.listen("127.0.0.1:0")
        connection = begin(f"http://{native}", BODY)
        assert silent.reached.wait(10)
        ended: list[bool] = []
        draining = threading.Thread(target=lambda: ended.append(gateway.drain()))
        draining.start()
        # Were the lock held, this thread could not close the connection that the other one waits for.
        connection.close()
        draining.join(20)
        assert ended == [True]


@pytest.mark.parametrize("executor", core.tables()["executors"])
def test_a_gateway_writes_nothing_into_the_home_folder(graph: bytes, executor: str, tmp_path: Path) -> None:
    """ONNX Runtime's wheels hold telemetry; naming the library switches it off, whoever starts us."""
    (tmp_path / "graph").mkdir()
    file = tmp_path / "graph" / "predictor.onnx"
    file.write_bytes(graph)
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import pathlib; from tradewind import core; "
        f"core.Gateway(None, [pathlib.Path({str(file)!r}).read_bytes()], "
        f"settings={{'executor': {executor!r}}}).drain()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.rglob("*")) == []
