"""What a format gives: the questions of a set and what each model's answers to them were worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind.training.formats.files import File

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Question:
    """One prompt."""

    id: str
    text: str
    task: str
    contaminated: bool = False
    """Whether the authors exclude it."""


@dataclass(frozen=True)
class Answer:
    """One model's answer to one question."""

    question: str
    """Its id."""
    model: str
    score: float
    """In [0, 1]."""
    cost_usd: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True)
class Tables:
    """The two tables of a set, as columns of equal length; `None` or NaN where a value is not known."""

    queries: Columns
    """query_id, prompt, query_text, task; contaminated where the authors say so."""
    outcomes: Columns
    """query_id, model, score in [0, 1], cost_usd; output_tokens, output_chars, cost_usd_est where they are known."""

    @staticmethod
    def of(questions: Iterable[Question], answers: Iterable[Answer]) -> Tables:
        """Columns of these rows."""
        asked, given = list(questions), list(answers)
        texts = [question.text for question in asked]
        return Tables(
            {
                "query_id": [question.id for question in asked],
                "prompt": texts,
                "query_text": texts,
                "task": [question.task for question in asked],
                "contaminated": [question.contaminated for question in asked],
            },
            {
                "query_id": [answer.question for answer in given],
                "model": [answer.model for answer in given],
                "score": [answer.score for answer in given],
                "cost_usd": [answer.cost_usd for answer in given],
                "output_tokens": [answer.output_tokens for answer in given],
            },
        )


@dataclass(frozen=True)
class Source:
    """Where one set lies."""

    name: str
    path: Path
    """A file, or a folder."""
    files: tuple[File, ...]
    """Its data files, sorted."""
    part: str = ""
    """Which of the sets of the file; empty where it holds one."""


@dataclass(frozen=True)
class Entry:
    """A format. Errors of `recognises` and `read` are `UsageError`s that name file, row and column."""

    name: str
    about: str
    """What a set in this format is, for the error that lists all."""
    recognises: Callable[[Sequence[File]], bool]
    """Whether files with these names and columns are a set in this format. No two formats recognise the same."""
    read: Callable[[Source], Tables]
    parts: tuple[str, ...] = ("",)
    """Names of the sets that one file holds."""
