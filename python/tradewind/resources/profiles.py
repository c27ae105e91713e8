"""Profiles of models: from a predictor's manifest by name, from a ConfigMap, or from a prior alone."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradewind.artifacts import plan
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.errors import listed, unknown
from tradewind.resources import formats
from tradewind.resources.documents import Path, format_path
from tradewind.resources.folder import Resources
from tradewind.resources.model_pool import ConfigMapKeyRef, Model

MOST_LISTED = 12
"""Names that a message lists; `accepted` has them all."""


@dataclass(frozen=True)
class NoProfile:
    """Why a model has no profile, as a problem says it."""

    code: str
    message: str
    field: Path
    """Below the model."""
    accepted: tuple[str, ...] = ()


class Table:
    """The profiles of a plan, each once."""

    def __init__(self) -> None:
        self.by_key: dict[str, plan.Profile] = {}
        self._seen: dict[int, tuple[plan.Profile, str]] = {}

    def add(self, profile: plan.Profile) -> str:
        """The key of a profile, which is in the table from now on."""
        seen = self._seen.get(id(profile))
        if seen is None:  # What is held keeps its address, so that one address is one profile.
            seen = self._seen[id(profile)] = (profile, plan.profile_key(profile))
            self.by_key.setdefault(seen[1], profile)
        return seen[1]


def find(model: Model, namespace: str, resources: Resources, predictors: Predictors) -> plan.Profile | NoProfile | None:
    """A model's own profile: the default predictor's where that knows its name. `None` where what it refers to is known to be
    wrong.
    """
    quality = model.quality
    if quality.prior is not None:
        return _of_prior(quality.prior)
    if quality.profile_ref is not None:
        return _of_config_map(quality.profile_ref, namespace, resources)
    name = quality.profile or ""
    known = (predictors.default, *(predictors.others[digest] for digest in sorted(predictors.others)))
    found = (artifact.profiles[name] for artifact in known if name in artifact.profiles)
    return next(found, None) or NoProfile(*unknown_name(name, known), ("quality", "profile"), _names(known))


def unknown_name(name: str, known: Sequence[Artifact]) -> tuple[str, str]:
    """Code and message for a name that none of some predictors knows."""
    names = _names(known)
    close = difflib.get_close_matches(name, names, n=MOST_LISTED, cutoff=0.4)
    shown = close or names[:MOST_LISTED]
    rest = len(names) - len(shown)
    more = f" and {rest} more" if rest else ""
    return "unknown_name", unknown("profile", name, shown) + f"{more}; or give a `prior` instead"


def _names(known: Sequence[Artifact]) -> tuple[str, ...]:
    return tuple(sorted({name for artifact in known for name in artifact.profiles}))


@lru_cache(maxsize=4096)
def _of_prior(decimal: str) -> plan.Profile:
    prior = formats.number(decimal)
    return plan.Profile(bias=math.log(prior / (1 - prior)))


def _of_config_map(ref: ConfigMapKeyRef, namespace: str, resources: Resources) -> plan.Profile | NoProfile | None:
    field: Path = ("quality", "profileRef")
    found = resources.config_maps.get((namespace, ref.name))
    if found is None:
        if ("ConfigMap", namespace, ref.name) in resources.broken:
            return None
        return NoProfile("missing_profile", f"there is no ConfigMap `{namespace}/{ref.name}`", field)
    data = found.resource.data
    if ref.key not in data:
        keys = tuple(sorted(data))
        message = f"ConfigMap `{namespace}/{ref.name}` has no key `{ref.key}`; it has {listed(keys[:MOST_LISTED])}"
        return NoProfile("missing_profile", message, field, keys)
    if len(data[ref.key]) > LARGEST_PROFILE:
        message = f"key `{ref.key}` of ConfigMap `{namespace}/{ref.name}` is longer than {LARGEST_PROFILE} characters"
        return NoProfile("invalid_profile", message, field)
    read = _of_text(data[ref.key])
    if isinstance(read, plan.Profile):
        return read
    return NoProfile("invalid_profile", f"key `{ref.key}` of ConfigMap `{namespace}/{ref.name}` is no profile: {read}", field)


LARGEST_PROFILE = 64 << 10
"""Characters; a profile of 4,096 numbers is a third of it."""


@lru_cache(maxsize=1024)
def _of_text(text: str) -> plan.Profile | str:
    """A profile from its JSON, or what is wrong with it."""
    try:
        _Profile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = format_path(first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return plan.profile_from(json.loads(text))


# What `plan.profile_from` reads, strictly: a core that could not read one profile would refuse the whole plan.
_Number = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
_Numbers = Annotated[list[_Number], Field(max_length=4096)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Calibration(_Strict):
    slope: _Number = 1.0
    offset: _Number = 0.0


class _Length(_Strict):
    bias: _Number = 5.5
    latent: _Numbers = []


class _Profile(_Strict):
    bias: _Number
    slope: _Number = 1.0
    latent: _Numbers = []
    clusters: _Numbers = []
    calibration: _Calibration = _Calibration()
    length: _Length = _Length()
    answers: Annotated[int, Field(ge=0, le=2**31)] = 0
