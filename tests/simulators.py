"""Upstreams as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import children

COMMAND = str(Path(sys.executable).parent / "tradewind")
PRICES = ("0.123456789", "0.987654321")
"""USD per million tokens, in and out; odd, so that a wrong sum does not look right."""


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
            process = subprocess.Popen(children.guarded(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            started.append(Upstream(name, log, process))
        for upstream in started:
            upstream.ready()
        yield started
    finally:
        for upstream in started:
            with upstream.process:
                upstream.process.kill()
