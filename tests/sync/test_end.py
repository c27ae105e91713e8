"""Data planes of both kinds, fed by the same variables, that are told to end: no call is lost, health is told to the last."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from replica import Controller
from test_follow import BODY, KEY, keys, plan

import rust_gateway
from tradewind import core
from tradewind.artifacts import predictor

PYTHON = str(Path(sys.executable).parent / "tradewind")
RUST = str(rust_gateway.BINARY)
PROGRAMS = pytest.mark.parametrize(
    ("program", "door"), [(PYTHON, "native"), (PYTHON, "asgi"), (RUST, "native")], ids=["native", "asgi", "rust"]
)
CLIENTS = 6
CLOSED = 5
"""Answers with `connection: close` after which a client has seen enough."""


@pytest.fixture
def upstream() -> Iterator[core.Simulator]:
    with core.Simulator(models="m:0.05:0.20", api_key="sk-right") as simulator:
        yield simulator


@contextmanager
def followed(
    folder: Path, predictor_folder: Path, program: str, upstream: core.Simulator, **settings: object
) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """A data plane that has started by its health listener, and its controller."""
    (folder / "token").write_text("system.gateway.g0\n")
    with Controller() as controller:
        settings = {
            "controllers": controller.url,
            "controller_token": folder / "token",
            "allow_upstreams": "127.0.0.0/8",
            "health_listen": "127.0.0.1:0",
            "port": 0,
            "workers": 2,
            "ledger_dir": folder / "ledger",
            **({"asgi_port": 0} if program == PYTHON else {}),
            **settings,
        }
        environment = rust_gateway.environment(**settings)
        command = [program, "serve", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            try:
                urls = json.loads(process.stdout.readline())
                assert httpx.get(f"{urls['health']}/startupz").json()["error"]["code"] == "no_plan"
                controller.call("add_predictor", predictor.read(predictor_folder).graph)
                controller.call("publish", "l", 1, plan(upstream.url, 0, predictor_folder))
                controller.call("set_keys", keys("sk-right"))
                controller.until(lambda: httpx.get(f"{urls['health']}/startupz").status_code == 200)
                controller.until(lambda: isinstance(controller.session("g0").get("keys"), str))
                yield urls, process
            finally:
                process.kill()


class Client(threading.Thread):
    """Calls over kept connections until it has been told to close several, or a call fails."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.statuses: list[int] = []
        self.closed = 0
        self.failure = ""
        self._url = f"{url}/v1/chat/completions"

    def run(self) -> None:
        """Until enough."""
        with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=10) as client:
            while self.closed < CLOSED and not self.failure:
                try:
                    answer = client.post(self._url, json=BODY)
                except httpx.TransportError as error:
                    self.failure = repr(error)
                    continue
                self.statuses.append(answer.status_code)
                self.closed += answer.headers.get("connection") == "close"
                self.begun.set()


@PROGRAMS
def test_a_data_plane_that_lingers_loses_no_call(
    tmp_path: Path, predictor_folder: Path, upstream: core.Simulator, program: str, door: str
) -> None:
    with followed(tmp_path, predictor_folder, program, upstream, linger_s=2) as (urls, process):
        clients = [Client(urls[door]) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        assert all(client.begun.wait(10) for client in clients)
        process.terminate()
        for client in clients:
            client.join()
        assert httpx.get(f"{urls['health']}/readyz").json()["error"]["code"] == "draining"
        assert httpx.get(f"{urls['health']}/healthz").status_code == 200
        assert process.wait(20) == 0
    assert [client.failure for client in clients] == [""] * CLIENTS
    assert {status for client in clients for status in client.statuses} == {200}
    assert all(len(client.statuses) > client.closed for client in clients)


@pytest.mark.parametrize("program", [PYTHON, RUST], ids=["python", "rust"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, predictor_folder: Path, upstream: core.Simulator, program: str, second: signal.Signals
) -> None:
    with followed(tmp_path, predictor_folder, program, upstream, linger_s=600) as (urls, process):
        process.terminate()
        while httpx.get(f"{urls['health']}/readyz").status_code == 200:
            pass
        process.send_signal(second)
        assert process.wait(5) in (-second, 128 + second)
