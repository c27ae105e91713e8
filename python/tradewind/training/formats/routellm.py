"""RouteLLM's evaluation files: a weak and a strong model, right or wrong (Ong et al., arXiv:2406.18665).

Read in github.com/lm-sys/RouteLLM: the writers `routellm/evals/mmlu/generate_responses.py` and
`routellm/evals/gsm8k/generate_responses.py` and the reader `routellm/evals/benchmarks.py`, all at
0d78f127ffcda70413e36abe404b4f6c4cc10576; the files `routellm/evals/mmlu/responses/mmlu_abstract_algebra.csv` at
c5e4ef6ccba7c2da2c6a380242dfe1e390e209b1, `gsm8k/gsm8k_responses.csv` at c2ad69388688796a93a4424e7a0dc9072ea372d2,
`gsm8k/contaminated_prompts.jsonl` at 2c3f0472cf968ff98966dc14928e2482fcfcc26a and `mt_bench/judgements.jsonl` at
f362aef74c2d1e7234a530e0140f52cda546f824. A set is one of the CSV files or any part of `routellm/evals`; task and
contamination come from the names of the files, as in the reader. The thresholds that `calibrate_threshold.py` reads
hold no outcomes, so they are no set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from tradewind.errors import UsageError, listed
from tradewind.training.formats import files
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File

CONTAMINATED = "contaminated_prompts.jsonl"
JUDGED = "judgements.jsonl"
ASKED = "question.jsonl"
RATINGS = 10.0
"""MT-Bench's judge rates from 1 to 10."""


def recognises(given: Sequence[File]) -> bool:
    """Only files that the repository's reader opens, and some that hold outcomes."""
    outcomes = [file for file in given if _is_graded(file) or _is_judged(file)]
    others = {file.path.name for file in given if file not in outcomes}
    return bool(outcomes) and others <= {CONTAMINATED, ASKED}


def _is_graded(file: File) -> bool:
    """`prompt, WEAK, STRONG` in a file of MMLU's name, or the same and `WEAK_response, STRONG_response`."""
    if file.kind != "csv" or len(file.names) not in (3, 5) or file.names[0] != "prompt":
        return False
    pair = file.names[1:3]
    answered = file.names[3:]
    return answered == tuple(f"{model}_response" for model in pair) or (not answered and _subject(file) is not None)


def _is_judged(file: File) -> bool:
    return file.path.name == JUDGED and {"question_id", "model", "score", "turn"} <= set(file.names)


def _subject(file: File) -> str | None:
    named = re.fullmatch(r"mmlu_(\w+)", file.path.stem)
    return named[1] if named else None


def read(source: Source) -> Tables:
    """Correct is 1, wrong 0; MT-Bench's score is the mean rating of both turns, over 10."""
    questions: list[Question] = []
    answers: list[Answer] = []
    for file in source.files:
        asked, given = _graded(source, file) if _is_graded(file) else _judged(source, file) if _is_judged(file) else ([], [])
        questions += asked
        answers += given
    return Tables.of(questions, answers)


def _graded(source: Source, file: File) -> tuple[list[Question], list[Answer]]:
    subject = _subject(file)
    task = f"mmlu/{subject}" if subject else file.path.stem.removesuffix("_responses")
    # MMLU's list lies a folder above its responses.
    barred = _contaminated(source, file, above=subject is not None)
    pair = file.names[1:3]
    questions, answers = [], []
    for number, row in enumerate(files.records(file), start=1):
        text = row.text("prompt")
        key = f"{task}/{number}"
        questions.append(Question(key, text, task, text in barred))
        for model in pair:
            score = row.score(model)
            if score is None:
                row.refuse(model, "", "True or False")
            answers.append(Answer(key, model, score))
    return questions, answers


def _judged(source: Source, file: File) -> tuple[list[Question], list[Answer]]:
    turns = {row.text("question_id"): row for asked in _beside(source, file, ASKED) for row in files.records(asked)}
    if not turns:
        raise UsageError(f"{file.path} has no prompts: {ASKED} of MT-Bench must lie beside it", str(file.path))
    barred = _contaminated(source, file, above=False)
    rated: dict[tuple[str, str], list[float]] = {}
    for row in files.records(file):
        key = row.text("question_id")
        if key not in turns:
            row.refuse("question_id", key, f"a question_id of {ASKED}")
        rating = row.amount("score")
        if rating is None or not 1 <= rating <= RATINGS:
            row.refuse("score", row.values["score"], "a rating from 1 to 10")
        rated.setdefault((key, row.text("model")), []).append(rating)
    questions = [Question(f"mt_bench/{key}", text[0], "mt_bench", not barred.isdisjoint(text)) for key, text in _texts(turns)]
    answers = [Answer(f"mt_bench/{key}", model, fmean(ratings) / RATINGS) for (key, model), ratings in rated.items()]
    return questions, answers


def _texts(turns: dict[str, files.Record]) -> Iterator[tuple[str, list[str]]]:
    for key, row in turns.items():
        text = row.values.get("turns")
        if not isinstance(text, list) or not text or not all(isinstance(turn, str) and turn.strip() for turn in text):
            row.refuse("turns", text, "a list of texts")
        yield key, text


def _beside(source: Source, file: File, name: str, *, above: bool = False) -> list[File]:
    folder = file.path.parent.parent if above else file.path.parent
    return [other for other in source.files if other.path == folder / name]


def _contaminated(source: Source, file: File, *, above: bool) -> frozenset[str]:
    """The prompts that the authors exclude."""
    lists = _beside(source, file, CONTAMINATED, above=above) or _beside(source, file, CONTAMINATED)
    return frozenset(row.text("eval_prompt") for barred in lists for row in files.records(barred))


ENTRY = Entry(
    "routellm",
    f"a CSV of RouteLLM's evals (prompt, WEAK, STRONG), or a folder of them, with {listed((CONTAMINATED,))} and MT-Bench's "
    f"{listed((JUDGED, ASKED))}",
    recognises,
    read,
)
