"""Stem normalisation, by golden rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewind.errors import UsageError
from tradewind.training import stems

GOLDEN = [
    ("What is 2 + 2?", "whatis22"),
    ("What  is\n2+2", "whatis22"),
    ("Which planet is red?\nA. Mars\nB. Venus", "whichplanetisred"),
    ("Which planet is red?\n(A) Mars\n(B) Venus", "whichplanetisred"),
    ("Which planet is red?\nb) Venus", "whichplanetisred"),
    ("Ｗｈｉｃｈ planet is red？", "whichplanetisred"),
    ("Größe α β", "gre"),
    ("下列哪项正确？\nA. 甲\nB. 乙", "下列哪项正确"),
    ("A. first", "afirst"),
    ("\nA. only options\nB. here", "aonlyoptionsbhere"),
    ("∀∃", "∀∃"),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN)
def test_a_stem_is_the_question_whatever_its_formatting(text: str, expected: str) -> None:
    assert stems.normalise(text) == expected


def test_a_question_falls_on_the_same_side_in_every_set() -> None:
    first, second = stems.digest("Why?\nA. x"), stems.digest("why")
    assert first == second
    assert stems.bucket(first, 7) == stems.bucket(second, 7)
    assert stems.bucket(first, 7) != stems.bucket(first, 8)


def test_an_exclusion_file_with_anything_but_digests_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stems.txt"
    path.write_text(f"# ours\n{stems.digest('why')}\n\n", encoding="utf-8")
    assert stems.read(path) == {stems.digest("why")}
    path.write_text("why\n", encoding="utf-8")
    with pytest.raises(UsageError, match="not a SHA-256"):
        stems.read(path)
