"""One of some lettered options."""

from __future__ import annotations

import re
from typing import Any

from tradewind.training import marking
from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry

_ALONE = re.compile(r"(?<![A-Za-z'])\(?([A-J])\)?(?![A-Za-z'])")


def letter(written: str) -> str | None:
    """The letter that an answer settles on: first in the final answer, else the last that stands alone."""
    first = _ALONE.search(marking.final(written).strip("*_` "))
    if first:
        return first.group(1)
    found = _ALONE.findall(written)
    return str(found[-1]) if found else None


def accepts(answer: Any) -> bool:
    """A letter."""
    return isinstance(answer, str) and re.fullmatch("[A-J]", answer) is not None


def score(anchor: Anchor, written: str) -> float:
    """1 where the letter is right."""
    return float(letter(written) == anchor.answer)


ENTRY = Entry(
    name="choice",
    about="the final answer is the letter of an option",
    instruction="Think first if you need to. End with a line of the form `Answer: X`, where X is the letter of your choice.",
    expects="a letter from A to J",
    accepts=accepts,
    score=score,
)
