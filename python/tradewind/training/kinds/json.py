"""A JSON document, compared as data: order of keys, white space and `1` against `1.0` do not count."""

from __future__ import annotations

import json
import math
from typing import Any

from tradewind.training import marking
from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry

NOTHING = object()


def document(written: str) -> Any:
    """The last document in a code block, else the last object or list in the text; `NOTHING` where there is none."""
    for block in reversed(marking.fenced(written, ("json", "jsonc"))):
        try:
            return json.loads(block)
        except ValueError:
            continue
    return _last(written)


def equal(one: Any, other: Any) -> bool:
    """Whether two documents say the same; truth values are not numbers, numbers agree to nine digits."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(type(one) is type(other) and one == other)


def _last(text: str) -> Any:
    decoder, found, at = json.JSONDecoder(), NOTHING, 0
    while at < len(text):
        if text[at] in "{[":
            try:
                found, at = decoder.raw_decode(text, at)
                continue
            except (ValueError, RecursionError):
                pass
        at += 1
    return found


def accepts(answer: Any) -> bool:
    """An object or a list."""
    return isinstance(answer, dict | list)


def score(anchor: Anchor, written: str) -> float:
    """1 where the document is the anchor's."""
    return float(equal(document(written), anchor.answer))


ENTRY = Entry(
    name="json",
    about="the answer is a JSON document",
    instruction="Reply with one JSON document and nothing else.",
    expects="an object or a list",
    accepts=accepts,
    score=score,
)
