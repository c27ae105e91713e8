"""Prompts of our own writing with a difficulty label, which tie the difficulty part to chat (exams alone do
not).

A label from 1 to 5 is the smallest of five capability tiers that would answer the prompt well; it was given
before any training. Half of the prompts trains, half tests, by a hash of the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent / "prompts"
LABELS = range(1, 6)
LENGTH_LIMIT = 0.2
"""Largest |Spearman(length, label)| within a language: length must not tell the label."""


@dataclass(frozen=True)
class Prompt:
    """One prompt; `label` from 1 (any model answers it well) to 5 (only the best do)."""

    id: str
    language: str
    domain: str
    label: int
    text: str

    @property
    def tests(self) -> bool:
        """Whether it is in the test half."""
        return hashlib.sha256(self.id.encode()).digest()[0] % 2 == 1


def load(folder: Path = FOLDER) -> list[Prompt]:
    """All prompts of the folder's `*.jsonl`, by id. Raises `ValueError` on a wrong label or a repeated id or
    text."""
    found: dict[str, Prompt] = {}
    texts: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            raw = json.loads(line)
            prompt = Prompt(raw["id"], raw["language"], raw["domain"], raw["label"], raw["text"])
            if prompt.label not in LABELS:
                raise ValueError(f"{path.name}:{number}: label {prompt.label} is not 1 to 5")
            if prompt.id in found or prompt.text in texts:
                raise ValueError(f"{path.name}:{number}: `{prompt.id}` repeats an id or a text")
            found[prompt.id] = prompt
            texts.add(prompt.text)
    return [found[key] for key in sorted(found)]


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
