"""Every format of outcome tables, in files as its own writer makes them; how those are shaped is cited in each loader."""

from __future__ import annotations

import csv
import json
import pickle
import re
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


@settings(max_examples=40, deadline=None)
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


def row(**changed: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "model": "small", "score": 1, **changed}


LONG = [row(), row(model="large")]
REFUSED: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "a column is missing": (
        "ours.csv",
        [{"prompt": "Why?", "model": "small"}],
        ("ours.csv lacks `score`; it has `model`, `prompt`",),
    ),
    "a column is not known": ("ours.csv", [row(cost=1)], ("ours.csv, row 1", "unknown column `cost`", "`cost_usd`")),
    "a score is above 1": (
        "ours.jsonl",
        [*LONG, row(prompt="How?", score=1.5)],
        ("ours.jsonl, line 3, column `score`: `1.5`", "a number from 0 to 1, or true or false"),
    ),
    "a score is no number": ("ours.csv", [*LONG, row(prompt="How?", score="good")], ("row 3, column `score`: `good`",)),
    "a score is a list": ("ours.jsonl", [row(score=[1])], ("line 1, column `score`: `[1]`",)),
    "a cost is negative": ("ours.parquet", [row(cost_usd=-1.0)], ("row 1, column `cost_usd`: `-1.0`", "a number from 0")),
    "a cost is endless": ("ours.csv", [row(cost_usd="inf")], ("row 1, column `cost_usd`: `inf`",)),
    "a number of tokens cannot be read": (
        "ours.csv",
        [row(output_tokens="1,000")],
        ("row 1, column `output_tokens`: `1,000`",),
    ),
    "true is no cost": ("ours.csv", [row(cost_usd="true")], ("row 1, column `cost_usd`: `true`",)),
    "true is no cost in JSON": ("ours.jsonl", [row(cost_usd=True)], ("line 1, column `cost_usd`: `True`",)),
    "a prompt is empty": ("ours.csv", [row(prompt=" ")], ("row 1, column `prompt`", "expected text")),
    "a model is empty": ("ours.csv", [row(model="")], ("row 1, column `model`", "expected text")),
    "an answer stands twice": (
        "ours.csv",
        [*LONG, row()],
        ("row 3, column `model`: `small`", "one row for each model of this prompt", "ours.csv, row 1"),
    ),
    "an id has two prompts": (
        "ours.csv",
        [row(id="a"), row(id="a", prompt="How?", model="large")],
        ("row 2, column `prompt`: `How?`", "the id `a`"),
    ),
    "a question has two tasks": (
        "ours.csv",
        [row(task="a"), row(task="b", model="large")],
        ("row 2, column `task`: `b`", "`a`"),
    ),
    "a table is empty": ("ours.csv", "prompt,model,score\n", ("`ours` has no scores",)),
    "a file is empty": ("ours.csv", "", ("`ours.csv` is in no format",)),
    "a line is broken": (
        "ours.jsonl",
        '{"prompt": "Why?", "model": "small", "score": 1}\n{"prom\n',
        ("ours.jsonl, line 2: it is not JSON",),
    ),
    "a line is no object": ("ours.jsonl", "[1]\n", ("ours.jsonl, line 1", "expected a JSON object")),
    "a row is cut off": (
        "ours.csv",
        "prompt,model,score\nWhy?,small\n",
        ("ours.csv cannot be read", "Expected 3 columns, got 2"),
    ),
    "a column stands twice": ("ours.csv", "prompt,small,small\nWhy?,1,0\n", ("column `small` twice",)),
    "bytes are not UTF-8": ("ours.csv", b"prompt,model,score\n\xff,small,1\n", ("ours.csv cannot be read",)),
    "Parquet is none": ("ours.parquet", b"PAR1", ("ours.parquet cannot be read",)),
    "cost is of an unknown model": (
        "ours.csv",
        [{"prompt": "Why?", "small": 1, "large:cost_usd": 1}],
        ("column `large:cost_usd`: unknown model `large`", "expected one of `small`"),
    ),
    "a column is no model": (
        "ours.csv",
        [{"prompt": "Why?", "small": 1, "note": "hard"}],
        ("ours.csv, row 1, column `note`: `hard`", "a number from 0 to 1"),
    ),
    "an id stands twice": (
        "ours.csv",
        [{"prompt": "Why?", "id": 1, "small": 1}, {"prompt": "How?", "id": 1, "small": 0}],
        ("row 2, column `id`: `1`", "ids that are unique"),
    ),
    "there are only prompts": ("ours.csv", [{"prompt": "Why?"}], ("ours.csv has no column of scores",)),
    "a later line has another model": (
        "ours.jsonl",
        [{"prompt": "Why?", "small": 1}, {"prompt": "How?", "large": 1}],
        ("line 2: unknown column `large`",),
    ),
    "two names are one model": (
        "ours.csv",
        [{"prompt": "Why?", "openai/gpt-4": 1, "GPT-4": 1}],
        ("`GPT-4`, `openai/gpt-4` are one model, `gpt-4`",),
    ),
    "no format is known": (
        "ours.csv",
        [{"question": "Why?", "answer": "So."}],
        ("`ours.csv` is in no format", "`question`, `answer`", *(f"\n  {entry.name}: " for entry in sources.TABLE)),
    ),
    "a ledger has no scores": ("ours.jsonl", [outcome(1, "small", "Why?")], ("ledger without scores", "as `score`")),
    "a scored call kept no text": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, capture={"kind": "features"})],
        ("line 1, column `capture`: `features`", "--capture text"),
    ),
    "a call's body is none": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, capture={"kind": "text", "body": "{}"})],
        ("line 1, column `capture`: `{}`", "a chat call"),
    ),
    "an answer has no attempt": (
        "ours.jsonl",
        [outcome(1, "small", "Why?", score=1, answered_by="large")],
        ("line 1, column `answered_by`: `large`", "an attempt"),
    ),
    "a line of a ledger is broken": (
        "ours.jsonl",
        json.dumps(outcome(1, "small", "Why?", score=1)) + '\n{"id":\n' + json.dumps(outcome(2, "small", "How?")) + "\n",
        ("ours.jsonl, line 2: it is no outcome",),
    ),
    "RouterBench has no costs": (
        "ours.csv",
        [{"sample_id": "a", "prompt": "['Why?']", "eval_name": "t", "small": 1, "small|model_response": "So."}],
        ("ours.csv lacks `small|total_cost`",),
    ),
    "RouteLLM is neither right nor wrong": (
        "mmlu_anatomy.csv",
        "prompt,weak,strong\nWhy?,True,\n",
        ("mmlu_anatomy.csv, row 1, column `strong`", "True or False"),
    ),
    "RouterArena is not graded": (
        "ours.json",
        json.dumps([{**predictions()[0], "accuracy": None, "cost": None}]),
        ("ours.json has no graded answer", "llm_evaluation"),
    ),
    "RouterArena has two texts of one index": (
        "ours.json",
        json.dumps([predictions()[0], {**predictions()[1], "prompt": "What?"}]),
        ("ours.json, entry 2, column `prompt`: `What?`", "the text that `AIME_0` had before"),
    ),
    "predictions are no array": ("ours.json", "{}", ("ours.json is not a JSON array",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path, case: str) -> None:
    name, content, said = REFUSED[case]
    path = tmp_path / name
    if isinstance(content, list):
        write(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        datasets.load(tmp_path, path.stem, {})
    assert all(part in refused.value.message for part in said), refused.value.message


def test_tables_of_ours_are_checked(tmp_path: Path) -> None:
    tables(tmp_path, "ours")
    for column, value, said in (
        ("score", 1.5, "ours/outcomes.parquet, row 2, column `score`: `1.5`"),
        ("query_id", "q9", "ours/outcomes.parquet, row 2, column `query_id`: `q9`"),
    ):
        outcomes = parquet.read_table(tmp_path / "ours" / "outcomes.parquet").to_pylist()
        outcomes[1][column] = value
        write(tmp_path / "wrong" / "outcomes.parquet", outcomes)
        write(tmp_path / "wrong" / "queries.parquet", parquet.read_table(tmp_path / "ours" / "queries.parquet").to_pylist())
        with pytest.raises(UsageError) as refused:
            datasets.load(tmp_path, "wrong", {})
        assert said.replace("ours", "wrong") in refused.value.message
    queries = parquet.read_table(tmp_path / "ours" / "queries.parquet").to_pylist()
    write(tmp_path / "ours" / "queries.parquet", [*queries, queries[0]])
    with pytest.raises(UsageError, match=r"row 4, column `query_id`: `q0` was found; expected each id once, and row 1 has it"):
        datasets.load(tmp_path, "ours", {})


def test_a_folder_has_sets_of_any_format_by_the_names_of_their_files(tmp_path: Path) -> None:
    tables(tmp_path, "a")
    long(".csv")(tmp_path, "b")
    ledger(tmp_path, "c")
    routereval_pool(tmp_path, "d_router_dataset")
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "prices.csv").write_text("model,usd_per_1m_input,usd_per_1m_output\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("# Ours\n", encoding="utf-8")
    names = datasets.available(tmp_path)
    assert [name for name in names if not name.startswith("d")] == ["a", "b", "c"]
    pools = [name for name in names if name.startswith("d")]
    assert len(pools) == 15
    assert pools[0] == "d_router_dataset.easy-3-all_strong"
    assert len(datasets.load(tmp_path, "d_router_dataset.hard-1000-strong_to_weak", {})) == 3
    with pytest.raises(UsageError, match="unknown data set `e`; expected one of `a`, `b`, `c`"):
        datasets.load(tmp_path, "e", {})
    wide(".jsonl")(tmp_path, "a")
    with pytest.raises(UsageError, match=r"`a` and `a.jsonl` are both the set `a`"):
        datasets.available(tmp_path)


def test_one_file_is_a_set_of_its_own(tmp_path: Path) -> None:
    long(".csv")(tmp_path, "ours")
    assert datasets.available(tmp_path / "ours.csv") == ["ours"]
    assert datasets.load(tmp_path / "ours.csv", "ours", {}).texts == PROMPTS
    with pytest.raises(UsageError, match=r"absent\.csv holds no data set: No such file"):
        datasets.available(tmp_path / "absent.csv")


def test_a_set_has_the_licence_that_its_folder_states(tmp_path: Path) -> None:
    long(".csv")(tmp_path / "ours", "answers")
    (tmp_path / "ours" / "README.md").write_text("**Licence** CC0. Ours.\n", encoding="utf-8")
    found = datasets.load(tmp_path, "ours", {})
    assert (found.name, found.licence) == ("ours", "CC0")


def test_cells_that_are_empty_are_answers_that_were_not_given(tmp_path: Path) -> None:
    (tmp_path / "ours.csv").write_text("prompt,small,large\nWhy?,True,\nHow?,nan,0.5\n", encoding="utf-8-sig")
    found = datasets.load(tmp_path, "ours", {})
    np.testing.assert_array_equal(found.score, [[np.nan, 1.0], [0.5, np.nan]])
    assert set(found.tasks) == {"ours"}


def test_of_a_ledger_the_scored_answers_count(tmp_path: Path) -> None:
    """Refused calls and calls without a score are left out, and a last line that a crash cut off."""
    parts = [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    body = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "So."}]}
    lines = [
        outcome(1, "small", "Why?", score=0.25),
        outcome(2, "large", "", score=1, capture={"kind": "text", "body": json.dumps(body)}),
        outcome(3, "small", "How?"),
        outcome(4, "small", "Who?", score=1, answered_by=None),
    ]
    cut = json.dumps(outcome(5, "small", "When?", score=1))[:-9]
    (tmp_path / "ours.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + cut, encoding="utf-8")
    found = datasets.load(tmp_path, "ours", {})
    assert (found.ids, found.texts, found.models) == (("call-1",), ("Why?",), ("large", "small"))
    np.testing.assert_array_equal(found.score, [[1.0, 0.25]])
    np.testing.assert_allclose(found.cost_usd, [[1e-3, 1e-3]])


def test_the_evals_of_routellm_are_one_set(tmp_path: Path) -> None:
    """As they lie in `routellm/evals`; the reader drops what `contaminated_prompts.jsonl` names."""
    evals = tmp_path / "evals"
    graded = [{"prompt": text, "weak": "False", "strong": "True"} for text in PROMPTS[:2]]
    write(evals / "mmlu" / "responses" / "mmlu_anatomy.csv", graded)
    write(evals / "mmlu" / "contaminated_prompts.jsonl", [{"train_prompt": "?", "eval_prompt": PROMPTS[0]}])
    answered = [{**row, "weak_response": "a", "strong_response": "b"} for row in graded]
    write(evals / "gsm8k" / "gsm8k_responses.csv", answered)
    turns = ["Write a poem.", "Now in prose."]
    write(evals / "mt_bench" / "question.jsonl", [{"question_id": 81, "category": "writing", "turns": turns}])
    judged = [
        {"question_id": 81, "model": model, "judge": ["gpt-4", "single-v1"], "score": score, "turn": turn}
        for model, ratings in (("weak", (4, 6)), ("strong", (9, 10)))
        for turn, score in enumerate(ratings, start=1)
    ]
    write(evals / "mt_bench" / "judgements.jsonl", judged)
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
    routerarena_cached(tmp_path, "ours")
    file = tmp_path / "ours" / "small.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines[0] |= {"question": "Waht is 2 + 3?", "evaluation_result": None}
    write(file, lines)
    found = datasets.load(tmp_path, "ours", {})
    assert (found.texts, set(found.tasks)) == (PROMPTS, {"AIME"})
    np.testing.assert_array_equal(found.score[0], [1.0, 1.0, np.nan])


def test_the_first_of_routerbench_rows_with_one_id_counts(tmp_path: Path) -> None:
    """As `evaluate_routers.py` has it. Turns of a conversation are put together."""
    frame = routerbench_frame()
    frame["sample_id"][1] = "q0"
    frame["prompt"][2] = str(["First?", "And then?"])
    frame["small"][2] = float("nan")
    (tmp_path / "ours.pkl").write_bytes(pandas_pickle(frame, 5))
    found = datasets.load(tmp_path, "ours", {})
    assert (found.ids, found.texts) == (("q0", "q2"), (PROMPTS[0], "First?\n\nAnd then?"))
    np.testing.assert_array_equal(found.score, [[1.0, 1.0, 1.0], [0.0, 1.0, np.nan]])


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import builtins; builtins.ran = True",)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    """Neither where it is recognised nor where it is read."""
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps({"easy": Hostile()}))
    name = "ours.easy-3-all_weak"
    assert name in datasets.available(tmp_path)
    with pytest.raises(UsageError, match=r"it names `builtins\.exec`, which is not data.*read_pickle\('ours\.pkl'\)"):
        datasets.load(tmp_path, name, {})
    import builtins

    assert not hasattr(builtins, "ran")


def test_a_frame_of_another_pandas_is_refused_with_the_way_round(tmp_path: Path) -> None:
    """`pandas.DataFrame`, as pandas 3 names it."""
    (tmp_path / "ours.pkl").write_bytes(b"\x80\x04\x8c\x06pandas\x8c\x09DataFrame\x93)\x81.")
    with pytest.raises(
        UsageError, match=r"names `pandas\.DataFrame`.*read_pickle\('ours\.pkl'\)\.to_parquet\('ours\.parquet'\)"
    ):
        datasets.load(tmp_path, "ours", {})


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"easy", pickle.dumps([1]), pickle.dumps({"hard": 1})])
def test_a_pickle_of_something_else_is_in_no_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ours.pkl").write_bytes(content)
    with pytest.raises(UsageError, match="is in no format"):
        datasets.load(tmp_path, "ours", {})


def test_a_pickle_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    whole = pickle.dumps(router_dataset())
    for kept in (50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "ours.pkl").write_bytes(whole[:kept])
        with pytest.raises(UsageError, match="cannot be read"):
            datasets.load(tmp_path, "ours.easy-3-all_weak", {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pool: pool["data"].update(val_score=np.array([[0, 1, 2]])), "val_score, row 1, column 3: `2.0`"),
        (lambda pool: pool["data"].update(test_score=np.zeros((1, 2))), r"test_score: shape \(1, 2\)"),
        (lambda pool: pool["data"].pop("train_score"), "easy-3-all_strong: KeyError"),
    ],
)
def test_a_pool_that_routereval_would_not_write_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    made = router_dataset()
    change(made["easy"][3]["all_strong"])
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps(made))
    with pytest.raises(UsageError, match=said):
        datasets.load(tmp_path, "ours.easy-3-all_strong", {})


def test_the_examples_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```(?:csv|jsonl) (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for name, content in examples:
        (tmp_path / name).write_text(content, encoding="utf-8")
    found = {name: datasets.load(tmp_path, name, {}) for name in datasets.available(tmp_path)}
    assert {name: (len(data), data.models) for name, data in found.items()} == {
        "answers": (2, ("large", "small")),
        "questions": (2, ("large", "small")),
    }
