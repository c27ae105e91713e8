"""The shipped anchors: there are enough, they are balanced, their answers are those that their references arrive at."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tradewind.artifacts import predictor
from tradewind.errors import UsageError
from tradewind.training import anchors, manifest, prompts, scoring, stems
from tradewind.training.anchors import Anchor

SHIPPED = anchors.shipped()


def of_kind(*kinds: str) -> list[Anchor]:
    return [anchor for anchor in SHIPPED if anchor.kind in kinds]


def test_there_are_enough_and_each_is_one() -> None:
    assert len(SHIPPED) >= 400
    assert len({anchor.id for anchor in SHIPPED}) == len({anchor.text for anchor in SHIPPED}) == len(SHIPPED)
    scoring.check(SHIPPED)


def test_domains_have_all_levels_alike() -> None:
    domains = {anchor.domain for anchor in SHIPPED}
    assert len(domains) >= 12
    for domain in domains:
        levels = Counter(anchor.level for anchor in SHIPPED if anchor.domain == domain)
        assert levels.keys() == set(anchors.LEVELS), domain
        assert max(levels.values()) - min(levels.values()) <= 3, domain
    assert {"en", "de", "fr", "es", "zh"} == {anchor.language for anchor in SHIPPED}


def test_no_letter_is_the_better_guess() -> None:
    letters = Counter(anchor.answer for anchor in of_kind("choice"))
    assert set(letters) == set("ABCD")
    assert max(letters.values()) <= 0.4 * letters.total()


def result(reference: str) -> Any:
    """Of an expression, or of statements that end with `answer`."""
    names: dict[str, Any] = {}
    try:
        return eval(reference, names)
    except SyntaxError:
        exec(reference, names)
        return names["answer"]


@pytest.mark.parametrize("domain", sorted({anchor.domain for anchor in SHIPPED}))
def test_references_arrive_at_the_answers(domain: str) -> None:
    for anchor in of_kind("numeric", "exact"):
        if anchor.domain == domain and anchor.reference is not None:
            assert scoring.score(anchor, f"Answer: {result(anchor.reference)}") == 1.0, anchor.id


def test_every_number_has_a_reference_and_a_wrong_one_is_wrong() -> None:
    for anchor in of_kind("numeric"):
        assert anchor.reference is not None, anchor.id
        assert scoring.score(anchor, f"Answer: {anchor.answer + max(1, abs(anchor.answer) / 50)}") == 0.0, anchor.id


def test_forms_fit_their_example_and_nothing_like_it() -> None:
    for anchor in of_kind("regex"):
        assert anchor.reference is not None, anchor.id
        assert scoring.score(anchor, anchor.reference) == 1.0, anchor.id
        assert scoring.score(anchor, f"Sure! Here it is:\n\n{anchor.reference}") == 0.0, anchor.id


def test_reference_programs_pass_their_tests_in_the_sandbox() -> None:
    for anchor in of_kind("code"):
        assert anchor.reference is not None, anchor.id
        assert scoring.score(anchor, f"Here:\n```python\n{anchor.reference}\n```\nDone.") == 1.0, anchor.id


def test_programs_that_do_nothing_fail() -> None:
    for anchor in of_kind("code")[::4]:
        function = anchor.answer["function"]
        assert scoring.score(anchor, f"```python\ndef {function}(*given):\n    return None\n```") == 0.0, anchor.id


def test_none_is_a_training_question_or_a_labelled_prompt() -> None:
    trained = manifest.training_stems(predictor.default_folder())
    assert trained
    own = {prompt.text for prompt in prompts.load()}
    for anchor in SHIPPED:
        assert stems.digest(anchor.text)[: manifest.STEM_DIGITS] not in trained, anchor.id
        assert anchor.text not in own, anchor.id


def test_a_larger_limit_adds_to_a_smaller_one_and_both_are_spread() -> None:
    small, large = anchors.select(SHIPPED, 65), anchors.select(SHIPPED, 130)
    assert large[:65] == small
    assert len({(anchor.domain, anchor.level) for anchor in small}) == 65
    assert len(anchors.select(SHIPPED, 10_000)) == len(SHIPPED)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("[]", 'is not {"text": "…"}'),
        ("{", "is not JSON"),
        ('{"text": "x", "anser": 1}', "has `anser`; known are `answer`"),
        ('{"text": "x", "id": "a"}\n{"text": "y", "id": "a"}', "repeats the id `a`"),
        ('{"text": "x", "id": 5}', "`id` is 5; expected a text"),
        ('{"text": "x", "domain": null}', "`domain` is None; expected a text"),
        ('{"text": "x", "level": 6}', "`level` is 6; expected 1 to 5"),
        ('{"text": "x", "answer": 1, "kind": "numeric", "tolerance": "1"}', "`tolerance` is '1'; expected a number from 0"),
        ('{"text": "x", "tests": {"function": "f", "cases": []}}', "has `tests`, which only kind `code` has"),
        ("", "holds no anchor"),
    ],
)
def test_what_is_no_anchor_is_refused_with_its_place(tmp_path: Path, line: str, part: str) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(line)
    with pytest.raises(UsageError) as refusal:
        anchors.read(file)
    assert part in refusal.value.message
    assert str(file) in refusal.value.path


@pytest.mark.parametrize(
    ("anchor", "part"),
    [
        ({"text": "x", "kind": "exakt", "answer": "y"}, "unknown kind of anchor `exakt`"),
        ({"text": "x", "kind": "numeric", "answer": "7"}, "expected a number"),
        ({"text": "x", "kind": "choice", "answer": "yes"}, "expected a letter"),
        ({"text": "x", "kind": "regex", "answer": "("}, "expected a regular expression"),
        ({"text": "x", "kind": "json", "answer": 3}, "expected an object or a list"),
        ({"text": "x", "kind": "code", "tests": {"function": "f", "cases": []}}, "`tests` of anchor"),
    ],
)
def test_an_answer_that_its_kind_cannot_use_is_refused(tmp_path: Path, anchor: dict[str, Any], part: str) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps(anchor))
    with pytest.raises(UsageError) as refusal:
        scoring.check(anchors.read(file))
    assert part in refusal.value.message
