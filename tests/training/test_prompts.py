"""Our own prompts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tradewind.training import prompts
from tradewind.training.prompts import Prompt

FILES = sorted(prompts.FOLDER.glob("*.jsonl"))
LARGE = 100
"""Prompts from which chance no longer explains a rank correlation over .1 in a file."""
DOMAIN = 5
"""Prompts from which a domain must have every label."""
ROW: dict[str, Any] = {"id": "a", "language": "en", "domain": "facts", "labels": [1, 2], "text": "which ocean is that"}
SAID = {"role": "user", "content": "hello"}
ANSWERED = {"role": "assistant", "content": "hi"}


def of(path: Path) -> list[Prompt]:
    return [prompt for _, prompt in prompts.read(path)]


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "some.jsonl"
    path.write_text("\n".join(json.dumps(ROW | row) for row in rows), encoding="utf-8")
    return path


def test_there_are_enough_and_length_does_not_tell_the_label() -> None:
    found = prompts.load()
    assert len(found) >= 1500
    assert prompts.unbalanced(found) == []
    taught, tested = prompts.halves(found)
    assert abs(len(taught) - len(tested)) < 0.2 * len(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_labels_of_a_file_are_equally_frequent_and_not_told_by_length(path: Path) -> None:
    found = of(path)
    counts = Counter(prompt.labels[0] for prompt in found)
    assert all(0.18 * len(found) <= counts[label] <= 0.22 * len(found) for label in prompts.LABELS)
    limit = 0.1 if len(found) >= LARGE else prompts.LENGTH_LIMIT
    told = prompts.spearman([len(prompt.text) for prompt in found], [prompt.labels[0] for prompt in found])
    assert abs(told) <= limit


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in ("english-2", "code-2")], ids=lambda path: path.stem)
def test_neither_length_nor_domain_gives_a_label_away(path: Path) -> None:
    lengths = defaultdict(list)
    labels = defaultdict(list)
    for prompt in of(path):
        lengths[prompt.labels[0]].append(len(prompt.text))
        labels[prompt.domain].append(prompt.labels[0])
    for label in prompts.LABELS:
        count = len(lengths[label])
        assert sum(length < 60 for length in lengths[label]) >= 0.1 * count
        assert sum(length > 400 for length in lengths[label]) >= 0.1 * count
    assert {domain for domain, found in labels.items() if len(found) >= DOMAIN and set(found) != set(prompts.LABELS)} == set()


def test_no_prompt_nearly_repeats_another() -> None:
    assert prompts.near_duplicates(prompts.load()) == []


def test_near_duplicates_are_found_across_case_and_punctuation() -> None:
    first = Prompt("a", "en", "facts", 1, "Which ocean is the deepest, please?")
    again = Prompt("b", "en", "facts", 1, "which OCEAN is the deepest please")
    other = Prompt("c", "en", "facts", 1, "Which ocean is the coldest, please?")
    assert prompts.near_duplicates([first, again, other]) == [("a", "b")]


def test_context_comes_before_the_text(tmp_path: Path) -> None:
    write(tmp_path, {"context": [SAID, ANSWERED]})
    (prompt,) = prompts.load(tmp_path)
    assert [turn.role for turn in prompt.context] == ["user", "assistant"]
    assert prompt.conversation == ("hello", "hi", "which ocean is that")


def test_one_text_in_two_contexts_is_two_prompts(tmp_path: Path) -> None:
    write(tmp_path, {"id": "a"}, {"id": "b", "context": [SAID, ANSWERED]})
    assert [prompt.id for prompt in prompts.load(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"labels": [1, 6]}], r"some.jsonl:1: labels are \[1, 6\]"),
        ([{}, {"text": "another"}], "some.jsonl:2: `a` repeats an id"),
        ([{}, {"id": "b"}], "some.jsonl:2: `b` repeats"),
        ([{"context": [SAID]}], "some.jsonl:1: context is"),
        ([{"context": [ANSWERED, SAID]}], "some.jsonl:1: context is"),
        ([{"context": [SAID | {"role": "system"}, ANSWERED]}], "some.jsonl:1: context is"),
        ([{"context": [SAID, ANSWERED] * 3}], "4 turns at most"),
        ([{"context": [SAID, ANSWERED | {"content": " "}]}], "some.jsonl:1: a turn of the context is empty"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    write(tmp_path, *rows)
    with pytest.raises(ValueError, match=says):
        prompts.load(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 1, 2, 2], [1, 2, 3, 4], 0.8944),
        ([1, 1], [1, 2], 0.0),
    ],
)
def test_spearman_by_hand(first: list[float], second: list[float], expected: float) -> None:
    assert prompts.spearman(first, second) == pytest.approx(expected, abs=1e-4)


def test_the_second_labeller_agrees_with_the_first() -> None:
    """Chance alone brings the weighted kappa to 0; two people who rate the same thing rarely come over .8."""
    found = prompts.agreement(prompts.load())
    assert found["within_one"] > 0.95
    assert found["weighted_kappa"] > 0.85
    assert found["spearman"] > 0.85


def test_agreement_by_hand() -> None:
    def of(*labels: tuple[int, int]) -> dict[str, float]:
        return prompts.agreement([prompts.Prompt(str(n), "en", "facts", pair, str(n)) for n, pair in enumerate(labels)])

    assert of((1, 1), (5, 5))["weighted_kappa"] == 1
    # Squared differences: 0, 0, 1, 4, 1.25 on average; over the 16 pairs of {1, 2, 3, 5} and {1, 2, 4, 3}, 3.5.
    found = of((1, 1), (2, 2), (3, 4), (5, 3))
    assert (found["equal"], found["within_one"]) == (0.5, 0.75)
    assert found["weighted_kappa"] == pytest.approx(1 - 1.25 / 3.5)
