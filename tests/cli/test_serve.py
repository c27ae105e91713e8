"""`tradewind serve` as a process: doors, keys, credentials, edits, drain, and what its ledger replays to."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

import tiny_predictor
from hosted import hosted
from tradewind import core, serving
from tradewind.artifacts import predictor, schemas
from tradewind.cli.app import run
from tradewind.errors import UsageError
from tradewind.settings import controller_from_environment, from_environment

KEY = "tw-test-key"
UPSTREAM_KEY = "upstream-secret"
POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: chat, namespace: team-a}}
spec:
  models:
  - name: cheap
    upstream: {{url: "{url}/v1", credentials: {{secretKeyRef: {{name: keys, key: cheap}}}}}}
    price: {{inputPerMillion: "0.05", outputPerMillion: "0.20"}}
    limits: {{contextTokens: 32768, outputTokens: 8192}}
    quality: {{profile: tiny}}
  - name: dear
    upstream: {{url: "{url}/v1", credentials: {{secretKeyRef: {{name: keys, key: cheap}}}}}}
    price: {{inputPerMillion: "10", outputPerMillion: "30"}}
    limits: {{contextTokens: 32768, outputTokens: 8192}}
    quality: {{profile: strong}}
---
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: default, namespace: team-a}}
spec:
  poolRefs: [{{name: chat}}]
  strategy: {{type: Utility, utility: {{willingnessToPayUSD: "{willingness}"}}}}
"""


@pytest.fixture
def upstream() -> Iterator[core.Simulator]:
    with core.Simulator(models="cheap:0.05:0.20,dear:10:30", api_key=UPSTREAM_KEY) as simulator:
        yield simulator


@pytest.fixture
def files(tmp_path: Path, upstream: core.Simulator) -> Path:
    """A folder with configuration, keys and credentials."""
    (tmp_path / "config").mkdir()
    (tmp_path / "secrets" / "keys").mkdir(parents=True)
    (tmp_path / "secrets" / "keys" / "cheap").write_text(UPSTREAM_KEY + "\n")
    (tmp_path / "config" / "all.yaml").write_text(POOL.format(url=upstream.url, willingness="0.02"))
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    (tmp_path / "keys.yaml").write_text(f"keys:\n- {{sha256: {digest}, namespace: team-a, name: ci, labels: {{a: b}}}}\n")
    return tmp_path


def flags(files: Path, predictor_folder: Path) -> dict[str, Any]:
    return {
        "config": files / "config",
        "keys": files / "keys.yaml",
        "secrets_dir": files / "secrets",
        "ledger_dir": files / "ledger",
        "predictor": predictor_folder,
    }


def written(given: dict[str, Any]) -> list[str]:
    """Flags as one types them."""
    return [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@contextmanager
def served(files: Path, predictor_folder: Path, **settings: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[bytes]]]:
    arguments = ["serve", "--json", "--port", "0", "--asgi-port", "0", "--drain-s", "5", "--workers", "1"]
    arguments += written(flags(files, predictor_folder))
    command = [str(Path(sys.executable).parent / "tradewind"), *arguments]
    environment = os.environ | {f"TRADEWIND_{name.upper()}": value for name, value in settings.items()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, process.stderr and process.stderr.read().decode()
            yield json.loads(line), process
        finally:
            process.kill()


def ask(url: str, text: str) -> httpx.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})


def test_the_asgi_door_bounds_connections_and_the_time_for_a_head(files: Path, predictor_folder: Path) -> None:
    with served(files, predictor_folder, max_connections="2", header_read_timeout_ms="300") as (opened, _):
        place = httpx.URL(opened["asgi"])
        addresses = [(place.host, place.port)] * 3
        first, second, third = (socket.create_connection(address, timeout=20) for address in addresses)
        with first, second, third:
            assert third.recv(1) == b"", "one too many"
            first.sendall(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
            assert first.recv(12) == b"HTTP/1.1 200"
            second.sendall(b"GET /healthz HTTP/1.1\r\nho")
            assert second.recv(1) == b"", "half a head for too long"


def test_a_gateway_serves_both_doors_and_its_ledger_replays_without_a_difference(
    files: Path, predictor_folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with served(files, predictor_folder) as (opened, process):
        for door in ("native", "asgi"):
            answer = ask(opened[door], "Hi")
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-tradewind-model"] == "team-a/chat/cheap"
            assert answer.headers["x-tradewind-plan"] == opened["plan"]
            assert httpx.get(f"{opened[door]}/v1/models").status_code == 401
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert UPSTREAM_KEY not in said.decode()
    ledger = ["--ledger", str(files / "ledger"), "--plan", str(files / "config"), "--predictor", str(predictor_folder)]
    assert run(["replay", *ledger, "--json"]) == 0
    document = json.loads(capfdbinary.readouterr().out)
    jsonschema.validate(document, schemas.read("replay"))
    assert (document["calls"], document["replayed"], document["differing"]) == (2, 2, 0)
    assert document["then"] == document["now"]
    assert run(["ledger", "--dir", str(files / "ledger"), "--json"]) == 0
    for line in capfdbinary.readouterr().out.splitlines():
        jsonschema.validate(json.loads(line), schemas.read("outcome"))
    (files / "config" / "all.yaml").write_text(POOL.format(url="http://127.0.0.1:1", willingness="5"))
    assert run(["replay", *ledger, "--json"]) == 1
    document = json.loads(capfdbinary.readouterr().out)
    assert document["differing"] == 2
    assert document["now"]["quality"] > document["then"]["quality"]


def test_a_broken_edit_is_named_and_the_old_plan_kept(files: Path, predictor_folder: Path, upstream: core.Simulator) -> None:
    feed = serving.start(from_environment({}, **flags(files, predictor_folder)))
    try:
        config = files / "config" / "all.yaml"
        before = feed.gateway.plan_status()
        config.write_text(POOL.format(url=upstream.url, willingness="0.02").replace("tiny", "tinny"))
        assert not serving.reload(feed)
        status = feed.gateway.plan_status()
        assert status["plan"] == before["plan"]
        assert status["source"] == str(files / "config")
        (problem,) = status["refusal"]["problems"]
        assert problem["line"] == 11
        assert "unknown profile `tinny`" in problem["message"]
        config.write_text(POOL.format(url=upstream.url, willingness="0.03"))
        assert serving.reload(feed)
        status = feed.gateway.plan_status()
        assert status["plan"] != before["plan"]
        assert status["refusal"] is None
    finally:
        feed.gateway.drain()


def test_an_edit_whose_predictor_cannot_be_fetched_is_named_and_the_old_plan_kept(
    files: Path, predictor_folder: Path, upstream: core.Simulator
) -> None:
    own = predictor.read(tiny_predictor.write(files / "site", steepness=2.0))
    cache = files / "cache"
    feed = serving.start(from_environment({}, **flags(files, predictor_folder), predictor_cache=cache))
    try:
        with hosted(files / "site") as site:
            config, before = files / "config" / "all.yaml", feed.gateway.plan_status()
            edited = POOL.format(url=upstream.url, willingness="0.02") + "  predictor: {url: %s, sha256: %s}\n"
            config.write_text(edited % (f"{site.url}/nowhere.onnx", own.digest))
            assert not serving.reload(feed)
            status = feed.gateway.plan_status()
            assert status["plan"] == before["plan"]
            (problem,) = status["refusal"]["problems"]
            assert problem["path"] == "spec.predictor"
            assert problem["message"].endswith("nowhere.onnx cannot be fetched: it is answered 404")
            config.write_text(edited % (f"{site.url}/predictor.onnx", own.digest))
            assert serving.reload(feed)
            status = feed.gateway.plan_status()
            assert status["plan"] != before["plan"]
            assert status["refusal"] is None
    finally:
        feed.gateway.drain()


@contextmanager
def watched(feed: serving.Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Watches the files; gives a function that waits for the next reading and says whether it was taken."""
    stop, readings, reload = threading.Event(), queue.Queue[bool](), serving.reload

    def noted(feed: serving.Serving) -> bool:
        readings.put(reload(feed))
        return True

    monkeypatch.setattr(serving, "reload", noted)
    watch = threading.Thread(target=serving.watch, args=(feed, stop))
    watch.start()
    try:
        yield lambda: readings.get(timeout=20)
    finally:
        stop.set()
        watch.join(timeout=20)
        feed.gateway.drain()
    assert not watch.is_alive()
    assert readings.empty(), "nothing is read again without a reason"


def test_an_edit_before_the_watch_begins_is_not_missed(
    files: Path, predictor_folder: Path, upstream: core.Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = serving.start(from_environment({}, **flags(files, predictor_folder)))
    before = feed.gateway.plan_status()["plan"]
    (files / "config" / "all.yaml").write_text(POOL.format(url=upstream.url, willingness="0.03"))
    with watched(feed, monkeypatch) as reading:
        assert reading()
        assert feed.gateway.plan_status()["plan"] != before


def test_what_is_created_later_is_watched_too(
    files: Path, predictor_folder: Path, upstream: core.Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "secrets").rename(files / "later")
    feed = serving.start(from_environment({}, **flags(files, predictor_folder)))
    with watched(feed, monkeypatch) as reading:
        (files / "later").rename(files / "secrets")
        assert reading()
        (files / "secrets" / "keys" / "cheap").write_text("another")
        assert reading()


def test_a_file_that_is_not_read_changes_nothing(
    files: Path, predictor_folder: Path, upstream: core.Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A log beside the keys would be read again for the line that the last reading wrote, and so for ever.
    feed = serving.start(from_environment({}, **flags(files, predictor_folder)))
    (files / "serve.log").write_text("a line")
    assert serving.refresh(feed, feed.read) == feed.read
    (files / "config" / "all.yaml").write_text(POOL.format(url=upstream.url, willingness="0.03"))
    assert serving.refresh(feed, feed.read) != feed.read
    feed.gateway.drain()


@pytest.mark.parametrize(("door", "flag"), [("native", "--port"), ("asgi", "--asgi-port")])
def test_a_port_that_is_taken_is_wrong_usage(
    files: Path, predictor_folder: Path, door: str, flag: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["serve", "--door", door, flag, str(port)]
        assert run([*arguments, *written(flags(files, predictor_folder))]) == 2
    assert f"the {door} door cannot listen" in " ".join(capfd.readouterr().err.split()).lower()


@pytest.mark.parametrize(
    ("text", "part"),
    [("keys: 1", "is not `keys:"), ("keys: [", "cannot be read"), ("surplus: 1\nkeys: []", "is not `keys:")],
)
def test_keys_that_cannot_be_read_are_wrong_usage(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(UsageError, match=part):
        serving.read_keys(tmp_path / "keys.yaml")


def test_keys_that_the_gateway_refuses_are_named_with_their_file(files: Path, predictor_folder: Path) -> None:
    given = from_environment({}, **flags(files, predictor_folder))
    feed = serving.start(given)
    broken = "keys:\n- {sha256: short, namespace: team-a}\n"
    (files / "keys.yaml").write_text(broken)
    with pytest.raises(UsageError, match=rf"^{files / 'keys.yaml'}: keys\[0\].sha256 is not 64 hexadecimal digits$"):
        serving.start(given)
    assert not serving.reload(feed)
    feed.gateway.drain()


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"TRADEWIND_PROT": "1"}, "unknown environment variable `TRADEWIND_PROT`"),
        ({"TRADEWIND_PORT": "many"}, "TRADEWIND_PORT is `many`; expected an integer"),
        ({"TRADEWIND_DOOR": "back"}, "unknown door `back`; expected one of `native`, `asgi`, `both`"),
        ({"TRADEWIND_DRAIN_S": "-1"}, "expected 0 or more"),
    ],
)
def test_a_variable_that_is_not_accepted_is_named(variables: dict[str, str], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        from_environment(variables)


def test_a_tls_door_needs_controllers(files: Path, predictor_folder: Path) -> None:
    given = from_environment({"TRADEWIND_TLS_PORT": "0"}, **flags(files, predictor_folder))
    assert given.tls_port == 0
    with pytest.raises(UsageError, match="`tls_port` needs `controllers`"):
        serving.start(given)


def test_a_flag_wins_over_its_variable() -> None:
    settings = from_environment({"TRADEWIND_PORT": "1", "TRADEWIND_HOST": "::1", "OTHER": "x"}, port=2, host=None)
    assert (settings.port, settings.host) == (2, "::1")
    assert settings.gateway()["listen"] == "[::1]:2"


def test_the_settings_of_python_are_the_gateways() -> None:
    # The gateway refuses settings that it does not know.
    core.Gateway(settings=from_environment({}).gateway()).drain()
    assert os.environ.get("TRADEWIND_PORT") is None


def test_what_a_kubelet_says_of_services_is_passed_over() -> None:
    links = {
        "TRADEWIND_GATEWAY_SERVICE_HOST": "10.96.0.7",
        "TRADEWIND_GATEWAY_SERVICE_PORT": "80",
        "TRADEWIND_GATEWAY_SERVICE_PORT_HTTP": "80",
        "TRADEWIND_GATEWAY_PORT": "tcp://10.96.0.7:80",
        "TRADEWIND_GATEWAY_PORT_80_TCP": "tcp://10.96.0.7:80",
        "TRADEWIND_GATEWAY_PORT_80_TCP_PROTO": "tcp",
        "TRADEWIND_SERVICE_HOST": "10.96.0.8",
        "TRADEWIND_PORT": "tcp://10.96.0.8:80",
    }
    assert from_environment(links) == from_environment({})
    assert from_environment({"TRADEWIND_SERVICE_HOST": "10.96.0.8", "TRADEWIND_PORT": "7"}).port == 7
    with pytest.raises(UsageError, match="`TRADEWIND_GATEWAY_PROT`"):
        from_environment({"TRADEWIND_GATEWAY_SERVICE_HOST": "10.96.0.7", "TRADEWIND_GATEWAY_PROT": "1"})
    controller = {"TRADEWIND_CONTROLLER_SERVICE_HOST": "10.96.0.9", "TRADEWIND_CONTROLLER_PORT": "tcp://10.96.0.9:8443"}
    assert controller_from_environment(controller) == controller_from_environment({})
