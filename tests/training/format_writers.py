"""One small outcome table in the files of every format, each as its own writer makes them (its loader cites how)."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas_pickle
import pyarrow as pa
import pyarrow.parquet as parquet

from tradewind.training.formats import routereval

PROMPTS = ("What is 2 + 3?", 'Say "no",\nthen explain it.', "Wie spät ist es?")
MODELS = ("large", "other", "small")
SCORES = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
COSTS = np.array([[3e-3, 2e-3, 1e-3], [6e-3, 4e-3, 2e-3], [9e-3, 6e-3, 3e-3]])
TOKENS = np.array([[30.0, 20.0, 10.0], [60.0, 40.0, 20.0], [90.0, 60.0, 30.0]])
CELLS = [(row, column) for row in range(len(PROMPTS)) for column in range(len(MODELS))]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table by the suffix of its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    else:
        parquet.write_table(pa.Table.from_pylist(list(rows)), path)


def answer(row: int, column: int) -> dict[str, Any]:
    """What a table of answers says of one, beside its question."""
    return {
        "model": MODELS[column],
        "score": SCORES[row, column],
        "cost_usd": COSTS[row, column],
        "output_tokens": TOKENS[row, column],
    }


def tables(data: Path, name: str) -> None:
    ids = [f"q{row}" for row in range(len(PROMPTS))]
    queries = [
        {"query_id": key, "prompt": text, "query_text": text, "task": "t"} for key, text in zip(ids, PROMPTS, strict=True)
    ]
    write(data / name / "queries.parquet", queries)
    write(data / name / "outcomes.parquet", [{"query_id": ids[row], **answer(row, column)} for row, column in CELLS])


def long(suffix: str) -> Callable[[Path, str], None]:
    def made(data: Path, name: str) -> None:
        rows = [{"prompt": PROMPTS[row], **answer(row, column), "task": "t", "id": f"q{row}"} for row, column in CELLS]
        write(data / f"{name}{suffix}", rows)

    return made


def wide(suffix: str) -> Callable[[Path, str], None]:
    def made(data: Path, name: str) -> None:
        rows: list[dict[str, Any]] = []
        for row, text in enumerate(PROMPTS):
            cells: dict[str, Any] = {"prompt": text, "id": f"q{row}"}
            for column, model in enumerate(MODELS):
                cells |= {
                    model: SCORES[row, column],
                    f"{model}:cost_usd": COSTS[row, column],
                    f"{model}:output_tokens": TOKENS[row, column],
                }
            rows.append(cells)
        write(data / f"{name}{suffix}", rows)

    return made


def outcome(number: int, model: str, text: str, **more: Any) -> dict[str, Any]:
    """A line of the ledger (schema `outcome.json`), with one failed attempt of another model before the answer."""
    attempt = {
        "propensity": 1.0,
        "started": "2026-11-01T00:00:00Z",
        "first_token_ms": 5.0,
        "total_ms": 9.0,
        "status": 200,
        "error": None,
        "input_tokens": 7,
        "cached_tokens": 0,
        "usage": "reported",
    }
    failed = {**attempt, "model": "failing", "status": 500, "output_tokens": 0, "cost_nanousd": 17}
    answered = {**attempt, "model": model, "output_tokens": 40, "cost_nanousd": 1_000_000}
    body = {"model": "auto", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]}
    return {
        "id": f"call-{number}",
        "decision": "decided",
        "time": "2026-11-01T00:00:00Z",
        "tenant": "default",
        "labels": {},
        "plan": "sha256:0",
        "predictor": None,
        "price_table": "sha256:0",
        "attempts": [failed, answered],
        "answered_by": model,
        "baseline_model": "large",
        "baseline_cost_nanousd": 1,
        "capture": {"kind": "text", "body": json.dumps(body)},
        **more,
    }


def ledger(data: Path, name: str) -> None:
    lines = []
    for number, (row, column) in enumerate(CELLS):
        line = outcome(number, MODELS[column], PROMPTS[row], score=SCORES[row, column])
        cost = round(COSTS[row, column] * 1e9)
        line["attempts"][1] |= {"cost_nanousd": cost, "output_tokens": int(TOKENS[row, column])}
        lines.append(line)
    write(data / name / "outcomes-2026-11-01.jsonl", lines[:4])
    write(data / name / "outcomes.jsonl", lines[4:])


def routerbench_frame() -> dict[str, list[Any]]:
    """The columns of `convert_to_wide_format` and `generate_oracle_routing_results`, in their order."""
    frame: dict[str, list[Any]] = {
        "sample_id": [f"q{row}" for row in range(len(PROMPTS))],
        "prompt": [str([text]) for text in PROMPTS],
        "eval_name": ["t"] * len(PROMPTS),
    }
    for column, model in enumerate(MODELS):
        frame[model] = SCORES[:, column].tolist()
    for model in MODELS:
        frame[f"{model}|model_response"] = [str(["yes"])] * len(PROMPTS)
    for column, model in enumerate(MODELS):
        frame[f"{model}|total_cost"] = COSTS[:, column].tolist()
    frame["oracle_model_to_route_to"] = ["small", "large", "no_model_correct"]
    return frame


def routerbench_csv(data: Path, name: str) -> None:
    frame = routerbench_frame()
    rows = [dict(zip(frame, row, strict=True)) for row in zip(*frame.values(), strict=True)]
    write(data / f"{name}.csv", rows)


def routerbench_pickle(protocol: int, core: str) -> Callable[[Path, str], None]:
    def made(data: Path, name: str) -> None:
        (data / f"{name}.pkl").write_bytes(pandas_pickle.dumps(routerbench_frame(), protocol, core))

    return made


def routellm(data: Path, name: str) -> None:
    """`gsm8k/gsm8k_responses.csv` with pandas' True and False; the pair is (other, large)."""
    pair = ("other", "large")
    rows = []
    for row, text in enumerate(PROMPTS):
        right = {model: bool(SCORES[row, MODELS.index(model)]) for model in pair}
        rows.append({"prompt": text, **right, **{f"{model}_response": "Because." for model in pair}})
    write(data / f"{name}.csv", rows)


def router_dataset() -> dict[str, Any]:
    """What `get_router_dataset.py` builds, with the scores of one pool: 1 question in each split."""
    pool = {
        "data": {f"{split}_score": SCORES[[row]] for row, split in enumerate(routereval.SPLITS)},
        "model": np.array(MODELS),
    }
    pools = {
        difficulty: {size: dict.fromkeys(routereval.GROUPS, pool) for size in sizes}
        for difficulty, sizes in routereval.SIZES.items()
    }
    return {
        **pools,
        "split_index": {f"{split}_indices": np.array([row]) for row, split in enumerate(routereval.SPLITS)},
        "embedding": {f"{split}_embed": np.zeros((1, 4), np.float32) for split in routereval.SPLITS},
        "prompt": {f"{split}_prompt": np.array([PROMPTS[row]]) for row, split in enumerate(routereval.SPLITS)},
    }


def routereval_pool(data: Path, name: str) -> None:
    stem = name.removesuffix(".easy-3-all_strong")
    (data / f"{stem}.pkl").write_bytes(pickle.dumps(router_dataset()))


def routerarena_cached(data: Path, name: str) -> None:
    for column, model in enumerate(MODELS):
        lines = [
            {
                "global_index": f"AIME_{row}",
                "question": text,
                "llm_selected": model,
                "generated_answer": "Yes.",
                "token_usage": {"input_tokens": 5, "output_tokens": int(TOKENS[row, column]), "total_tokens": 9},
                "success": True,
                "provider": "anthropic",
                "error": None,
                "run_number": 1,
                "evaluation_result": {
                    "extracted_answer": "Yes.",
                    "ground_truth": "Yes.",
                    "score": SCORES[row, column],
                    "metric": "math_metric",
                    "inference_cost": COSTS[row, column],
                },
            }
            for row, text in enumerate(PROMPTS)
        ]
        write(data / name / f"{model}.jsonl", lines)


def predictions() -> list[dict[str, Any]]:
    """The router's choice of each question, and the other models `for_optimality`."""
    return [
        {
            "global index": f"AIME_{row}",
            "prompt": PROMPTS[row],
            "prediction": MODELS[column],
            "generated_result": {
                "generated_answer": "Yes.",
                "success": True,
                "token_usage": {"input_tokens": 5, "output_tokens": int(TOKENS[row, column]), "total_tokens": 9},
                "provider": "azure",
                "error": None,
            },
            "cost": COSTS[row, column],
            "accuracy": SCORES[row, column],
            "for_optimality": column != 0,
        }
        for row, column in CELLS
    ]


def routerarena_predictions(data: Path, name: str) -> None:
    (data / f"{name}.json").write_text(json.dumps(predictions(), indent=2), encoding="utf-8")
