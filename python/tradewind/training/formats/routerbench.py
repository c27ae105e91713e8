"""RouterBench's wide frames (Hu et al., arXiv:2403.12031).

Read in github.com/withmartian/routerbench: the writer `convertors/common.py` (`convert_to_wide_format`: sample_id, prompt,
eval_name, and MODEL, MODEL|model_response, MODEL|total_cost for each model) with `convert_data.py` (pickle or CSV) and the
reader `evaluate_routers.py`, at 30e0925ac07a45108b9ee82086040a5664ea83e6; `utils.py` (`get_models_to_route`) at
8ef22cfbcbe8182d6da12514f5475ea032b49b2a; `routers/abstract_router.py` (a prompt is the text of a list of prompts). Pickles
are read by `pickles`; the published files themselves were not at hand. `routerbench_raw.pkl`, a long frame, is not read.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from tradewind.errors import UsageError, listed
from tradewind.training.formats import files
from tradewind.training.formats.entry import Answer, Entry, Question, Source, Tables
from tradewind.training.formats.files import File, Record

RESPONSE = "|model_response"
COST = "|total_cost"
OF_QUESTIONS = ("sample_id", "prompt", "eval_name")


def recognises(given: Sequence[File]) -> bool:
    """One file: a pickled frame, or a table with a column of responses."""
    if len(given) != 1:
        return False
    file = given[0]
    if file.kind == "pkl":
        # Of pandas 3 too, so that reading it says how to convert it.
        return "".join(file.names[:1]).split(".")[0] == "pandas"
    return file.kind in files.TABULAR and any(name.endswith(RESPONSE) for name in file.names)


def read(source: Source) -> Tables:
    """Scores are as given; a model without one did not answer. Of rows with one sample_id the first counts, as in
    `evaluate_routers.py` (the published files have some twice)."""
    questions: dict[str, Question] = {}
    answers = []
    models: list[str] = []
    for row in files.records(source.files[0]):
        if not models:
            models = _models(source, row)
        key = row.text("sample_id")
        if key in questions:
            continue
        questions[key] = Question(key, _prompt(row), row.text("eval_name"))
        for model in models:
            score = row.score(model)
            cost = row.amount(f"{model}{COST}")
            if score is not None:
                answers.append(Answer(key, model, score, cost))
    return Tables.of(questions.values(), answers)


def _models(source: Source, row: Record) -> list[str]:
    """The models, as `get_models_to_route` finds them. Raises `UsageError` where a column is not there."""
    found = [name.removesuffix(RESPONSE) for name in row.values if name.endswith(RESPONSE)]
    needed = [*OF_QUESTIONS, *(column for model in found for column in (model, f"{model}{COST}"))]
    missing = [name for name in needed if name not in row.values]
    if missing or not found:
        name = source.files[0].path.name
        lacking = listed(missing or [f"MODEL{RESPONSE}"])
        raise UsageError(f"{name} lacks {lacking}; it has {listed(list(row.values))}", str(source.path))
    return found


def _prompt(row: Record) -> str:
    """The turns of `"['…', '…']"`, a blank line between; any other text as it is."""
    text = row.text("prompt")
    if not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        turns = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return "\n\n".join(str(turn) for turn in turns)


ENTRY = Entry(
    "routerbench",
    f"RouterBench's wide frame, as CSV, Parquet or pickle: {', '.join(OF_QUESTIONS)}, MODEL, MODEL{RESPONSE}, MODEL{COST}",
    recognises,
    read,
)
