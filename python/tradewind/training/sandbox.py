"""Runs the code of an answer where it can do no harm: a process of its own without network, files and children.

Seccomp (a hand-written filter, see `sandboxed`) and resource limits hold it. Where they cannot be had, nothing is run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError

PROGRAM = Path(__file__).with_name("sandboxed.py")
START_S = 5.0
"""Seconds beyond the processor time after which a process is killed: to start, and where it waits."""


@dataclass(frozen=True)
class Limits:
    """What a process may use."""

    cpu_s: int = 5
    memory_bytes: int = 512 << 20
    """of address space"""
    output_bytes: int = 1 << 20


@dataclass(frozen=True)
class Ran:
    """What came of some calls."""

    values: tuple[Any, ...]
    """One a call, as JSON has it; `Failed` where it has none."""


@dataclass(frozen=True)
class Failed:
    """Why a call has no value: the name of its exception, or how the process ended."""

    why: str


def call(code: str, function: str, calls: Sequence[Sequence[Any]], limits: Limits = Limits()) -> Ran:
    """Calls a function that the code defines with each of some lists of arguments.

    Raises `UsageError` where the platform cannot confine the process: then the code was not run.
    """
    if sys.platform != "linux":
        raise UsageError(_refusal(f"that needs Linux, not {sys.platform}"))
    job = {"code": code, "function": function, "calls": [list(each) for each in calls], "limits": asdict(limits)}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
        given.write(json.dumps(job).encode())
        given.seek(0)
        ended = _run(given.fileno(), written.fileno(), limits)
        written.seek(0)
        output = written.read(limits.output_bytes)
    return _read(output, ended, len(calls))


@lru_cache(maxsize=1)
def unavailable() -> str | None:
    """Why code cannot be run here; `None` where it can."""
    try:
        call("def one(): return 1", "one", [[]])
    except UsageError as error:
        return error.message
    return None


def _run(given: int, written: int, limits: Limits) -> int | None:
    """Exit status, `None` where it was killed for its time. Neither environment nor open files come along."""
    command = [sys.executable, "-I", "-S", "-B", str(PROGRAM)]
    with subprocess.Popen(command, stdin=given, stdout=written, stderr=subprocess.DEVNULL, env={}, cwd="/") as process:
        try:
            return process.wait(limits.cpu_s + START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return None


def _read(output: bytes, ended: int | None, count: int) -> Ran:
    from tradewind.training.sandboxed import READY  # It imports what only Linux has.

    if not output.startswith(READY):
        said = output.decode(errors="replace").strip()
        raise UsageError(_refusal(said or f"its process ended with status {ended} before it was confined"))
    try:
        found = json.loads(output.removeprefix(READY))
        values = [each["value"] if "value" in each else Failed(str(each["error"])) for each in found]
    except (ValueError, TypeError, KeyError):
        values = []
    if len(values) != count:
        values = [Failed("killed: out of time" if ended is None else f"ended with status {ended}")] * count
    return Ran(tuple(values))


def _refusal(why: str) -> str:
    return f"code cannot be run in a sandbox here, and is never run outside one: {why}"
