"""Outcome tables: who answered which question how well, at what cost.

A data set is a folder or a file in one of the formats of `sources.TABLE`, for one a folder with `queries.parquet`
(query_id, query_text, task, …) and `outcomes.parquet` (query_id, model, score in [0, 1], cost_usd, output_tokens, …).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError, listed
from tradewind.training import names, sources, stems
from tradewind.training.formats import tables
from tradewind.training.formats.entry import Source
from tradewind.training.prices import Price

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

TRAINING = ("mmlu_pro", "routellm", "zeroeval_gsm8k", "routerarena_sub10")
"""The sets that the shipped predictor learns from; their licences allow it. All others only evaluate."""

BYTES_PER_TOKEN = 4.0
COVERAGE = 0.95
"""A model with outcomes for a smaller share of a set's questions is not in the set's pool."""

PRICED = 0.5
"""Where at least this share of a pool has costs, the others leave it; else the pool is judged without costs."""

# MT-Bench is too small to learn from, and is kept as a test out of domain.
NEVER_TRAINED = frozenset({"mt_bench"})


class NoTexts(UsageError):
    """A set that no router can look at."""


@dataclass(frozen=True)
class DataSet:
    """n questions × M models. Missing cells are NaN. Arrays are never written to."""

    name: str
    licence: str
    source: str
    """SHA-256 of its files."""
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    """What a router looks at."""
    variants: tuple[str, ...]
    """The same question in the other form: without its answer options if `texts` has them, else with them."""
    tasks: npt.NDArray[np.str_]
    stems: npt.NDArray[np.str_]
    """Digest of the normalised question stem."""
    kept: npt.NDArray[np.bool_]
    """False where the authors call the row contaminated."""
    models: tuple[str, ...]
    """Canonical names, sorted."""
    score: Floats
    """[n, M] in [0, 1]"""
    cost_usd: Floats
    """[n, M]"""
    output_tokens: Floats
    """[n, M]"""
    input_price: Floats
    """[M] USD per million tokens, NaN where unknown"""
    output_price: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[Any]) -> DataSet:
        """The same set with these rows only (indices or mask)."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            ids=tuple(self.ids[i] for i in index),
            texts=tuple(self.texts[i] for i in index),
            variants=tuple(self.variants[i] for i in index),
            tasks=self.tasks[index],
            stems=self.stems[index],
            kept=self.kept[index],
            score=self.score[index],
            cost_usd=self.cost_usd[index],
            output_tokens=self.output_tokens[index],
        )

    def with_models(self, columns: Sequence[int]) -> DataSet:
        """The same set with these models only."""
        index = list(columns)
        return replace(
            self,
            models=tuple(self.models[i] for i in index),
            score=self.score[:, index],
            cost_usd=self.cost_usd[:, index],
            output_tokens=self.output_tokens[:, index],
            input_price=self.input_price[index],
            output_price=self.output_price[index],
        )


def available(data: Path) -> list[str]:
    """Names of the data sets in a folder, whatever their format."""
    return sorted(sources.available(data))


def load(data: Path, name: str, prices: Mapping[str, Price]) -> DataSet:
    """Reads one set. Raises `UsageError` where there is none, or none with question texts, or one that is not as its
    format has it."""
    source = sources.named(data, name)
    read = sources.read(source)
    queries, outcomes = read.queries, read.outcomes
    sent = queries["prompt"]
    texts = [text if text is not None else prompt for text, prompt in zip(queries["query_text"], sent, strict=True)]
    present = [i for i, text in enumerate(texts) if text and text.strip()]
    if not present:
        raise NoTexts(f"data set `{name}` has no question texts", str(source.path))
    ids = [queries["query_id"][i] for i in present]
    row_of = {query_id: row for row, query_id in enumerate(ids)}
    canonical = _canonical(source, set(outcomes["model"]))
    models = sorted(canonical.values())
    column_of = {model: column for column, model in enumerate(models)}
    rows = np.array([row_of.get(query_id, -1) for query_id in outcomes["query_id"]])
    columns = np.array([column_of[canonical[model]] for model in outcomes["model"]])
    shape = (len(ids), len(models))

    def cells(values: Sequence[float | None]) -> Floats:
        """Mean over repeated samples of a cell; NaN where there is none."""
        flat = np.array([np.nan if value is None else value for value in values], float)
        used = ~np.isnan(flat) & (rows >= 0)
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, (rows[used], columns[used]), flat[used])
        np.add.at(count, (rows[used], columns[used]), 1)
        with np.errstate(invalid="ignore"):
            mean: Floats = total / count
        return mean

    contaminated = queries.get("contaminated", [False] * len(texts))
    empty = [None] * len(rows)
    known = [prices.get(model) for model in models]
    input_price = np.array([price.input_usd_per_million if price else np.nan for price in known])
    output_price = np.array([price.output_usd_per_million if price else np.nan for price in known])
    output_tokens = cells(outcomes.get("output_tokens", empty))
    from_chars = cells(outcomes.get("output_chars", empty)) / BYTES_PER_TOKEN
    output_tokens = np.where(np.isnan(output_tokens), from_chars, output_tokens)
    input_tokens = np.array([len((sent[i] or texts[i]).encode()) for i in present]) / BYTES_PER_TOKEN
    at_list_price = (input_tokens[:, None] * input_price + output_tokens * output_price) / 1e6
    measured, estimated = cells(outcomes["cost_usd"]), cells(outcomes.get("cost_usd_est", empty))
    return DataSet(
        name=name,
        licence=_licence(source.path),
        source=_digest(source),
        ids=tuple(ids),
        texts=tuple(texts[i] for i in present),
        variants=tuple(_other_form(texts[i], sent[i]) for i in present),
        tasks=np.array([queries["task"][i] for i in present]),
        stems=np.array([stems.digest(texts[i]) for i in present]),
        kept=np.array([not contaminated[i] for i in present]),
        models=tuple(models),
        score=cells(outcomes["score"]),
        cost_usd=np.where(np.isnan(measured), np.where(np.isnan(estimated), at_list_price, estimated), measured),
        output_tokens=output_tokens,
        input_price=input_price,
        output_price=output_price,
    )


def _canonical(source: Source, found: Collection[str]) -> dict[str, str]:
    """The canonical name of each model. Raises `UsageError` where two have one: their scores would be mixed."""
    owner: dict[str, str] = {}
    for model in sorted(found):
        other = owner.setdefault(names.canonical(model), model)
        if other != model:
            message = f"data set `{source.name}`: {listed([other, model])} are one model, `{names.canonical(model)}`; keep one"
            raise UsageError(message, str(source.path))
    return {model: name for name, model in owner.items()}


def for_training(data: DataSet, exclude: Collection[str]) -> DataSet:
    """Without contaminated rows, tasks that are never trained on, and excluded questions."""
    barred = np.isin(data.stems, sorted(exclude))
    family = np.array([str(task).split("/")[0] for task in data.tasks])
    return data.take(data.kept & ~np.isin(family, sorted(NEVER_TRAINED)) & ~barred)


def pool(data: DataSet) -> DataSet:
    """The part that can be evaluated: models that cover the set; questions that all of them answered.

    The few models without costs are left out where most have them. Else none is, the costs are NaN, and the set
    is judged by score and APGR.
    """
    answered = ~np.isnan(data.score)
    if (answered.mean(axis=0) >= COVERAGE).sum() < 2:
        # No two models cover the set: what most of the models answered is then the set.
        most = answered.mean(axis=1)
        data = data.take(most >= COVERAGE * most.max(initial=0.0))
    covered = (~np.isnan(data.score)).mean(axis=0) >= COVERAGE
    priced = covered & ((~np.isnan(data.cost_usd)).mean(axis=0) >= COVERAGE)
    by_cost = priced.sum() >= max(2, PRICED * covered.sum())
    chosen = data.with_models(np.flatnonzero(priced if by_cost else covered).tolist())
    complete = ~np.isnan(chosen.score).any(axis=1) & data.kept
    if by_cost:
        return chosen.take(complete & ~np.isnan(chosen.cost_usd).any(axis=1))
    return replace(chosen, cost_usd=np.full(chosen.cost_usd.shape, np.nan)).take(complete)


def is_priced(data: DataSet) -> bool:
    """Whether every cell has a cost."""
    return not np.isnan(data.cost_usd).any()


def _other_form(text: str, sent: str | None) -> str:
    without = stems.before_options(text)
    if without != text or sent is None or stems.before_options(sent) == sent:
        return without
    return sent.removeprefix("Question:").strip()


def _licence(folder: Path) -> str:
    """What the set's README says after the word Licence, up to the end of the sentence."""
    readme = folder / "README.md"
    if not readme.is_file():
        return "not stated"
    said = re.search(r"\*\*Licen[cs]e\.?\*\*:?\s*(.+?)(?:\.\s|\.$|\n|$)", readme.read_text(encoding="utf-8"))
    return said.group(1).strip() if said else "not stated"


def _digest(source: Source) -> str:
    """Of the files that were read; of a folder of tables the two tables alone."""
    mixed = hashlib.sha256()
    for file in tables.pair(source.files) or source.files:
        mixed.update(file.path.read_bytes())
    return f"sha256:{mixed.hexdigest()}"
