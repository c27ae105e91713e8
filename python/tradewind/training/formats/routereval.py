"""RouterEval's router datasets: pools of 3 to 1,000 models over one benchmark (Huang et al., arXiv:2503.10657).

Read of github.com/MilkThink-Lab/RouterEval: `utils.py` at aedb564c9df8cf803f8a41a317e2a0dcd34fccef, `README.md` at
15b8a7b648e039b9b8782cee5729565cd92d0603, and the texts of the writer `get_router_dataset.py` and of the reader
`test_router.py`, which the index that they were read from gives without a commit. One file holds 15 pools, and each is a
set: `{"easy": {3: {"all_strong": {"data": {"train_score": [n, m], …}, "model": [m]}, …}}, "prompt": {"train_prompt": [n], …}}`.
Embeddings are not used. RouterEval has no costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tradewind.errors import UsageError
from tradewind.training.formats import pickles
from tradewind.training.formats.entry import Entry, Source, Tables
from tradewind.training.formats.files import SCORE, File

SIZES = {"easy": (3, 5), "hard": (10, 100, 1000)}
GROUPS = ("all_strong", "all_weak", "strong_to_weak")
SPLITS = ("train", "val", "test")


def recognises(given: Sequence[File]) -> bool:
    """One pickle that begins with the pools."""
    return len(given) == 1 and given[0].kind == "pkl" and given[0].names[:1] == ("easy",)


def read(source: Source) -> Tables:
    """The pool that `source.part` names, over the questions of all three splits."""
    file = source.files[0]
    found = pickles.load(file.path)
    difficulty, size, group = source.part.split("-")
    try:
        pool = found[difficulty][int(size)][group]
        texts = [np.asarray(found["prompt"][f"{split}_prompt"]) for split in SPLITS]
        scores = [np.asarray(pool["data"][f"{split}_score"], float) for split in SPLITS]
        # Organisations are part of these names: two fine-tunes of one name are two models.
        models = [str(model).replace("/", "__") for model in pool["model"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file.path.name}, {source.part}: {error!r} is not as RouterEval writes it", str(file.path)) from None
    for split, asked, given in zip(SPLITS, texts, scores, strict=True):
        _check(f"{file.path.name}, {source.part}, {split}_score", asked, given, len(models))
    ids = [f"{split}/{number}" for split, asked in zip(SPLITS, texts, strict=True) for number in range(len(asked))]
    every = np.concatenate(scores)
    prompts = [str(text) for asked in texts for text in asked.tolist()]
    return Tables(
        {"query_id": ids, "prompt": prompts, "query_text": prompts, "task": [source.name] * len(ids)},
        {
            "query_id": [key for key in ids for _ in models],
            "model": models * len(ids),
            "score": every.ravel().tolist(),
            "cost_usd": [None] * every.size,
        },
    )


def _check(place: str, asked: Any, given: Any, models: int) -> None:
    if given.shape != (len(asked), models):
        raise UsageError(f"{place}: shape {given.shape} was found; expected {(len(asked), models)}", place)
    outside = np.argwhere(~((given >= 0) & (given <= 1)))
    if len(outside):
        row, column = outside[0]
        where = f"{place}, row {row + 1}, column {column + 1}"
        raise UsageError(f"{where}: `{given[row, column]}` was found; expected {SCORE}", where)


ENTRY = Entry(
    "routereval",
    "a pickle of RouterEval's router_dataset, which is 15 sets: FILE.easy-3-all_strong to FILE.hard-1000-strong_to_weak",
    recognises,
    read,
    tuple(f"{difficulty}-{size}-{group}" for difficulty, sizes in SIZES.items() for size in sizes for group in GROUPS),
)
