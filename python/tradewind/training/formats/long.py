"""A user's own table, one row for each answer: prompt, model, score, and what else is known of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.errors import UsageError, listed
from tradewind.training.formats import files
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File

NEEDED = ("prompt", "model", "score")
OPTIONAL = ("cost_usd", "output_tokens", "task", "id")


def recognises(given: Sequence[File]) -> bool:
    """One table with prompts and models."""
    return len(given) == 1 and given[0].kind in files.TABULAR and {"prompt", "model"} <= set(given[0].names)


def read(source: Source) -> Tables:
    """Rows of one `id` are answers to one question; where the file has no ids, rows of one prompt are."""
    file = source.files[0]
    files.need(file, NEEDED)
    has_ids = "id" in file.names
    questions: dict[str, Question] = {}
    seen: dict[tuple[str, str], str] = {}
    answers = []
    for row in files.records(file):
        unknown = [name for name in row.values if name not in (*NEEDED, *OPTIONAL)]
        if unknown:
            accepted = listed((*NEEDED, *OPTIONAL))
            raise UsageError(f"{row.where}: unknown column {listed(unknown)}; expected {accepted}", row.where)
        text, model = row.text("prompt"), row.text("model")
        key = row.text("id") if has_ids else text
        task = row.text("task") if "task" in row.values else source.name
        first = questions.setdefault(key, Question(key if has_ids else str(len(questions) + 1), text, task))
        if first.text != text:
            row.refuse("prompt", text, f"the prompt that the id `{key}` had before")
        if first.task != task:
            row.refuse("task", task, f"the task that this question had before, `{first.task}`")
        if (key, model) in seen:
            what = f"the id `{key}`" if has_ids else "this prompt"
            row.refuse("model", model, f"one row for each model of {what}; the other one is {seen[key, model]}")
        seen[key, model] = row.where
        score = row.score("score")
        cost, tokens = row.amount("cost_usd"), row.amount("output_tokens")
        if score is not None:
            answers.append(Answer(first.id, model, score, cost, tokens))
    return Tables.of(questions.values(), answers)


ENTRY = Entry(
    "long",
    f"one CSV, JSONL or Parquet file with the columns {', '.join(NEEDED)}, and {', '.join(OPTIONAL)} if known",
    recognises,
    read,
)
