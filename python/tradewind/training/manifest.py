"""The manifest beside a predictor: what it was trained on, how it scored, and the profiles that plans
copy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tradewind import core
from tradewind.artifacts import plan, predictor
from tradewind.training import catalogue, export, names
from tradewind.training.corpus import Corpus
from tradewind.training.datasets import DataSet
from tradewind.training.prompts import Prompt, agreement, length_balance
from tradewind.training.tier1 import Tier1

STEMS = "stems.txt"
STEM_DIGITS = 16
"""Hex digits kept of each training stem's SHA-256."""


def profiles(fitted: Tier1) -> dict[str, Any]:
    """Profiles by name: canonical names, and what people write in a pool instead."""
    found = {name: plan.profile_document(profile) for name, profile in fitted.profiles.items()}
    for alias, name in names.ALIASES.items():
        if name in found:
            found.setdefault(alias, found[name])
    return dict(sorted(found.items()))


def stems_of(corpus: Corpus) -> list[str]:
    """First digits of every training question's stem, sorted."""
    return sorted({str(stem)[:STEM_DIGITS] for material in corpus.materials for stem in material.data.stems})


def document(
    fitted: Tier1, corpus: Corpus, own: Sequence[Prompt], digest: str, created: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole manifest; `facts` are scores, frontier, gates, prompts' figures, seed, command."""
    stems = stems_of(corpus)
    return {
        "schema": predictor.SCHEMA,
        "name": "tier1",
        "created": created,
        "digest": digest,
        "feature_schema": core.feature_schema(),
        "graph": {
            "file": export.FILE,
            "sha256": digest.removeprefix("sha256:"),
            "dimensions": export.dimensions(fitted),
        },
        "parameters": asdict(fitted.parameters),
        "table": {
            "recipe": "all-MiniLM-L6-v2, one vector a vocabulary entry, PCA, int8 rows",
            "source": corpus.table_source,
        },
        "data": [data_of(m.data) for m in corpus.materials],
        "own_prompts": {
            "count": len(own),
            "length_balance": _rounded(length_balance(own)),
            "labellers": _rounded(agreement(own)),
        },
        "stems": {"file": STEMS, "count": len(stems), "digits": STEM_DIGITS, "sha256": _digest(stems)},
        **facts,
        "catalogue": catalogue.document([m.data for m in corpus.materials]),
        "profiles": profiles(fitted),
    }


def data_of(data: DataSet) -> dict[str, Any]:
    """What a manifest says of a training set."""
    return {
        "set": data.name,
        "licence": data.licence,
        "rows": int((data.score == data.score).sum()),
        "questions": len(data),
        "models": len(data.models),
        "sha256": data.source.removeprefix("sha256:"),
    }


def write(folder: Path, manifest: Mapping[str, Any], stems: Iterable[str]) -> None:
    """Writes `manifest.json` and `stems.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STEMS).write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / predictor.MANIFEST).write_text(text + "\n", encoding="utf-8")


def training_stems(folder: Path) -> frozenset[str]:
    """The stems that a predictor was trained on (first digits); empty where they are not told."""
    path = folder / STEMS
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()


def _digest(stems: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{stem}\n" for stem in stems).encode()).hexdigest()


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
