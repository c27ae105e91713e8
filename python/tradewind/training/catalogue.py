"""The public models whose profiles ship with a predictor, each with the data that it comes from and their licences."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tradewind.artifacts.plan import Profile
from tradewind.artifacts.predictor import Artifact
from tradewind.errors import UsageError, unknown
from tradewind.training import forecast, names
from tradewind.training.datasets import DataSet
from tradewind.training.forecast import Parameters, Prediction

MOST_LISTED = 12


@dataclass(frozen=True)
class Known:
    """A model of the catalogue."""

    name: str
    aliases: tuple[str, ...]
    """What a pool may call it as well."""
    sets: Mapping[str, int]
    """Answers by data set; empty where the manifest does not tell."""
    answers: int
    licences: tuple[str, ...]
    """Of the sets."""
    quality: float
    """Forecast mean over the anchors."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def document(sets: Sequence[DataSet]) -> dict[str, dict[str, int]]:
    """For the manifest: by model, the number of its answers in each training set."""
    found: dict[str, dict[str, int]] = {}
    for data in sets:
        counts = (~np.isnan(data.score)).sum(axis=0)
        for model, count in zip(data.models, counts.tolist(), strict=True):
            found.setdefault(model, {})[data.name] = count
    return dict(sorted(found.items()))


def entries(artifact: Artifact, parameters: Parameters, anchors: Prediction) -> list[Known]:
    """The catalogue of a predictor, best first."""
    licences = {each["set"]: each["licence"] for each in artifact.manifest.get("data", [])}
    told = artifact.manifest.get("catalogue", {})
    named = names_of(artifact.profiles)
    quality = forecast.quality(anchors, parameters, list(named))[0].mean(axis=0)
    found = [
        Known(
            name=first,
            aliases=tuple(aliases),
            sets=told.get(first, {}),
            answers=profile.answers,
            licences=tuple(sorted({licences[name] for name in told.get(first, {}) if name in licences})),
            quality=round(float(mean), 4),
        )
        for (profile, (first, *aliases)), mean in zip(named.items(), quality, strict=True)
    ]
    return sorted(found, key=lambda each: (-each.quality, each.name))


def names_of(known: Mapping[str, Profile]) -> dict[Profile, list[str]]:
    """All names of each profile, aliases last."""
    found: dict[Profile, list[str]] = {}
    for name in sorted(known, key=lambda name: (name in names.ALIASES, name)):
        found.setdefault(known[name], []).append(name)
    return found


def profile(name: str, known: Mapping[str, Profile]) -> Profile:
    """The profile of a known model; raises `UsageError` with the names that are near."""
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=MOST_LISTED, cutoff=0.4)
        message = unknown("model", name, near) if near else unknown("model", name, sorted(known)[:MOST_LISTED])
        raise UsageError(f"{message}; `tradewind profile --list` shows all {len(known)}")
    return known[name]
