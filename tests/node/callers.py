"""Calls that go on while something happens to those who answer them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from children import Child

if TYPE_CHECKING:
    from story import Story

PROGRAM = Path(__file__).with_name("load.py")


@dataclass(frozen=True)
class Result:
    """What `load.py` counted."""

    calls: int
    failed: int
    lost: int
    failing_s: float
    median_ms: float
    p99_ms: float
    failures: dict[str, int]

    def __str__(self) -> str:
        text = f"{self.calls} calls, {self.lost} lost"
        if self.failed:
            kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.failures.items()))
            text += f"; {self.failed} attempts failed within {self.failing_s:.1f} s ({kinds}) and were tried again"
        return text


class Load:
    """A context manager: callers with kept connections, in the network of the first node."""

    def __init__(self, story: Story, workers: int = 8) -> None:
        command = [sys.executable, str(PROGRAM), story.url, str(workers)]
        log = story.cluster.folder / "load.log"
        self._child = Child("load", command, log, {"LOAD_KEY": story.key})
        self.result: Result

    def __enter__(self) -> Load:
        process = self._child.start(subprocess.PIPE)
        assert process.stdout is not None
        self._stdout = process.stdout
        assert self._stdout.readline() == b"began\n", self._child.tail()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.signal(signal.SIGTERM)
        with self._stdout:
            self.result = Result(**json.loads(self._stdout.readline()))
