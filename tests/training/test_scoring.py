"""Scoring what models write: what counts as the answer, and what as right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import UpstreamInvalid, UsageError
from tradewind.training import judging, scoring
from tradewind.training.anchors import Anchor
from tradewind.training.kinds import numeric


def check(kind: str, answer: Any, written: str, tolerance: float | None = None) -> bool:
    return scoring.score(Anchor("a", "text", kind, answer, tolerance=tolerance), written) == 1.0


@pytest.mark.parametrize(
    ("answer", "written", "right"),
    [
        (42, "42", True),
        (42, "The answer is 42.", True),
        (42, "6 × 7 = 42, so there are 42 apples.\n\nAnswer: 42 apples", True),
        (42, "**Answer:** 42", True),
        (42, "Answer: 6 × 7 = 42", True),
        (42, "Answer: 41\nWait.\nAnswer: 42", True),
        (42, "Answer: 42\nAnswer: 41", False),
        (12, "Answer: 12 cm^2", True),
        (42, "So it is \\boxed{42}.", True),
        (0.75, "\\boxed{\\frac{3}{4}}", True),
        (0.75, "Answer: 3/4", True),
        (1234567, "Answer: 1,234,567", True),
        (1234567, "Answer: 1 234 567", True),
        (-5, "Answer: −5", True),
        (3.5, "Antwort: 3,5", True),
        (0.125, "Respuesta: 0,125", True),
        (1000, "Answer: 1,000", True),
        (400, "答案:400元", True),
        (200000, "Answer: 2e5", True),
        (42, "<think>Answer: 42</think>\nAnswer: 43", False),
        (42, "<think>never ending, 42", False),
        (42, "", False),
        (42, "I cannot tell.", False),
        (42, "Answer: forty-two", False),
        (42, "Answer: 1/0", False),
    ],
)
def test_numbers(answer: float, written: str, right: bool) -> None:
    assert check("numeric", answer, written) is right


def test_a_tolerance_is_absolute_and_holds_at_its_edge() -> None:
    assert check("numeric", 1.2, "Answer: 1.3", tolerance=0.1)
    assert not check("numeric", 1.2, "Answer: 1.31", tolerance=0.1)


@given(st.integers(-(10**15), 10**15))
def test_every_whole_number_is_read_however_it_is_grouped(value: int) -> None:
    assert numeric.numbers(f"It is {value:,}.") == [value] == numeric.numbers(f"{value}")


@given(st.text(max_size=200))
def test_no_text_breaks_a_rule(written: str) -> None:
    for kind, answer in (("exact", "x"), ("numeric", 1), ("choice", "A"), ("json", {}), ("regex", "q{3}")):
        assert not check(kind, answer, "¤" + written.translate({ord(c): None for c in "0123456789Aa{[xXq"}))


@pytest.mark.parametrize(
    ("answer", "written", "right"),
    [
        ("Sunday", "sunday", True),
        ("Sunday", "It was a Sunday\n\n**Answer: Sunday.**", True),
        ("Sunday", "Answer: “Sunday”", True),
        ("Sunday", "Answer: Saturday", False),
        ("Sunday", "Answer: not Sunday", False),
        (["02:25", "2:25"], "Answer: 2:25", True),
        ("die Bäume", "Antwort: Die Bäume", True),
        ("-7", "Answer: $-7$", True),
    ],
)
def test_words(answer: Any, written: str, right: bool) -> None:
    assert check("exact", answer, written) is right


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("B", True),
        ("(B)", True),
        ("Answer: B", True),
        ("Answer: B) Venus", True),
        ("**B**", True),
        ("A is wrong because of I and J.\nAnswer: **B**", True),
        ("The answer is B", True),
        ("Answer: C", False),
        ("Because", False),
        ("", False),
    ],
)
def test_letters(written: str, right: bool) -> None:
    assert check("choice", "B", written) is right


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ('{"a": 1, "b": [true, null]}', True),
        ('{"b": [true, null], "a": 1.0}', True),
        ('Here it is:\n```json\n{"a": 1, "b": [true, null]}\n```\nDone.', True),
        ('First {"a": 2}, rather {"a": 1, "b": [true, null]}', True),
        ('{"a": true, "b": [true, null]}', False),
        ('{"a": 1, "b": [1, null]}', False),
        ('{"a": 1, "b": [true, null], "c": 0}', False),
        ('{"a": 1, "b": [true, null]', False),
        ("[" * 3000, False),
    ],
)
def test_documents(written: str, right: bool) -> None:
    assert check("json", {"a": 1, "b": [True, None]}, written) is right


def test_code_is_the_last_block_that_defines_the_function_and_errors_are_wrong_answers() -> None:
    tests = {"function": "f", "cases": [{"args": [2], "expect": 4}, {"args": [-1], "expect": 1}]}
    right = "def f(x):\n    return x * x"
    assert check(
        "code", tests, f"```python\ndef f(x): return 0\n```\nBetter:\n```python\n{right}\n```\nUse:\n```python\nf(2)\n```"
    )
    assert check("code", tests, right)
    for wrong in ("def f(x):\n    return x + 3", "def f(x): raise ValueError", "def g(x): return x * x", "def f(x", "no code"):
        assert not check("code", tests, wrong)


def test_open_answers_need_a_judge() -> None:
    with pytest.raises(UsageError, match="only a judge"):
        check("open", None, "whatever")


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("Verdict: 10", 1.0),
        ("Verdict: 1", 0.0),
        ("**Verdict:** 5.5", 0.5),
        ("Score: 10/10", 1.0),
        ("I would give it a rating of 10 out of 10.", 1.0),
        ("It has 3 flaws.\nVerdict: 10", 1.0),
        ("Verdict: 2. No, on reflection:\nVerdict: 10", 1.0),
        ("[[10]]", 1.0),
        ("10", 1.0),
        ("Yes", 1.0),
        ("no.", 0.0),
        ("Yes, the answer is correct.", 1.0),
        ("[[no]]", 0.0),
        ("Verdict: yes", 1.0),
        ("<think>Verdict: 1</think>Verdict: 10", 1.0),
    ],
)
def test_verdicts(said: str, score: float) -> None:
    assert judging.verdict(said) == pytest.approx(score)


@pytest.mark.parametrize("said", ["", "It is fine.", "Verdict: 11", "Verdict: 0", "Score: 4/5", "I know 3 things about it."])
def test_what_is_no_verdict_is_not_guessed(said: str) -> None:
    with pytest.raises(UpstreamInvalid, match="neither 1 to 10 nor yes or no"):
        judging.verdict(said)
