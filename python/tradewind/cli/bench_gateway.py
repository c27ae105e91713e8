"""`tradewind bench gateway`: what the gateway adds to a call, beside the direct call of the same run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.cli.options import Executor
from tradewind.errors import TradewindError, UsageError

MODELS = {"small": ("0.10", "0.40"), "large": ("2.50", "10.00")}
TOKENS = 100
"""Prompt size of the seeded bodies."""


class Door(StrEnum):
    """Which listener is measured."""

    native = "native"
    asgi = "asgi"


@dataclass(frozen=True)
class Load:
    """What is sent."""

    bodies: list[bytes]
    stream: bool
    seconds: float


def gateway(
    bodies: Annotated[Path | None, typer.Option(help="JSON Lines of {body | text}; seeded ones where absent.")] = None,
    door: Annotated[Door, typer.Option(help="Which listener is measured.")] = Door.native,
    connections: Annotated[
        str, typer.Option(help="Connections, each with one call at a time, separated by commas.")
    ] = "1,16,64",
    stream: Annotated[bool, typer.Option("--stream", help="Ask for streams.")] = False,
    seconds: Annotated[float, typer.Option(min=0.5, help="Measured time of each row.")] = 5.0,
    executor: options.ExecutorOption = Executor.native,
    predictor: options.Predictor = None,
    seed: Annotated[int, typer.Option(min=0, help="Draw of the seeded bodies.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Start simulator and gateway, one pinned core for the gateway, and send load through it and past it."""
    from tradewind import core

    levels = _levels(connections)
    sized = core.bench_bodies(output.read_input(bodies) if bodies else None, 2000, seed)
    group = [body for bodies_of_size in sized.values() for body in bodies_of_size] if bodies else sized[TOKENS]
    load = Load(group, stream, seconds)
    ours, theirs = cores()
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as folder, simulator(theirs) as upstream:
        key = secrets.token_urlsafe(24)
        with served(Path(folder), upstream, key, door, executor, predictor, ours) as (url, pid):
            rows = [measure(load, level, url, pid, upstream, key, theirs) for level in levels]
    document = {
        "door": door.value,
        "executor": executor.value,
        "stream": stream,
        "gateway_cores": sorted(ours),
        "load_cores": sorted(theirs),
        "connections": {str(row.pop("connections")): row for row in rows},
    }
    if as_json:
        output.document(document)
    else:
        show(document)


def cores() -> tuple[set[int], set[int]]:
    """One core for the gateway, the others for simulator and load."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise UsageError("the gateway needs a core of its own beside that of the load; this process has one")
    return {allowed[0]}, set(allowed[1:])


def measure(load: Load, connections: int, url: str, pid: int, upstream: str, key: str, theirs: set[int]) -> dict[str, Any]:
    """One row: through the gateway, then past it."""
    direct = _send(load, connections, upstream, None, theirs, model="small")
    before = cpu_ns(pid)
    through = _send(load, connections, url, key, theirs, model=None)
    spent = cpu_ns(pid) - before
    return {
        "connections": connections,
        "rps": through["rps"],
        "p50_us": through["p50_us"],
        "p99_us": through["p99_us"],
        "added_p50_us": through["p50_us"] - direct["p50_us"],
        "added_p99_us": through["p99_us"] - direct["p99_us"],
        # The warm-up is among the requests that the process was busy with.
        "cpu_us_per_request": spent / 1e3 / max(through["sent"], 1),
        "ttft_added_us": through["ttft_p50_us"] - direct["ttft_p50_us"] if load.stream else None,
        "rss_mib": rss_mib(pid),
        "errors": through["errors"],
        "direct": {name: direct[name] for name in ("rps", "p50_us", "p99_us", "errors")},
    }


def _send(load: Load, connections: int, url: str, key: str | None, theirs: set[int], model: str | None) -> dict[str, Any]:
    from tradewind import core

    # `model` names an upstream's model: it does not know our alias.
    return core.bench_http(
        url=f"{url}/v1/chat/completions",
        headers={"authorization": f"Bearer {key}"} if key else {},
        bodies=load.bodies,
        model=model,
        connections=connections,
        stream=load.stream,
        warm_up_s=min(1.0, load.seconds / 2),
        seconds=load.seconds,
        cpu=max(theirs),
    )


@contextmanager
def simulator(on: set[int]) -> Iterator[str]:
    """A simulator as a process; its URL."""
    models = ",".join(f"{name}:{price[0]}:{price[1]}" for name, price in MODELS.items())
    with process(["simulate", "--models", models], on, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        line = child.stderr.readline().decode()
        found = re.search(r"http://\S+?(?=/v1)", line)
        if found is None:
            raise TradewindError("internal", f"the simulator did not start: {line.strip()}")
        yield found[0]


@contextmanager
def served(
    folder: Path,
    upstream: str,
    key: str,
    door: Door,
    executor: Executor,
    predictor: Path | None,
    on: set[int],
) -> Iterator[tuple[str, int]]:
    """A gateway as a process, with decision, log, metrics and keys on; its URL and process id."""
    from tradewind.artifacts import predictor as predictors

    artifact = predictors.read(predictor)
    config, keys = folder / "bench.yaml", folder / "keys.json"
    config.write_text("---\n".join(json.dumps(entry) + "\n" for entry in resources(upstream, list(artifact.profiles))))
    keys.write_text(json.dumps({"keys": [{"sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": "default"}]}))
    arguments = [
        "serve",
        "--json",
        "--config",
        str(config),
        "--keys",
        str(keys),
        "--ledger-dir",
        str(folder / "ledger"),
    ]
    arguments += [
        "--door",
        door.value,
        "--port",
        "0",
        "--asgi-port",
        "0",
        "--executor",
        executor.value,
        "--workers",
        "1",
    ]
    arguments += ["--predictor", str(artifact.folder), "--log-level", "error"]
    with process(arguments, on, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise TradewindError("internal", "the gateway did not start")
        yield json.loads(line)[door.value], child.pid


def resources(upstream: str, profiles: list[str]) -> list[dict[str, Any]]:
    """A pool of the simulator's models and a policy over it; YAML reads JSON."""
    common = {"apiVersion": "tradewind.dev/v1alpha1", "metadata": {"name": "bench"}}
    models = [
        {
            "name": name,
            "upstream": {"url": f"{upstream}/v1"},
            "price": {"inputPerMillion": price[0], "outputPerMillion": price[1]},
            "limits": {"contextTokens": 128_000, "outputTokens": 16_384},
            "capabilities": ["Tools", "JSON"],
            "quality": {"profile": profiles[place]},
        }
        for place, (name, price) in zip((0, -1), MODELS.items(), strict=True)
    ]
    strategy = {"type": "Utility", "utility": {"willingnessToPayUSD": "0.01"}}
    return [
        {**common, "kind": "ModelPool", "spec": {"models": models}},
        {**common, "kind": "RoutingPolicy", "spec": {"poolRefs": [{"name": "bench"}], "strategy": strategy}},
    ]


@contextmanager
def process(arguments: list[str], on: set[int], **pipes: int) -> Iterator[subprocess.Popen[bytes]]:
    """One of our own commands as a child that keeps to some cores; ended with SIGTERM."""
    program = "import sys; from tradewind.cli import main; sys.argv[0] = 'tradewind'; main()"
    before = os.sched_getaffinity(0)
    # A child inherits the cores of the thread that starts it.
    os.sched_setaffinity(0, on)
    try:
        child = subprocess.Popen([sys.executable, "-c", program, *arguments], **pipes)  # type: ignore[call-overload]
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.communicate(timeout=35)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def cpu_ns(pid: int) -> int:
    """CPU time of a process, all its living threads together."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def show(document: dict[str, Any]) -> None:
    """A table for people."""
    from rich.table import Table

    table = Table(
        "connections",
        "per second",
        "p50 µs",
        "p99 µs",
        "added p50 µs",
        "CPU µs",
        "added TTFT µs",
        "MiB",
        "errors",
    )
    for level, row in document["connections"].items():
        first = f"{row['ttft_added_us']:.0f}" if row["ttft_added_us"] is not None else ""
        cells = (f"{row[name]:.0f}" for name in ("rps", "p50_us", "p99_us", "added_p50_us", "cpu_us_per_request"))
        table.add_row(level, *cells, first, f"{row['rss_mib']:.0f}", str(row["errors"]))
    output.tables().print(table)


def _levels(text: str) -> list[int]:
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError:
        levels = []
    if not levels or min(levels) < 1:
        raise UsageError(f"--connections is `{text}`; expected numbers from 1 such as `1,16,64`", "--connections")
    return levels
