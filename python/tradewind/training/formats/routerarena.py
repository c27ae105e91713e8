"""RouterArena's graded answers (Lu et al., arXiv:2510.00202): cached results by model, or the predictions of a router.

Read in github.com/RouteWorks/RouterArena: `cached_results/claude-3-haiku-20240307.jsonl` at
05a7e52d80aec65a96b35969a2cc2b48b67489fa with its writers `llm_inference/parallel_inference.py` at
7329832f1fccb8c015cabcb51b338274916dbe6a and `llm_evaluation/evaluate_models.py` at
21664560da40176b066d8821a708bc14857c9bd0; `router_inference/predictions/azure-model-router.json` at
1f5f84db950155ad2cceccfd34d355f4758cee4c with its writers `router_inference/generate_prediction_file.py` at
0a6c87268877364ec43544e5bed401db446b95f8 and `llm_evaluation/run.py` at 0d783fa1587dce0d94f8380f30587330d9614436.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradewind.errors import UsageError
from tradewind.training.formats import files
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File, Record

CACHED = ("global_index", "question", "llm_selected")
PREDICTED = ("prompt", "prediction")
INDEX = ("global index", "global_index")
"""Both are written, and read."""


def recognises(given: Sequence[File]) -> bool:
    """Only cached results, or one file of predictions."""
    cached = bool(given) and all(file.kind == "jsonl" and set(CACHED) <= set(file.names) for file in given)
    return cached or (len(given) == 1 and _is_predicted(given[0]))


def _is_predicted(file: File) -> bool:
    return file.kind == "json" and set(PREDICTED) <= set(file.names) and any(name in file.names for name in INDEX)


def read(source: Source) -> Tables:
    """Answers that are not graded yet are left out, and what was asked for them: a cache may hold one index with the prompts
    of a robustness run, too. Several runs of one answer are samples of it."""
    questions: dict[str, Question] = {}
    answers = []
    for file in source.files:
        take, prompt = (_predicted, "prompt") if _is_predicted(file) else (_cached, "question")
        for row in files.records(file):
            question, answer = take(row)
            if answer is None:
                continue
            if questions.setdefault(question.id, question) != question:
                row.refuse(prompt, question.text, f"the text that `{question.id}` had before")
            answers.append(answer)
    if not answers:
        message = f"{source.path.name} has no graded answer: run RouterArena's `llm_evaluation` on it first"
        raise UsageError(message, str(source.path))
    return Tables.of(questions.values(), answers)


def _cached(row: Record) -> tuple[Question, Answer | None]:
    graded = Record(row.where, row.values.get("evaluation_result") or {})
    return _row(row, row.text("global_index"), "question", "llm_selected", graded, ("score", "inference_cost"), row.values)


def _predicted(row: Record) -> tuple[Question, Answer | None]:
    index = next(name for name in INDEX if name in row.values)
    generated = row.values.get("generated_result") or {}
    return _row(row, row.text(index), "prompt", "prediction", row, ("accuracy", "cost"), generated)


def _row(
    row: Record, key: str, prompt: str, model: str, graded: Record, columns: tuple[str, str], answered: Any
) -> tuple[Question, Answer | None]:
    """The task is what stands before the number in `AIME_112`."""
    question = Question(key, row.text(prompt), key.rpartition("_")[0] or key)
    score, cost = graded.score(columns[0]), graded.amount(columns[1])
    tokens = Record(row.where, answered.get("token_usage") or {}).amount("output_tokens")
    return question, None if score is None else Answer(key, row.text(model), score, cost, tokens)


ENTRY = Entry(
    "routerarena",
    "RouterArena's cached_results (JSONL by model), or a JSON of its predictions with `accuracy`",
    recognises,
    read,
)
