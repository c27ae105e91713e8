"""Scores answers to anchors: the table of their kinds."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.errors import UsageError, unknown
from tradewind.training import marking
from tradewind.training.anchors import Anchor
from tradewind.training.kinds import choice, code, exact, json, numeric, open, regex
from tradewind.training.marking import Entry

TABLE: tuple[Entry, ...] = (
    exact.ENTRY,
    numeric.ENTRY,
    choice.ENTRY,
    json.ENTRY,
    regex.ENTRY,
    code.ENTRY,
    open.ENTRY,
)


def named(name: str) -> Entry:
    """The row of a kind; raises `UsageError` where there is none."""
    for entry in TABLE:
        if entry.name == name:
            return entry
    raise UsageError(unknown("kind of anchor", str(name), [entry.name for entry in TABLE]))


def check(anchors: Sequence[Anchor]) -> None:
    """Raises `UsageError` where an anchor's kind is unknown, or its answer is none of that kind."""
    for anchor in anchors:
        entry = named(anchor.kind)
        if not entry.accepts(anchor.answer):
            field = "tests" if anchor.kind == "code" else "answer"
            raise UsageError(f"`{field}` of anchor `{anchor.id}` ({anchor.kind}): expected {entry.expects}", anchor.id)


def score(anchor: Anchor, written: str) -> float:
    """From 0 to 1. What a reasoning model thought does not count."""
    return named(anchor.kind).score(anchor, marking.without_thoughts(written))
