"""`make bench-sidecar`: what a sidecar costs: memory at rest and after calls, and the time until the app beside it may start.

The binary without Python, one worker, told all by variables, with the shipped predictor and a plan of six models that a
controller on this machine gives it. Upstreams are simulated in this process.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "sync")]

from replica import Controller  # noqa: E402
from run import cell, table  # noqa: E402

import routing  # noqa: E402
import rust_gateway  # noqa: E402
from tradewind import core  # noqa: E402
from tradewind.artifacts import predictor  # noqa: E402

BINARY = Path(__file__).parents[1] / "target" / "release" / "tradewind-gateway"
MODELS = 6
STARTS = 20
ROUNDS = 3
CALLS = 10_000
CLIENTS = 4


def plan(url: str, digest: str) -> bytes:
    """Six models at one upstream."""
    models = [routing.model(f"m{number}", f"{url}/v1", credential="default/secret/key") for number in range(MODELS)]
    return routing.source(models, (routing.route("auto", digest, models, "best"),)).to_json()


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def resident_mib(pid: int) -> float:
    """Memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def started(controller: Controller, folder: Path, pod: str) -> Iterator[tuple[dict[str, str], int, float]]:
    """The sidecar of a pod, with nothing kept; gives its URLs, its process id, and ms from exec until `/startupz` was 200."""
    (folder / "token").write_text(f"default.app.{pod}")
    health = f"127.0.0.1:{free_port()}"
    environment = rust_gateway.environment(
        port=0,
        workers=1,
        health_listen=health,
        controllers=controller.url,
        controller_token=folder / "token",
        allow_upstreams="127.0.0.0/8",
        log_level="error",
    )
    with httpx.Client() as client:
        begun = time.perf_counter()
        process = subprocess.Popen([BINARY, "serve", "--json"], stdout=subprocess.PIPE, env=environment)
        try:
            while not answers(client, f"http://{health}/startupz"):
                assert process.poll() is None, "it has ended"
                time.sleep(0.001)
            took = (time.perf_counter() - begun) * 1000
            assert process.stdout is not None
            yield json.loads(process.stdout.readline()), process.pid, took
        finally:
            process.kill()
            process.communicate()


def answers(client: httpx.Client, url: str) -> bool:
    """Whether it is 200 now."""
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def call(url: str, count: int, failed: list[str]) -> None:
    """Calls over one connection, each with another prompt."""
    with httpx.Client() as client:
        for number in range(count):
            text = f"Why is the sky blue on day {number}, and what does that say of {number * 7919 % 104_729}? " * (
                1 + number % 20
            )
            body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
            answer = client.post(f"{url}/v1/chat/completions", json=body)
            if answer.status_code != 200:
                failed.append(answer.text)


def main() -> None:
    """Measures and prints a table."""
    artifact = predictor.read(None)
    with (
        Controller() as controller,
        core.Simulator(models=",".join(f"m{number}:0.05:0.20" for number in range(MODELS))) as upstream,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        controller.call("add_predictor", artifact.graph)
        controller.call("publish", "l", 1, plan(upstream.url, artifact.digest))
        controller.call("set_keys", json.dumps({"callers": [], "credentials": {"default/secret/key": "sk"}}).encode())
        starts, at_rest, after = list[float](), list[float](), list[float]()
        # Each is another pod: the same one would be held back for a second, as one that asks in a loop.
        for number in range(STARTS):
            with started(controller, folder, f"s{number}") as (_, pid, took):
                starts.append(took)
                settled(controller, f"s{number}")
                at_rest.append(resident_mib(pid))
        for number in range(ROUNDS):
            with started(controller, folder, f"r{number}") as (urls, pid, _):
                settled(controller, f"r{number}")
                ask(urls["native"])
                after.append(resident_mib(pid))
    rows = [
        (f"memory at rest, MiB, {STARTS} starts", cell(at_rest, ".1f")),
        (f"memory after {CALLS:,} calls, MiB, {ROUNDS} rounds", cell(after, ".1f")),
        (f"from exec to `/startupz` 200, ms, {STARTS} starts", cell(starts, ".1f")),
        ("the binary, MiB", f"{BINARY.stat().st_size / (1 << 20):.1f}"),
    ]
    table(("a sidecar, plan of six models", "median (range)"), rows)


def settled(controller: Controller, pod: str) -> None:
    """Waits until a sidecar has all that it is to have."""
    controller.until(lambda: isinstance(controller.session(pod).get("keys"), str) and controller.session(pod)["parked"])


def ask(url: str) -> None:
    """All calls of a round, from several clients."""
    failed: list[str] = []
    clients = [threading.Thread(target=call, args=(url, CALLS // CLIENTS, failed)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not failed, failed[0]


if __name__ == "__main__":
    main()
