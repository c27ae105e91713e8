"""Prompts of our own writing with a difficulty label, which tie the difficulty part to chat (exams alone do
not).

A label from 1 to 5 is the smallest of five capability tiers that would answer the prompt well. Two labellers gave one each
before any training, the second without seeing the first's; what trains and tests is their mean. Half of the prompts
trains, half tests, by a hash of the id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent / "prompts"
LABELS = range(1, 6)
LENGTH_LIMIT = 0.2
"""Largest |Spearman(length, label)| within a language: length must not tell the label."""


CONTEXT_TURNS = 4
"""Most turns of a conversation before the prompt."""
NEAR_DUPLICATE = 0.8
"""Jaccard similarity of the sets of tokens above which two prompts count as one."""
TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
"""A word, or one Chinese character."""


@dataclass(frozen=True)
class Turn:
    """What the user or the assistant said before the prompt."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """One prompt; labels from 1 (any model answers it well) to 5 (only the best do), given its `context`."""

    id: str
    language: str
    domain: str
    labels: tuple[int, int]
    """of the one who wrote it, and of the one who did not"""
    text: str
    """The user's last message, which is what a router looks at."""
    context: tuple[Turn, ...] = ()
    """The turns before it: user and assistant in turn."""

    @property
    def label(self) -> float:
        """The mean of both."""
        return sum(self.labels) / 2

    @property
    def tests(self) -> bool:
        """Whether it is in the test half."""
        return hashlib.sha256(self.id.encode()).digest()[0] % 2 == 1

    @property
    def conversation(self) -> tuple[str, ...]:
        """What was said, the prompt last."""
        return (*(turn.content for turn in self.context), self.text)


def load(folder: Path = FOLDER) -> list[Prompt]:
    """All prompts of the folder's `*.jsonl`, by id. Raises `ValueError` on a wrong label, a malformed context
    or a repeated id or conversation."""
    found: dict[str, Prompt] = {}
    conversations: set[tuple[str, ...]] = set()
    for path in sorted(folder.glob("*.jsonl")):
        for place, prompt in read(path):
            if prompt.id in found or prompt.conversation in conversations:
                raise ValueError(f"{place}: `{prompt.id}` repeats an id or a text")
            found[prompt.id] = prompt
            conversations.add(prompt.conversation)
    return [found[key] for key in sorted(found)]


def read(path: Path) -> list[tuple[str, Prompt]]:
    """(place, prompt) of each line of one file. Raises `ValueError` on a wrong label or a malformed context."""
    places = ((f"{path.name}:{number}", line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    return [(place, _prompt(json.loads(line), place)) for place, line in places if line.strip()]


def _prompt(raw: Mapping[str, Any], place: str) -> Prompt:
    labels = tuple(raw["labels"])
    if len(labels) != 2 or not all(label in LABELS for label in labels):
        raise ValueError(f"{place}: labels are {list(labels)}, not two from 1 to 5")
    context = tuple(Turn(turn["role"], turn["content"]) for turn in raw.get("context", ()))
    roles = [turn.role for turn in context]
    if roles != ["user", "assistant"] * (len(roles) // 2) or len(roles) > CONTEXT_TURNS:
        raise ValueError(f"{place}: context is {roles}, not `user` and `assistant` in turn, {CONTEXT_TURNS} turns at most")
    if not all(turn.content.strip() for turn in context):
        raise ValueError(f"{place}: a turn of the context is empty")
    return Prompt(raw["id"], raw["language"], raw["domain"], labels, raw["text"], context)


def near_duplicates(prompts: Sequence[Prompt]) -> list[tuple[str, str]]:
    """Ids of pairs whose conversations' token sets have a Jaccard similarity over `NEAR_DUPLICATE`."""
    sets = [(p.id, frozenset(TOKEN.findall(" ".join(p.conversation).lower()))) for p in prompts]
    sets.sort(key=lambda pair: len(pair[1]))
    found = []
    for index, (one, few) in enumerate(sets):
        for other, many in sets[index + 1 :]:
            if len(few) <= NEAR_DUPLICATE * len(many):
                break  # |A ∩ B| / |A ∪ B| is at most |A| / |B|, and those to come are no smaller.
            if len(few & many) > NEAR_DUPLICATE * len(few | many):
                found.append((one, other))
    return found


def agreement(prompts: Sequence[Prompt]) -> dict[str, float]:
    """How far the two labellers agree: shares of equal labels and of labels at most one apart, Spearman, and Cohen's kappa
    with quadratic weights (Cohen 1968), which chance alone would bring to 0."""
    first, second = np.array([p.labels for p in prompts]).T
    apart = np.abs(first - second)
    by_chance = np.mean((first[:, None] - second[None, :]) ** 2)
    return {
        "n": len(prompts),
        "equal": float((apart == 0).mean()),
        "within_one": float((apart <= 1).mean()),
        "weighted_kappa": float(1 - np.mean(apart**2) / by_chance),
        "spearman": spearman(first, second),
    }


def halves(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """(train, test)"""
    return [p for p in prompts if not p.tests], [p for p in prompts if p.tests]


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Rank correlation, ties by mean rank; 0 where one side does not vary."""
    a, b = _ranks(np.asarray(first, float)), _ranks(np.asarray(second, float))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return mean


def length_balance(prompts: Sequence[Prompt]) -> dict[str, float]:
    """Spearman(characters, label) by language."""
    languages = sorted({p.language for p in prompts})
    groups = {language: [p for p in prompts if p.language == language] for language in languages}
    return {language: spearman([len(p.text) for p in group], [p.label for p in group]) for language, group in groups.items()}


def unbalanced(prompts: Sequence[Prompt]) -> list[str]:
    """The languages in which length tells too much about the label."""
    return [language for language, value in length_balance(prompts).items() if abs(value) > LENGTH_LIMIT]
