"""What ledgers and benchmarks hold beside outcomes, and what their own readers leave out."""

from __future__ import annotations

import json
from pathlib import Path

import format_writers
import numpy as np
import pandas_pickle
import pytest
from format_writers import PROMPTS

from tradewind.errors import UsageError
from tradewind.training import datasets


def test_of_a_ledger_the_scored_answers_count(tmp_path: Path) -> None:
    """Refused calls and calls without a score are left out, and a last line that a crash cut off."""
    parts = [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    body = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "So."}]}
    lines = [
        format_writers.outcome(1, "small", "Why?", score=0.25),
        format_writers.outcome(2, "large", "", score=1, capture={"kind": "text", "body": json.dumps(body)}),
        format_writers.outcome(3, "small", "How?"),
        format_writers.outcome(4, "small", "Who?", score=1, answered_by=None),
    ]
    cut = json.dumps(format_writers.outcome(5, "small", "When?", score=1))[:-9]
    (tmp_path / "ours.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + cut, encoding="utf-8")
    found = datasets.load(tmp_path, "ours", {})
    assert (found.ids, found.texts, found.models) == (("call-1",), ("Why?",), ("large", "small"))
    np.testing.assert_array_equal(found.score, [[1.0, 0.25]])
    np.testing.assert_allclose(found.cost_usd, [[1e-3, 1e-3]])


def test_the_evals_of_routellm_are_one_set(tmp_path: Path) -> None:
    """As they lie in `routellm/evals`; the reader drops what `contaminated_prompts.jsonl` names."""
    evals = tmp_path / "evals"
    graded = [{"prompt": text, "weak": "False", "strong": "True"} for text in PROMPTS[:2]]
    format_writers.write(evals / "mmlu" / "responses" / "mmlu_anatomy.csv", graded)
    format_writers.write(evals / "mmlu" / "contaminated_prompts.jsonl", [{"train_prompt": "?", "eval_prompt": PROMPTS[0]}])
    answered = [{**row, "weak_response": "a", "strong_response": "b"} for row in graded]
    format_writers.write(evals / "gsm8k" / "gsm8k_responses.csv", answered)
    turns = ["Write a poem.", "Now in prose."]
    format_writers.write(evals / "mt_bench" / "question.jsonl", [{"question_id": 81, "category": "writing", "turns": turns}])
    judged = [
        {"question_id": 81, "model": model, "judge": ["gpt-4", "single-v1"], "score": score, "turn": turn}
        for model, ratings in (("weak", (4, 6)), ("strong", (9, 10)))
        for turn, score in enumerate(ratings, start=1)
    ]
    format_writers.write(evals / "mt_bench" / "judgements.jsonl", judged)
    (evals / "mmlu" / "generate_responses.py").write_text("", encoding="utf-8")
    found = datasets.load(tmp_path, "evals", {})
    by_task = dict(zip(found.tasks.tolist(), found.score.tolist(), strict=True))
    assert by_task == {"mmlu/anatomy": [1.0, 0.0], "gsm8k": [1.0, 0.0], "mt_bench": [0.95, 0.5]}
    assert sorted(zip(found.tasks.tolist(), found.texts, strict=True), key=str)[-1] == ("mt_bench", "Write a poem.")
    barred = [found.ids[place] for place in np.flatnonzero(~found.kept)]
    assert barred == ["mmlu/anatomy/1"]
    (evals / "mt_bench" / "question.jsonl").unlink()
    with pytest.raises(UsageError, match=r"question\.jsonl of MT-Bench must lie beside"):
        datasets.load(tmp_path, "evals", {})


def test_what_routerarena_has_not_graded_is_left_out(tmp_path: Path) -> None:
    """As `parallel_inference.py` writes it first, here with a prompt of the robustness split."""
    format_writers.routerarena_cached(tmp_path, "ours")
    file = tmp_path / "ours" / "small.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines[0] |= {"question": "Waht is 2 + 3?", "evaluation_result": None}
    format_writers.write(file, lines)
    found = datasets.load(tmp_path, "ours", {})
    assert (found.texts, set(found.tasks)) == (PROMPTS, {"AIME"})
    np.testing.assert_array_equal(found.score[0], [1.0, 1.0, np.nan])


def test_the_first_of_routerbench_rows_with_one_id_counts(tmp_path: Path) -> None:
    """As `evaluate_routers.py` has it. Turns of a conversation are put together."""
    frame = format_writers.routerbench_frame()
    frame["sample_id"][1] = "q0"
    frame["prompt"][2] = str(["First?", "And then?"])
    frame["small"][2] = float("nan")
    (tmp_path / "ours.pkl").write_bytes(pandas_pickle.dumps(frame, 5))
    found = datasets.load(tmp_path, "ours", {})
    assert (found.ids, found.texts) == (("q0", "q2"), (PROMPTS[0], "First?\n\nAnd then?"))
    np.testing.assert_array_equal(found.score, [[1.0, 1.0, 1.0], [0.0, 1.0, np.nan]])
