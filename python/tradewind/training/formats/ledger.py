"""Our own ledger: outcomes (CONTRACTS, "An outcome") to which someone has added the `score` of the answer.

A call is a question where its text was captured (`--capture text`); the model that answered is the one that is scored.
Calls with one text are one question, so that a prompt that was sent to several models is compared between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tradewind.artifacts import outcome
from tradewind.errors import UsageError
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File, Record

KEYS = frozenset({"id", "attempts", "answered_by", "capture"})
NANO = 1e-9


def recognises(given: Sequence[File]) -> bool:
    """Only files of outcomes."""
    return bool(given) and all(file.kind == "jsonl" and set(file.names) >= KEYS for file in given)


def read(source: Source) -> Tables:
    """Calls without an answer or a score are left out. Raises `UsageError` where no call has a score, or a scored one no
    text."""
    questions: dict[str, Question] = {}
    answers = []
    for file in source.files:
        for row in _records(file):
            score = row.score("score")
            if score is None or row.values["answered_by"] is None:
                continue
            text = _text(row)
            question = questions.setdefault(text, Question(row.text("id"), text, source.name))
            answers.append(_answer(row, question, score))
    if not answers:
        message = (
            f"{source.path.name} is a ledger without scores: add to each line the quality of its answer as `score`, "
            "a number from 0 to 1 (from feedback, or a judge)"
        )
        raise UsageError(message, str(source.path))
    return Tables.of(questions.values(), answers)


def _records(file: File) -> Iterator[Record]:
    """The calls. A last line that a crash cut off is left out, as elsewhere; any other that cannot be read is an error."""
    for number, found in enumerate(outcome.read_file(file.path), start=1):
        where = f"{file.path.name}, line {number}"
        if isinstance(found, outcome.Outcome):
            yield Record(where, found.document)
        elif not found.last:
            raise UsageError(f"{where}: it is no outcome", where)


def _text(row: Record) -> str:
    """What the user said last."""
    capture = row.values["capture"]
    kind = capture.get("kind") if isinstance(capture, dict) else capture
    if kind != "text":
        row.refuse("capture", kind, "`text`: no other call has kept its prompt (`tradewind serve --capture text`)")
    try:
        messages = json.loads(capture["body"])["messages"]
        said = [_spoken(message["content"]) for message in messages if message["role"] == "user"][-1]
    except (KeyError, IndexError, TypeError, ValueError):
        row.refuse("capture", capture.get("body"), "the body of a chat call with a user's message")
    return said


def _spoken(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _answer(row: Record, question: Question, score: float) -> Answer:
    """Cost is of this model's attempts alone: what others failed at is not its price."""
    model = row.text("answered_by")
    own = [attempt for attempt in row.values["attempts"] if attempt["model"] == model]
    if not own:
        row.refuse("answered_by", model, "the model of an attempt")
    cost = sum(attempt["cost_nanousd"] for attempt in own) * NANO
    return Answer(question.id, model, score, cost, own[-1]["output_tokens"])


ENTRY = Entry(
    "ledger",
    "our ledger (JSONL of outcomes) with captured text and a `score` on each line",
    recognises,
    read,
)
