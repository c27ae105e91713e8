"""An answer whose form is what was asked for: a regular expression matches all of it."""

from __future__ import annotations

import re
from typing import Any

from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry


def accepts(answer: Any) -> bool:
    """A pattern."""
    try:
        re.compile(answer)
    except (re.error, TypeError):
        return False
    return True


def score(anchor: Anchor, written: str) -> float:
    """1 where the pattern matches everything that was written; `.` matches a new line only with `(?s)`."""
    return float(re.fullmatch(anchor.answer, written.strip()) is not None)


ENTRY = Entry(
    name="regex",
    about="the whole answer has the form that was asked for",
    instruction="Reply with exactly what is asked for, and nothing else.",
    expects="a regular expression",
    accepts=accepts,
    score=score,
)
