"""A user's own table, one row for each question: prompt, a column of scores for each model, and their costs and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.errors import UsageError, listed
from tradewind.training.formats import files, routellm
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File

OF_QUESTIONS = ("prompt", "id", "task")
OF_ANSWERS = (":cost_usd", ":output_tokens")


def recognises(given: Sequence[File]) -> bool:
    """One table with prompts, no column `model`, and none that another benchmark's files have."""
    if len(given) != 1 or given[0].kind not in files.TABULAR or routellm.recognises(given):
        return False
    names = given[0].names
    return "prompt" in names and "model" not in names and not any("|" in name for name in names)


def models(file: File) -> list[str]:
    """The columns that are models. Raises `UsageError` where one tells of a model that is none."""
    scored = [name for name in file.names if name not in OF_QUESTIONS and not name.endswith(OF_ANSWERS)]
    for name in file.names:
        owner = name.rpartition(":")[0]
        if name.endswith(OF_ANSWERS) and owner not in scored:
            place = f"{file.path.name}, column `{name}`"
            raise UsageError(f"{place}: unknown model `{owner}`; expected one of {listed(scored)}", place)
    if not scored:
        raise UsageError(f"{file.path.name} has no column of scores, named like the model", str(file.path))
    return scored


def read(source: Source) -> Tables:
    """Each row is a question; an empty cell is a model that did not answer."""
    file = source.files[0]
    scored, known = models(file), frozenset(file.names)
    questions: dict[str, Question] = {}
    answers = []
    for number, row in enumerate(files.records(file), start=1):
        unknown = [name for name in row.values if name not in known]
        if unknown:
            accepted = listed(file.names)
            raise UsageError(f"{row.where}: unknown column {listed(unknown)}; the first row has {accepted}", row.where)
        key = row.text("id") if "id" in known else str(number)
        if key in questions:
            row.refuse("id", key, "ids that are unique")
        task = row.text("task") if "task" in known else source.name
        questions[key] = Question(key, row.text("prompt"), task)
        for model in scored:
            score = row.score(model)
            cost, tokens = (row.amount(f"{model}{what}") for what in OF_ANSWERS)
            if score is not None:
                answers.append(Answer(key, model, score, cost, tokens))
    return Tables.of(questions.values(), answers)


ENTRY = Entry(
    "wide",
    "one CSV, JSONL or Parquet file with the column prompt and a column of scores for each model, and id, task, "
    "MODEL:cost_usd, MODEL:output_tokens if known",
    recognises,
    read,
)
