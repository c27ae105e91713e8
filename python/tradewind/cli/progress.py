"""Progress bars on stderr for what takes minutes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich import progress

from tradewind.cli import output


class Progress:
    """One bar per stage, as the stages come."""

    def __init__(self) -> None:
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            console=output.words(),
        )
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
        self._bars.update(self._stages[stage], total=max(total, 1), completed=done)

    def end(self) -> None:
        """All stages are done."""
        for bar in self._stages.values():
            self._bars.update(bar, total=1, completed=1)
