"""Progress bars on stderr for what takes minutes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich import progress

from tradewind.cli import output

LOG_EVERY_S = 30.0


class Progress:
    """One bar per stage, as the stages come."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=output.words(),
        )
        self._begun = self._said = time.monotonic()
        self._stages: dict[str, progress.TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def say(self, stage: str, done: int = 0, total: int = 1) -> None:
        """How far a stage is; naming another one ends those before it."""
        if stage not in self._stages:
            for bar in self._stages.values():
                self._bars.update(bar, total=1, completed=1)
            self._stages[stage] = self._bars.add_task(stage)
            self._begun = self._said = time.monotonic()
        self._bars.update(self._stages[stage], total=max(total, 1), completed=done)
        if not self._bars.console.is_terminal:
            self._log(stage, done, total)

    def _log(self, stage: str, done: int, total: int) -> None:
        """A line now and then, for a file that nobody sees a bar in."""
        now = time.monotonic()
        if done and now - self._said >= LOG_EVERY_S:
            self._said = now
            left = (now - self._begun) * (total - done) / done
            self._bars.console.print(f"{stage}: {done} of {total}, {left:.0f} s left", markup=False, soft_wrap=True)

    def end(self) -> None:
        """All stages are done."""
        for bar in self._stages.values():
            self._bars.update(bar, total=1, completed=1)
