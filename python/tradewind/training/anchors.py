"""Anchor prompts: questions with checkable answers, asked of a model to find its profile.

Those that ship are of our own writing (`anchors/*.jsonl`, a file a domain); anyone may bring others in the same form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError, listed

FOLDER = Path(__file__).parent / "anchors"
LEVELS = range(1, 6)


@dataclass(frozen=True)
class Anchor:
    """One prompt, and what a right answer is."""

    id: str
    text: str
    """What is sent as the user's message, and what the predictor sees."""
    kind: str
    """How an answer is checked: a row of `scoring.TABLE`."""
    answer: Any = None
    """What the kind needs; code has its `tests` here."""
    domain: str = "own"
    language: str = "en"
    level: int | None = None
    """From 1 (trivial) to 5 (very hard), as the author sees it; it only balances what is asked."""
    tolerance: float | None = None
    """Of a number, absolute; a millionth of the number where absent."""
    reference: str | None = None
    """Python that arrives at the answer; the tests run it, nothing else does."""


FIELDS = {"id", "text", "kind", "answer", "tests", "domain", "language", "level", "tolerance", "reference"}
TEXTS = ("id", "kind", "domain", "language", "reference")


def shipped() -> list[Anchor]:
    """All anchors of our own."""
    return [anchor for file in sorted(FOLDER.glob("*.jsonl")) for anchor in read(file)]


def read(file: Path) -> list[Anchor]:
    """The anchors of JSON Lines; only `text` is needed, then a judge has to score the answers.

    Raises `UsageError` where a line is no anchor, or repeats an id.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", str(file)) from None
    found: dict[str, Anchor] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        anchor = _anchor(line, number, place)
        if anchor.id in found:
            raise UsageError(f"{place} repeats the id `{anchor.id}`", place)
        found[anchor.id] = anchor
    if not found:
        raise UsageError(f"{file} holds no anchor", str(file))
    return list(found.values())


def _anchor(line: str, number: int, place: str) -> Anchor:
    try:
        given: Any = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}", place) from None
    if not isinstance(given, dict) or not isinstance(given.get("text"), str) or not given["text"].strip():
        raise UsageError(f'{place} is not {{"text": "…"}}', place)
    unknown = sorted(given.keys() - FIELDS)
    if unknown:
        raise UsageError(f"{place} has `{unknown[0]}`; known are {listed(sorted(FIELDS))}", place)
    _check(given, place)
    is_code = given.get("kind") == "code"
    if "tests" in given and not is_code:
        raise UsageError(f"{place} has `tests`, which only kind `code` has; expected `answer`, or nothing", place)
    answer = given.pop("tests", None) if is_code else given.get("answer")
    kind = given.pop("kind", "open" if answer is None else "exact")
    return Anchor(**{"id": f"line-{number}", **given, "kind": kind, "answer": answer})


def _check(given: Mapping[str, Any], place: str) -> None:
    """What every kind has; the answer is checked by the kind."""
    for name in TEXTS:
        if name in given and (not isinstance(given[name], str) or not given[name]):
            raise UsageError(f"{place}: `{name}` is {given[name]!r}; expected a text", place)
    level, tolerance = given.get("level"), given.get("tolerance")
    if level is not None and level not in LEVELS:
        raise UsageError(f"{place}: `level` is {level!r}; expected 1 to 5", place)
    if tolerance is not None and (type(tolerance) not in (int, float) or not 0 <= tolerance < float("inf")):
        raise UsageError(f"{place}: `tolerance` is {tolerance!r}; expected a number from 0", place)


def select(anchors: Sequence[Anchor], limit: int) -> list[Anchor]:
    """At most so many, spread evenly over domains and levels. A larger limit adds to what a smaller one chose."""
    cells: dict[tuple[str, int | None], list[Anchor]] = {}
    for anchor in sorted(anchors, key=_draw):
        cells.setdefault((anchor.domain, anchor.level), []).append(anchor)
    ranked = [(rank, _draw(anchor), anchor) for cell in cells.values() for rank, anchor in enumerate(cell)]
    return [anchor for _, _, anchor in sorted(ranked, key=lambda each: each[:2])[:limit]]


def digest(anchor: Anchor) -> str:
    """Sixteen hexadecimal digits that change with what is asked or expected."""
    asked = json.dumps([anchor.text, anchor.kind, anchor.answer, anchor.tolerance], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _draw(anchor: Anchor) -> str:
    return hashlib.sha256(anchor.id.encode()).hexdigest()
