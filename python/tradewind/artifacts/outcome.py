"""Outcomes, one line each of the ledger: what happened to a call, attempt by attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError


@dataclass(frozen=True)
class Attempt:
    """One upstream call."""

    model: str
    status: int | None
    error: str | None
    total_ms: float | None
    first_token_ms: float | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    usage: str
    """`reported` by the upstream, or `estimated` by us."""
    cost_nanousd: int


@dataclass(frozen=True)
class Outcome:
    """What happened to a call; `document` is the JSON it was read from."""

    id: str
    time: str
    """RFC 3339, UTC."""
    tenant: str
    plan: str
    answered_by: str | None
    attempts: tuple[Attempt, ...]
    baseline_cost_nanousd: int | None
    document: Mapping[str, Any]

    @property
    def cost_nanousd(self) -> int:
        """Of all attempts."""
        return sum(attempt.cost_nanousd for attempt in self.attempts)

    @property
    def chosen(self) -> str | None:
        """The model that was decided on; `None` where the call was refused."""
        chosen: str | None = self.document.get("chosen")
        return chosen


@dataclass(frozen=True)
class Torn:
    """A line that cannot be read."""

    file: Path
    line: int
    last: bool
    """Whether it ends its file without a newline: a write that a crash cut off, and no damage."""


def read(folder: Path) -> Iterator[Outcome | Torn]:
    """Outcomes of a ledger, oldest file first. A line that cannot be read is given as such, never skipped
    silently.
    """
    for file in files(folder):
        yield from read_file(file)


def files(folder: Path) -> list[Path]:
    """The files of a ledger, oldest first: rotated ones carry their time in their names, the current one
    sorts last.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise UsageError(f"no ledger lies at {folder}", str(folder))
    found = [path for path in folder.iterdir() if path.suffix == ".jsonl" and not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.stem == "outcomes", path.name))


def read_file(file: Path) -> Iterator[Outcome | Torn]:
    """Outcomes of one file."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield from_json(line)
            except (ValueError, KeyError, TypeError, AttributeError):
                yield Torn(file, number, last=not line.endswith(b"\n"))


def from_json(line: bytes) -> Outcome:
    """Reads one line; raises `ValueError`, `KeyError` or `TypeError` where it is not an outcome."""
    given: dict[str, Any] = json.loads(line)
    return Outcome(
        id=given["id"],
        time=given["time"],
        tenant=given["tenant"],
        plan=given["plan"],
        answered_by=given["answered_by"],
        attempts=tuple(_attempt(attempt) for attempt in given["attempts"]),
        baseline_cost_nanousd=given["baseline_cost_nanousd"],
        document=given,
    )


def since(outcome: Outcome, moment: datetime) -> bool:
    """Whether an outcome is not older than a moment."""
    return datetime.fromisoformat(outcome.time) >= moment


def _attempt(given: Mapping[str, Any]) -> Attempt:
    return Attempt(
        model=given["model"],
        status=given["status"],
        error=given["error"],
        total_ms=given["total_ms"],
        first_token_ms=given["first_token_ms"],
        input_tokens=given["input_tokens"],
        cached_tokens=given["cached_tokens"],
        output_tokens=given["output_tokens"],
        usage=given["usage"],
        cost_nanousd=given["cost_nanousd"],
    )
