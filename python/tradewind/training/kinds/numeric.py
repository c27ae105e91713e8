"""A number: after `Answer:` or in `\\boxed{}`, else the last one that is written."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from tradewind.training import marking
from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry

RELATIVE = 1e-6
"""Of the right number, where an anchor states no tolerance."""

# A fraction, or digits in groups of three or at a stretch, with decimals and an exponent.
_NUMBER = re.compile(r"[-+]?\d+\s*/\s*\d+|[-+]?(?:\d{1,3}(?:[,\u202f\u00a0 ]\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
# `3,5` and `0,25`, but not `1,000`.
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=(?:\d{1,2}|\d{4,})(?!\d))|(?<=\b0),(?=\d)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def numbers(text: str) -> list[float]:
    """Every number in a text: `1,234.5`, `−3`, `3/4`, `\\frac{3}{4}`, `2e5`."""
    cleaned = _LATEX_FRACTION.sub(r"\1/\2", text.replace("−", "-").replace("\\,", "").replace("{,}", ","))
    cleaned = _DECIMAL_COMMA.sub(".", cleaned)
    return [value for value in map(_value, _NUMBER.findall(cleaned)) if value is not None]


def _value(found: str) -> float | None:
    digits = re.sub(r"[,\u202f\u00a0 ]", "", found)
    if not any(mark.isdigit() for mark in digits):
        return None
    try:
        value = float(Fraction(digits)) if "/" in digits else float(digits)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def accepts(answer: Any) -> bool:
    """A finite number."""
    return isinstance(answer, int | float) and not isinstance(answer, bool) and math.isfinite(answer)


def score(anchor: Anchor, written: str) -> float:
    """1 where the number is right within the anchor's tolerance."""
    marked = marking.marked(written)
    # `Answer: 6 × 7 = 42 cm^2`: what follows the last sign of equality, and there the first number.
    found = numbers(written)[-1:] if marked is None else numbers(marked.rsplit("=", 1)[-1])[:1]
    right = float(anchor.answer)
    tolerance = RELATIVE * max(abs(right), 1e-9) if anchor.tolerance is None else anchor.tolerance
    # Decimals such as 0.1 are not exact: what lies on the edge is inside.
    return float(any(abs(value - right) <= tolerance * (1 + 1e-9) for value in found))


ENTRY = Entry(
    name="numeric",
    about="the final answer is a number",
    instruction="Think first if you need to. End with a line of the form `Answer: …` that holds nothing but the number.",
    expects="a number",
    accepts=accepts,
    score=score,
)
