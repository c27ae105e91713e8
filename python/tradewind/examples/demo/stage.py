"""The demo's processes: a simulator behind each model of the default pool, and `tradewind serve` in front of them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tradewind import engine

TRADEWIND = (sys.executable, "-m", "tradewind.cli")
FIRST_TOKEN_MS = 250
TOKEN_RATE = 400


@dataclass(frozen=True)
class Stage:
    """What runs."""

    url: str
    """Native door, up to and without `/v1`."""
    ledger: Path
    config: Path
    simulators: dict[str, subprocess.Popen[str]]
    """By model."""

    def kill(self, model: str) -> None:
        """SIGKILL to a model's upstream: no goodbye, no open socket."""
        self.simulators[model].kill()
        self.simulators[model].wait()


@contextmanager
def open_stage(folder: Path) -> Iterator[Stage]:
    """Starts everything on free loopback ports, and ends everything."""
    documents = {file.name: yaml.safe_load(file.read_text()) for file in sorted(engine.default_config().glob("*.yaml"))}
    pool: dict[str, Any] = documents["pool.yaml"]
    config = folder / "config"
    config.mkdir()
    with ExitStack() as stack:
        simulators = {}
        for model in pool["spec"]["models"]:
            simulators[model["name"]], url = stack.enter_context(simulator(model))
            model["upstream"]["url"] = url
        for name, document in documents.items():
            (config / name).write_text(yaml.safe_dump(document))
        ledger = folder / "ledger"
        yield Stage(stack.enter_context(gateway(config, ledger)), ledger, config, simulators)


@contextmanager
def simulator(model: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """One process that answers as one model, at its prices."""
    price = model["price"]
    prices = f"{model['name']}:{price['inputPerMillion']}:{price['outputPerMillion']}"
    command = [
        *TRADEWIND,
        "simulate",
        "--models",
        prices,
        "--first-token-ms",
        str(FIRST_TOKEN_MS),
        "--token-rate",
        str(TOKEN_RATE),
    ]
    with started(command, subprocess.PIPE) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+", process.stderr.readline())
        if found is None:
            raise RuntimeError(f"the simulator of {model['name']} did not start: {process.stderr.read()}")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, found.group()


@contextmanager
def gateway(config: Path, ledger: Path) -> Iterator[str]:
    """`tradewind serve` on a free port; its log goes beside the ledger."""
    command = [*TRADEWIND, "serve", "--config", str(config), "--ledger-dir", str(ledger)]
    command += ["--door", "native", "--port", "0", "--log-level", "warning", "--json"]
    with (config.parent / "serve.log").open("w") as log, started(command, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the gateway did not start: {(config.parent / 'serve.log').read_text()}")
        yield json.loads(line)["native"]


@contextmanager
def started(command: list[str], errors: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is told to end at the end, and then made to."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
