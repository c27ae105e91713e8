"""Shares on the command line."""

from __future__ import annotations

import re

from tradewind.errors import UsageError

PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]+)?%")
FRACTION = re.compile(r"(0\.[0-9]+|1\.0+)")


def fraction(text: str, flag: str) -> float:
    """From 0 to 1, of `30%` or `0.3`. A bare `1` or `30` could be meant either way."""
    if PERCENT.fullmatch(text) and float(text[:-1]) <= 100:
        return float(text[:-1]) / 100
    if FRACTION.fullmatch(text):
        return float(text)
    raise UsageError(f"{flag} is `{text}`; expected a percentage from `0%` to `100%` or a fraction such as `0.3`", flag)
