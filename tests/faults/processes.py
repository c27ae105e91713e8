"""Upstreams and the gateway as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradewind.artifacts import outcome
from tradewind.artifacts.outcome import Outcome

COMMAND = str(Path(sys.executable).parent / "tradewind")
PRICES = ("0.123456789", "0.987654321")
"""USD per million tokens, in and out; odd, so that a wrong sum does not look right."""

MODEL = """
  - name: {name}
    upstream: {{url: "{url}"}}
    price: {{inputPerMillion: "{prices[0]}", outputPerMillion: "{prices[1]}"}}
    limits: {{contextTokens: 100000, outputTokens: 10000}}
    quality: {{profile: {profile}}}"""
RESOURCES = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: pool, namespace: default}}
spec:
  models:{models}
---
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: route, namespace: default}}
spec:
  poolRefs: [{{name: pool}}]
  strategy: {{type: Best}}
"""


@dataclass
class Upstream:
    """A simulator that serves one model."""

    name: str
    log: Path
    process: subprocess.Popen[str]
    url: str = ""
    alive: bool = True

    def ready(self) -> None:
        """Waits until it listens."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "simulating at" in line, line
        self.url = line.split()[-1]

    def kill(self) -> None:
        """SIGKILL: the process writes, closes and says nothing more."""
        self.process.kill()
        self.process.wait()
        self.alive = False

    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def upstreams(folder: Path, **flags: tuple[str, ...]) -> Iterator[list[Upstream]]:
    """Starts simulators side by side, by their names; ends them."""
    started: list[Upstream] = []
    try:
        for name, more in flags.items():
            log = folder / f"{name}.jsonl"
            log.touch()
            command = [COMMAND, "simulate", "--models", f"{name}:{PRICES[0]}:{PRICES[1]}", "--log", str(log), *more]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            started.append(Upstream(name, log, process))
        for upstream in started:
            upstream.ready()
        yield started
    finally:
        for upstream in started:
            with upstream.process:
                upstream.process.kill()


@dataclass
class Gateway:
    """`tradewind serve`, with both doors."""

    folder: Path
    process: subprocess.Popen[bytes]
    opened: dict[str, str] = field(default_factory=dict)

    def url(self, door: str) -> str:
        """Base URL of a door, without `/v1`."""
        return self.opened[door]

    def stop(self) -> list[dict[str, Any]]:
        """SIGTERM: calls in flight end, outcomes are written. Gives the ledger."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        found = list(outcome.read(self.folder / "ledger"))
        assert all(isinstance(line, Outcome) for line in found)
        return [line.document for line in found if isinstance(line, Outcome)]


@contextmanager
def gateway(folder: Path, predictor_folder: Path, preferred: Upstream, other: Upstream) -> Iterator[Gateway]:
    """Serves two upstreams, one of which is preferred; ends the process."""
    (folder / "config").mkdir()
    write(folder, resources(preferred, other))
    files = ["--config", str(folder / "config"), "--predictor", str(predictor_folder), "--ledger-dir", str(folder / "ledger")]
    command = [COMMAND, "serve", "--json", "--port", "0", "--asgi-port", "0", "--workers", "1", *files]
    with (
        (folder / "serve.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "serve.log").read_text()
            yield Gateway(folder, process, json.loads(line))
        finally:
            process.kill()


def resources(preferred: Upstream, other: Upstream) -> str:
    """A pool of both, and a policy for the best of it."""
    profiles = ((preferred, "strong"), (other, "tiny"))
    named = sorted(profiles, key=lambda pair: pair[0].name)
    models = [MODEL.format(name=found.name, url=found.url, prices=PRICES, profile=profile) for found, profile in named]
    return RESOURCES.format(models="".join(models))


def write(folder: Path, text: str) -> None:
    """Puts the resources in place at once, as an editor does."""
    draft = folder / "resources.draft"
    draft.write_text(text)
    draft.replace(folder / "config" / "resources.yaml")
