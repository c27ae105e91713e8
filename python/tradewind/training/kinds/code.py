"""A Python function, called with each test's arguments in the sandbox."""

from __future__ import annotations

from typing import Any

from tradewind.training import marking, sandbox
from tradewind.training.anchors import Anchor
from tradewind.training.kinds import json
from tradewind.training.marking import Entry


def source(written: str, function: str) -> str:
    """The last code block that defines the function, else all of what was written."""
    blocks = marking.fenced(written, ("python", "py", "python3"))
    defining = [block for block in blocks if f"def {function}" in block]
    return defining[-1] if defining else written


def accepts(answer: Any) -> bool:
    """`{"function": name, "cases": [{"args": [...], "expect": value}]}`"""
    if not isinstance(answer, dict) or answer.keys() != {"function", "cases"} or not isinstance(answer["function"], str):
        return False
    cases = answer["cases"]
    return (
        isinstance(cases, list)
        and bool(cases)
        and all(
            isinstance(case, dict) and case.keys() == {"args", "expect"} and isinstance(case["args"], list) for case in cases
        )
    )


def score(anchor: Anchor, written: str) -> float:
    """1 where every call gives what its test expects; the expected values never enter the sandbox."""
    function, cases = anchor.answer["function"], anchor.answer["cases"]
    ran = sandbox.call(source(written, function), function, [case["args"] for case in cases])
    return float(all(json.equal(value, case["expect"]) for value, case in zip(ran.values, cases, strict=True)))


ENTRY = Entry(
    name="code",
    about="the answer is a Python function that passes tests",
    instruction="Reply with one Python code block. Use the standard library only; read no input and print nothing.",
    expects='`tests` as {"function": name, "cases": [{"args": […], "expect": …}]}',
    accepts=accepts,
    score=score,
)
