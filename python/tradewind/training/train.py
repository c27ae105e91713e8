"""From outcome tables to a gated artifact. A failed gate leaves no artifact, only its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.errors import UsageError
from tradewind.training import corpus as corpora
from tradewind.training import (
    datasets,
    distill,
    evaluate,
    export,
    gates,
    manifest,
    prices,
    prompts,
    recipe,
    splits,
    stems,
    tier1,
)
from tradewind.training.corpus import Corpus
from tradewind.training.datasets import DataSet
from tradewind.training.recipe import Say, silent
from tradewind.training.teacher import labels
from tradewind.training.teacher.labels import Labels
from tradewind.training.tier1 import Tier1

GATED_SHARE = 0.2
"""of the stems, held out for the gates"""

CHAT_PAIRS = (
    ("meta-llama-3.1-8b-instruct", "claude-3-opus-20240229"),
    ("meta-llama-3.1-8b-instruct", "gpt-4o-2024-08-06"),
    ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"),
    ("gemini-1.5-flash-002", "gemini-1.5-pro-002"),
)
"""(cheap, dear) models whose forecast gain must rise with the difficulty of chat prompts."""

SHOWN = (
    "n",
    "models",
    "aiq",
    "zero",
    "aiq_minus_zero",
    "task_mean",
    "score",
    "best_single",
    "oracle",
    "saved_at_best_single",
    "apgr",
    "cpt50",
    "cpt80",
)


@dataclass(frozen=True)
class Options:
    """What `train` is told."""

    data: Path
    out: Path
    exclude: Path | None = None
    """file of SHA-256 of question stems, one a line"""
    seed: int = 0
    sets: tuple[str, ...] = ()
    """empty: those of the shipped predictor"""
    score: bool = True
    """whether the manifest gets the figures and frontier points of `evaluate --fit tier1 --split
    question:<seed>`"""
    teacher: Path | None = None
    """folder of `train-teacher`, whose soft labels are learned from too"""
    shuffle_outcomes: bool = False
    """for checking the gates: outcomes are dealt anew among the questions of a set, and the gain gate must
    fail"""


@dataclass(frozen=True)
class Trained:
    """What came out."""

    passed: bool
    digest: str | None
    """None without an artifact"""
    gates: Mapping[str, Any]
    choice: Mapping[str, Any]
    chat: Mapping[str, Any]
    scores: Mapping[str, Any]
    seconds: float
    files: dict[str, int] = field(default_factory=dict)
    """bytes by file"""

    def document(self) -> dict[str, Any]:
        """As `train --json` writes it."""
        return dict(vars(self))


def run(options: Options, say: Say = silent, clock: float | None = None) -> Trained:
    """Trains, gates, writes. `clock` is the time of creation, seconds since 1970 (now, if absent)."""
    begun = time.monotonic()
    own = prompts.load()
    unbalanced = prompts.unbalanced(own)
    if unbalanced:
        raise UsageError(f"length tells the difficulty label of our own prompts in {', '.join(unbalanced)}")
    sets = load(options)
    soft = soft_labels(options)
    labelled = [soft.of(data) if soft is not None else None for data in sets]
    say("distilling the static table", 0, 1)
    table = distill.load(distill.DIMENSIONS, lambda done, total: say("distilling the static table", done, total))
    say("scanning texts", 0, 1)
    whole = corpora.build(sets, own, table)
    with_labels = tuple(replace(m, soft=found) for m, found in zip(whole.materials, labelled, strict=True))
    whole = replace(whole, materials=with_labels)
    taught, tested_own = whole.own.halves()
    whole = replace(whole, own=taught)
    held_out = splits.held_out(sets, options.seed + 1, GATED_SHARE)
    fitted, choice = recipe.fit(replace(whole, materials=tuple(recipe.without(whole.materials, held_out))), options.seed, say)
    judged = gates.check(whole, held_out, fitted, choice.settings, options.seed, say)
    if not judged.passed:
        chat = recipe.chat_ranking(fitted, tested_own, CHAT_PAIRS)
        return Trained(False, None, judged.document(), choice.document(), chat, {}, time.monotonic() - begun)
    final = tier1.fit(whole, choice.settings, options.seed, lambda done, total: say("fitting on everything", done, total))
    chat = recipe.chat_ranking(final, tested_own, CHAT_PAIRS)
    scores = score(options, say) if options.score else {}
    facts: dict[str, Any] = {
        "seed": options.seed,
        "command": f"tradewind train --data DATA --out OUT --seed {options.seed}{' --teacher TEACHER' if soft else ''}",
        **({"teacher": f"sha256:{soft.digest}"} if soft else {}),
        "choice": choice.document(),
        "chat": {"what": "Spearman(label, forecast gain) on the test half of our own prompts", **chat},
        "gates": judged.document(),
        "scores": {name: {key: entry[key] for key in SHOWN} for name, entry in scores.items()},
        "frontier": {name: {"n": entry["n"], **entry["frontier"]} for name, entry in scores.items()},
        "scores_command": scores_command(options),
    }
    digest = publish(options, final, whole, own, facts, clock)
    files = {path.name: path.stat().st_size for path in sorted(options.out.iterdir()) if path.is_file()}
    return Trained(
        True,
        digest,
        judged.document(),
        choice.document(),
        chat,
        facts["scores"],
        time.monotonic() - begun,
        files,
    )


def load(options: Options) -> list[DataSet]:
    """The training sets, without excluded questions."""
    listed = prices.load(options.data)
    barred = stems.read(options.exclude) if options.exclude is not None else frozenset()
    present = datasets.available(options.data)
    chosen = options.sets or tuple(name for name in datasets.TRAINING if name in present) or tuple(present)
    if not chosen:
        raise UsageError(f"{options.data} holds no data set to train on", str(options.data))
    sets = [datasets.for_training(datasets.load(options.data, name, listed), barred) for name in chosen]
    if options.shuffle_outcomes:
        rng = np.random.default_rng(options.seed)
        sets = [shuffled(data, rng) for data in sets]
    return [data for data in sets if len(data)]


def soft_labels(options: Options) -> Labels | None:
    """The teacher's. It must not have seen what training may not see."""
    if options.teacher is None:
        return None
    if options.shuffle_outcomes:
        raise UsageError("--shuffle-outcomes goes without --teacher, which has learned from the outcomes as they are")
    found = labels.load(options.teacher)
    found.refuse_seen(stems.read(options.exclude) if options.exclude is not None else ())
    return found


def shuffled(data: DataSet, rng: np.random.Generator) -> DataSet:
    """Outcome rows dealt anew among the questions: every model keeps its mean, no question says anything."""
    order = rng.permutation(len(data))
    return replace(data, score=data.score[order], cost_usd=data.cost_usd[order], output_tokens=data.output_tokens[order])


def score(options: Options, say: Say) -> dict[str, Any]:
    """What `evaluate` says of a predictor fitted alike without the questions it is scored on; without a teacher too, whose
    encoder has learned from these questions."""
    asked = evaluate.Options(data=options.data, fit=("tier1",), split=f"question:{options.seed}", seed=options.seed)
    sets: dict[str, Any] = evaluate.run(asked, lambda stage: say(f"scoring: {stage}", 0, 1))["sets"]
    return sets


def scores_command(options: Options) -> str:
    """How anyone repeats the scores."""
    return f"tradewind evaluate --data DATA --fit tier1 --split question:{options.seed} --seed {options.seed}"


def publish(
    options: Options,
    final: Tier1,
    whole: Corpus,
    own: list[prompts.Prompt],
    facts: Mapping[str, Any],
    clock: float | None,
) -> str:
    """Writes graph, manifest and stems."""
    digest = export.write(final, options.out)
    moment = datetime.fromtimestamp(time.time() if clock is None else clock, UTC)
    created = moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    manifest.write(options.out, manifest.document(final, whole, own, digest, created, facts), manifest.stems_of(whole))
    return digest
