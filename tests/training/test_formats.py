"""Every format of outcome tables, in files as its own writer makes them; how those are shaped is cited in each loader."""

from __future__ import annotations

import csv
import json
import pickle
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import UsageError
from tradewind.training import datasets, sources
from tradewind.training.formats import pickles, routereval
from tradewind.training.formats.entry import Tables

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


def tables(data: Path, name: str) -> None:
    ids = [f"q{row}" for row in range(len(PROMPTS))]
    queries = [
        {"query_id": key, "prompt": text, "query_text": text, "task": "t"} for key, text in zip(ids, PROMPTS, strict=True)
    ]
    outcomes = [
        {
            "query_id": ids[row],
            "model": MODELS[column],
            "score": SCORES[row, column],
            "cost_usd": COSTS[row, column],
            "output_tokens": TOKENS[row, column],
        }
        for row, column in CELLS
    ]
    write(data / name / "queries.parquet", queries)
    write(data / name / "outcomes.parquet", outcomes)


def long(suffix: str) -> Callable[[Path, str], None]:
    def made(data: Path, name: str) -> None:
        rows = [
            {
                "prompt": PROMPTS[row],
                "model": MODELS[column],
                "score": SCORES[row, column],
                "cost_usd": COSTS[row, column],
                "output_tokens": TOKENS[row, column],
                "task": "t",
                "id": f"q{row}",
            }
            for row, column in CELLS
        ]
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
        (data / f"{name}.pkl").write_bytes(pandas_pickle(routerbench_frame(), protocol, core))

    return made


def pandas_pickle(frame: Mapping[str, list[Any]], protocol: int, core: str = "_core") -> bytes:
    """`DataFrame.to_pickle` of pandas 1.3 to 2: what its classes give to pickle, under their names; `core` is where the NumPy
    of the writer keeps its own."""
    made = {name: types.ModuleType(name) for name in sorted({module for module, _ in pickles.GLOBALS if "pandas" in module})}
    made |= {"pandas": types.ModuleType("pandas"), "pandas.core": types.ModuleType("pandas.core")}

    class DataFrame:
        def __init__(self, manager: object) -> None:
            self._mgr = manager

        def __getstate__(self) -> dict[str, object]:
            flags = {"allows_duplicate_labels": True}
            return {"_mgr": self._mgr, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": flags}

    class BlockManager:
        def __init__(self, blocks: object, axes: object) -> None:
            self.blocks, self.axes = blocks, axes

        def __reduce__(self) -> tuple[Any, ...]:
            return BlockManager, (self.blocks, self.axes)

    def _unpickle_block(values: object, placement: object, ndim: int) -> None:
        raise AssertionError

    class Block:
        def __init__(self, values: object, placement: object) -> None:
            self.values, self.placement = values, placement

        def __reduce__(self) -> tuple[Any, ...]:
            return _unpickle_block, (self.values, self.placement, 2)

    def _new_Index(cls: type, d: object) -> None:
        raise AssertionError

    class Index:
        def __init__(self, **fields: object) -> None:
            self.fields = fields

        def __reduce__(self) -> tuple[Any, ...]:
            return _new_Index, (type(self), self.fields), None

    class RangeIndex(Index):
        pass

    places = {
        "pandas.core.frame": (DataFrame,),
        "pandas.core.internals.managers": (BlockManager,),
        "pandas._libs.internals": (_unpickle_block,),
        "pandas.core.indexes.base": (_new_Index, Index),
        "pandas.core.indexes.range": (RangeIndex,),
    }
    for module, members in places.items():
        for member in members:
            member.__module__, member.__qualname__ = module, member.__name__
            setattr(made[module], member.__name__, member)
    names = list(frame)
    numeric = [place for place, name in enumerate(names) if isinstance(frame[name][0], float)]
    textual = [place for place in range(len(names)) if place not in numeric]
    rows = len(frame[names[0]])
    texts = np.empty((len(textual), rows), object)
    texts[:] = [frame[names[place]] for place in textual]
    blocks = (
        # A consolidated frame has its columns side by side: Fortran's order.
        Block(np.asfortranarray([frame[names[place]] for place in numeric]), np.array(numeric)),
        Block(texts, np.array(textual)),
    )
    axes = [
        Index(data=np.array(names, object), name=None),
        RangeIndex(name=None, start=0, stop=rows, step=1),
    ]
    saved = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        dumped = pickle.dumps(DataFrame(BlockManager(blocks, axes)), protocol)
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return dumped if core == "_core" or protocol > 3 else dumped.replace(b"numpy._core.", b"numpy.core.")


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


WRITERS: dict[str, list[tuple[Callable[[Path, str], None], str]]] = {
    "tables": [(tables, "cost tokens")],
    "long": [(long(suffix), "cost tokens") for suffix in (".csv", ".jsonl", ".parquet")],
    "wide": [(wide(suffix), "cost tokens") for suffix in (".csv", ".jsonl", ".parquet")],
    "ledger": [(ledger, "cost tokens")],
    "routerbench": [
        (routerbench_csv, "cost"),
        *((routerbench_pickle(*how), "cost") for how in ((5, "_core"), (2, "_core"), (2, "core"))),
    ],
    "routellm": [(routellm, "")],
    "routereval": [(routereval_pool, "")],
    "routerarena": [(routerarena_cached, "cost tokens"), (routerarena_predictions, "cost tokens")],
}
"""By format: how a set of that name is written, and what the format tells of an answer beside its score."""


def test_each_format_has_a_writer() -> None:
    assert list(WRITERS) == [entry.name for entry in sources.TABLE]


@pytest.mark.parametrize(
    ("format", "made", "tells"), [(name, *writer) for name, writers in WRITERS.items() for writer in writers]
)
def test_the_same_table_loads_the_same_in_every_format(
    tmp_path: Path, format: str, made: Callable[[Path, str], None], tells: str
) -> None:
    name = "ours.easy-3-all_strong" if format == "routereval" else "ours"
    made(tmp_path, name)
    assert name in datasets.available(tmp_path)
    source = sources.named(tmp_path, name)
    assert sources.recognise(source.path, source.files).name == format
    found = datasets.load(tmp_path, name, {})
    present = [MODELS.index(model) for model in found.models]
    assert len(present) == (2 if format == "routellm" else 3)
    assert found.texts == PROMPTS
    assert len(set(found.ids)) == len(PROMPTS)
    np.testing.assert_array_equal(found.score, SCORES[:, present])
    nothing = np.full(found.score.shape, np.nan)
    np.testing.assert_allclose(found.cost_usd, COSTS[:, present] if "cost" in tells else nothing, rtol=1e-12)
    np.testing.assert_array_equal(found.output_tokens, TOKENS[:, present] if "tokens" in tells else nothing)


def tables_of(path: Path) -> Tables:
    return sources.read(sources.named(path, path.stem))


def cells(found: Tables) -> dict[tuple[str, str], tuple[float, float | None, float | None]]:
    """(score, dollars, tokens) by id and model."""
    keys = zip(found.outcomes["query_id"], found.outcomes["model"], strict=True)
    values = zip(found.outcomes["score"], found.outcomes["cost_usd"], found.outcomes["output_tokens"], strict=True)
    return dict(zip(keys, values, strict=True))


NAMES = ("org/model-a", "model b", "c")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
SCORE = st.none() | st.floats(0, 1) | st.booleans().map(float)
AMOUNT = st.none() | st.floats(0, 1e6)
ROWS = st.lists(st.tuples(TEXT, TEXT, *(st.tuples(SCORE, AMOUNT, AMOUNT) for _ in NAMES)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_long_and_wide_files_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], suffix: str
) -> None:
    long_rows: list[dict[str, Any]] = []
    wide_rows: list[dict[str, Any]] = []
    for number, (text, task, *answers) in enumerate(rows):
        shared = {"prompt": text, "id": f"id{number}", "task": task}
        named = dict(zip(NAMES, answers, strict=True))
        long_rows += [
            {**shared, "model": model, "score": score, "cost_usd": cost, "output_tokens": tokens}
            for model, (score, cost, tokens) in named.items()
        ]
        by_model = [
            {model: score, f"{model}:cost_usd": cost, f"{model}:output_tokens": tokens}
            for model, (score, cost, tokens) in named.items()
        ]
        wide_rows.append({**shared, **by_model[0], **by_model[1], **by_model[2]})
    expected = {(row["id"], row["model"]): (row["score"], row["cost_usd"], row["output_tokens"]) for row in long_rows}
    expected = {key: value for key, value in expected.items() if value[0] is not None}
    folder = tmp_path_factory.mktemp("sets")
    for name, written in (("long", long_rows), ("wide", wide_rows)):
        path = folder / f"{name}{suffix}"
        write(path, written)
        if not expected:
            with pytest.raises(UsageError, match="has no scores"):
                tables_of(path.parent / path.name)
            continue
        found = sources.read(sources.named(folder, name))
        assert found.queries["prompt"] == [row["prompt"] for row in wide_rows]
        assert found.queries["task"] == [row["task"] for row in wide_rows]
        assert cells(found) == expected
