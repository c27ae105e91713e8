"""`tradewind serve --controllers` as a process, with controllers that are killed and data planes that are stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from replica import Controller

import routing
from tradewind import asgi, core, serving
from tradewind.artifacts import predictor
from tradewind.artifacts.plan import Limits
from tradewind.errors import UsageError
from tradewind.settings import Settings, from_environment

KEY = "tw-key"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def plan(url: str, number: int, predictor_folder: Path) -> bytes:
    """A plan of one model at an upstream; `number` only makes its id differ."""
    limits = Limits(context_tokens=100_000 + number, output_tokens=16_000)
    model = routing.model("m", f"{url}/v1", credential="default/secret/key", limits=limits)
    route = routing.route("auto", predictor.read(predictor_folder).digest, [model], "best")
    return routing.source([model], (route,)).to_json()


def keys(credential: str) -> bytes:
    caller = {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenant": "default", "name": "k", "labels": {}}
    return json.dumps({"callers": [caller], "credentials": {"default/secret/key": credential}}).encode()


@pytest.fixture
def upstream() -> Iterator[core.Simulator]:
    with core.Simulator(models="m:0.05:0.20", api_key="sk-right") as simulator:
        yield simulator


@contextmanager
def served(
    folder: Path, predictor_folder: Path, *urls: str, allowed: str = "127.0.0.0/8"
) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    (folder / "token").write_text("system.gateway.g0\n")
    flags = [
        "--controllers",
        ",".join(urls),
        "--controller-token",
        str(folder / "token"),
        "--plan-cache",
        str(folder / "plans"),
        "--allow-upstreams",
        allowed,
    ]
    flags += ["--port", "0", "--asgi-port", "0", "--workers", "1", "--drain-s", "2", "--ledger-dir", str(folder / "ledger")]
    command = [str(Path(sys.executable).parent / "tradewind"), "serve", "--json", *flags, "--predictor", str(predictor_folder)]
    environment = os.environ | {"TRADEWIND_PLAN_CACHE_AFTER_S": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, process.stderr and process.stderr.read()
            yield json.loads(line), process
        finally:
            process.kill()


def ask(url: str) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {KEY}"})


def test_both_doors_follow_a_controller_and_serve_on_when_it_is_killed(
    tmp_path: Path, predictor_folder: Path, upstream: core.Simulator
) -> None:
    with Controller() as controller:
        first = controller.call("publish", "l", 1, plan(upstream.url, 0, predictor_folder))
        controller.call("set_keys", keys("sk-right"))
        with served(tmp_path, predictor_folder, controller.url) as (urls, process):
            controller.until(lambda: controller.session("g0").get("plan") == first)
            controller.until(lambda: ask(urls["native"]).status_code == 200)
            assert ask(urls["asgi"]).status_code == 200
            second = controller.call("publish", "l", 2, plan(upstream.url, 1, predictor_folder))
            controller.until(lambda: controller.session("g0").get("serial") == 2)
            for url in urls["native"], urls["asgi"]:
                found = httpx.get(f"{url}/plan").json()
                assert (found["plan"], found["sync"]["serial"], found["sync"]["lineage"]) == (second, 2, "l")
            controller.end()
            assert ask(urls["native"]).status_code == 200
            process.terminate()
            assert process.wait(timeout=20) == 0
        kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        assert b"sk-right" not in kept
    with served(tmp_path, predictor_folder, controller.url) as (urls, _):
        # Nobody has given keys to this life, but the plan is there.
        assert httpx.get(f"{urls['native']}/plan").json()["plan"] == second
        ready = httpx.get(f"{urls['native']}/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "identity_unavailable")
        assert ask(urls["native"]).json()["error"]["code"] == "identity_unavailable"


def test_what_controllers_give_is_not_called_on_this_machine(
    tmp_path: Path, predictor_folder: Path, upstream: core.Simulator
) -> None:
    with Controller() as controller:
        controller.call("publish", "l", 1, plan(upstream.url, 0, predictor_folder))
        controller.call("set_keys", keys("sk-right"))
        with served(tmp_path, predictor_folder, controller.url, allowed="192.0.2.0/24,198.51.100.7") as (urls, _):
            # After a failure the model rests for a second.
            controller.until(lambda: "is at an address of a controller" in ask(urls["native"]).text)
            controller.until(lambda: "is at an address of a controller" in ask(urls["asgi"]).text)
    assert httpx.get(f"{upstream.url}/_stats").json()["requests"] == 0


def test_a_stopped_data_plane_keeps_its_serial_and_falls_silent(tmp_path: Path, predictor_folder: Path) -> None:
    with Controller({"park_s": 1, "silence_s": 2}) as controller:
        controller.call("publish", "l", 1, plan("http://127.0.0.1:9", 0, predictor_folder))
        with served(tmp_path, predictor_folder, controller.url) as (_, process):
            controller.until(lambda: controller.session("g0").get("serial") == 1)
            process.send_signal(signal.SIGSTOP)
            controller.until(lambda: "State:\tT" in Path(f"/proc/{process.pid}/status").read_text())
            controller.call("publish", "l", 2, plan("http://127.0.0.1:9", 1, predictor_folder))
            controller.until(lambda: controller.session("g0")["parked"] is False)
            session = controller.session("g0")
            assert (session["serial"], session["expected"]["serial"]) == (1, 2)
            controller.until(lambda: controller.call("sessions") == [], 5)
            process.send_signal(signal.SIGCONT)
            controller.until(lambda: controller.session("g0").get("serial") == 2)


def test_a_mounted_app_follows_controllers_until_it_is_closed(
    tmp_path: Path, predictor_folder: Path, upstream: core.Simulator
) -> None:
    (tmp_path / "token").write_text("system.gateway.g0")
    with Controller() as controller:
        controller.call("publish", "l", 1, plan(upstream.url, 0, predictor_folder))
        settings = Settings(controllers=(controller.url,), controller_token=tmp_path / "token", predictor=predictor_folder)
        fed = serving.start(settings)
        controller.until(lambda: controller.session("g0").get("serial") == 1)
        app = asgi.create_app(fed.gateway)
        assert app is not None
        stop = threading.Event()
        watch = threading.Thread(target=serving.watch, args=(fed, stop))
        watch.start()
        stop.set()
        watch.join()
        assert fed.gateway.drain()
        controller.until(lambda: json.loads(json.dumps(controller.call("counters")))["connections"] == 0)


def test_settings_name_controllers_from_flags_and_variables(tmp_path: Path) -> None:
    settings = from_environment({"TRADEWIND_CONTROLLERS": "https://a:1, https://b:2", "TRADEWIND_SYNC_FAULT": "never_ack"})
    assert (settings.controllers, settings.sync_fault) == (("https://a:1", "https://b:2"), "never_ack")
    assert settings.api_server == ""
    pod = from_environment({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert (pod.api_server, from_environment({"TRADEWIND_API_SERVER": "api.example"}).api_server) == (
        "10.96.0.1",
        "api.example",
    )
    document: dict[str, Any] = settings.gateway()
    assert json.loads(json.dumps(document))["controllers"] == ["https://a:1", "https://b:2"]
    for wrong in (
        Settings(controllers=("c:1",)),
        Settings(controllers=("https://c:1",), allow_upstreams=("10.0.0.0/33",)),
        Settings(hosts=("model.example",)),
        Settings(controllers=("https://c:1",), config=tmp_path),
        Settings(controllers=("https://c:1",), keys_cache=Path(__file__).parent / "nowhere"),
    ):
        with pytest.raises(UsageError):
            serving.start(wrong)
    assert not (Path(__file__).parent / "nowhere").exists()
