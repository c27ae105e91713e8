"""Processes that end with the test run, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30
"""Bytes that a control plane may need: containers often have a /dev/shm of 64 MB."""
_PREFIX = "tradewind-kube-"
_started: list[Child] = []


class Child:
    """A program that can be started again and again, with a log of all its lives."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = dict(environment or {})
        self.quiet = False
        self._process: subprocess.Popen[bytes] | None = None
        _started.append(self)

    @property
    def pid(self) -> int:
        """Of its present life."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether it runs, if only as a stopped process."""
        return self._process is not None and self._process.poll() is None

    def start(self, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Starts it in a session of its own, so that Ctrl-C reaches it through us, after our tests."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self._process

    def signal(self, which: signal.Signals) -> None:
        """SIGSTOP and SIGCONT above all."""
        self._running().send_signal(which)

    def stop(self, within_s: float = 30) -> int:
        """SIGTERM, and waits. Gives the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._running().wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not stop within {within_s} s\n{self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL, and waits; nothing where it is dead."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def tail(self, most: int = 4000) -> str:
        """The end of its log."""
        text = self.log.read_bytes()[-most:].decode(errors="replace") if self.log.exists() else ""
        return f"{self.log}\n{text}"

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process


def guarded(command: Sequence[str]) -> list[str]:
    """The command so that the kernel kills it when we die; without running Python between fork and exec."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def logs() -> list[tuple[str, str]]:
    """(name, end of the log) of all; of those that are `quiet`, only where they died."""
    return [(child.name, child.tail()) for child in _started if child.log.exists() and not (child.quiet and child.alive)]


def forget() -> None:
    """No more logs of what is dead: another test begins."""
    _started[:] = [child for child in _started if child.alive]


@contextmanager
def folder(room: int = _ROOM) -> Iterator[Path]:
    """A folder in memory where there is room for so many bytes, else on disk; removed in the end."""
    place = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > room else Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        # Of a run that was killed.
        if not Path("/proc", left.name.removeprefix(_PREFIX).split("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    found = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    try:
        yield found
    finally:
        shutil.rmtree(found)
