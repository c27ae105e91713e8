"""The plan source: assembled routing as JSON, the only thing a gateway reads. Mirrors
`core/src/plan/source.rs`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SCHEMA = "tradewind.plan/v3"
VERSION = 3
"""As data planes say which schema they read."""


@dataclass(frozen=True)
class Upstream:
    """Where a model is served."""

    url: str
    """Base URL, up to and without `/chat/completions`."""
    dialect: str
    """A row of the core's dialect table."""
    model: str
    """What the upstream calls it."""
    credential: str | None = None
    """`namespace/secret/key`; the secret itself is never in a plan."""


@dataclass(frozen=True)
class Price:
    """Nano-dollars per million tokens."""

    input_nanousd_per_million: int
    output_nanousd_per_million: int
    cached_input_nanousd_per_million: int | None = None


@dataclass(frozen=True)
class Limits:
    """What a model holds."""

    context_tokens: int
    output_tokens: int
    concurrent_requests: int | None = None


@dataclass(frozen=True)
class Calibration:
    """Last step of a quality in logit space."""

    slope: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Length:
    """Answer length: natural logarithm of tokens."""

    bias: float = 5.5
    latent: tuple[float, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A model's learned capability vector; weights act in logit space."""

    bias: float
    slope: float = 1.0
    latent: tuple[float, ...] = ()
    clusters: tuple[float, ...] = ()
    """By topic of the predictor."""
    calibration: Calibration = Calibration()
    length: Length = Length()
    answers: int = 0
    column: int | None = None
    """Where a graph of a user's own gives this model's quality."""


@dataclass(frozen=True)
class Latency:
    """Declared latency, until it is observed."""

    first_token_ms: float | None = None
    output_tokens_per_second: float | None = None
    """Of an answer, once it has begun."""


@dataclass(frozen=True)
class Model:
    """One upstream with price, limits and the key of its profile."""

    id: str
    """`namespace/pool/name`."""
    upstream: Upstream
    price: Price
    limits: Limits
    profile: str
    """Key in the plan's table of profiles."""
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    latency: Latency = Latency()

    @cached_property
    def text(self) -> str:
        """As JSON has it. Written once: a controller assembles plans of the same models over and over."""
        return _text(_model(self))


@dataclass(frozen=True)
class Constraints:
    """What must hold for a candidate."""

    min_quality: float | None = None
    max_request_nanousd: int | None = None
    first_token_ms: float | None = None
    match_labels: Mapping[str, str] = field(default_factory=dict)
    when_unsatisfied: str = "reject"


@dataclass(frozen=True)
class Timeouts:
    """How long to wait."""

    request_ms: int = 60_000
    first_token_ms: int = 15_000
    stream_idle_ms: int = 30_000


@dataclass(frozen=True)
class Callers:
    """Whose calls a route takes: those of its own namespace always."""

    rule: str = "same"
    """`same`, `all` or `listed`; the plan's `from`."""
    namespaces: tuple[str, ...] = ()
    """Beside the route's own; with `listed` only."""


@dataclass(frozen=True)
class SecondTier:
    """A graph of a user's own that is asked where the choice of the first tier is close."""

    predictor: str
    """`sha256:` of the ONNX file."""
    ambiguity: float
    """It is asked where the margin of the choice is below this; in units of quality."""
    columns: Mapping[str, int]
    """By candidate, of those that it knows."""
    weight: float = 0.5
    """Its share in the logit of quality."""
    purpose: str = "labels"
    """`labels` or `inline`; the plan's `use`."""


@dataclass(frozen=True)
class Route:
    """Which calls, which candidates, by which rules."""

    id: str
    """`namespace/policy`."""
    aliases: tuple[str, ...]
    predictor: str
    """`sha256:` of the ONNX file."""
    candidates: tuple[str, ...]
    strategy: Mapping[str, Any]
    """`{"type": name, name: {parameters}}`: a row of the core's strategy table."""
    constraints: Constraints = Constraints()
    timeouts: Timeouts = Timeouts()
    retry_attempts: int = 2
    when: str | None = None
    """CEL over `request` and `caller`: the route takes no call for which it does not hold."""
    callers: Callers = Callers()
    profiles: Mapping[str, str] = field(default_factory=dict)
    """By candidate: the key of the profile that this route's predictor reads instead of the model's own."""
    second_tier: SecondTier | None = None

    @property
    def predictors(self) -> tuple[str, ...]:
        """Digests of those that it names."""
        return (self.predictor, *((self.second_tier.predictor,) if self.second_tier is not None else ()))


@dataclass(frozen=True)
class PlanSource:
    """Profiles, models and routes; of the routes with one alias, the first that takes a call gets it."""

    profiles: Mapping[str, Profile]
    """By key: `table` makes it."""
    models: tuple[Model, ...]
    routes: tuple[Route, ...]
    schema: str = SCHEMA

    def document(self) -> dict[str, Any]:
        """As JSON has it: absent values left out, keys in the order of the core's structs."""
        return {
            "schema": self.schema,
            "profiles": {key: profile_document(profile) for key, profile in sorted(self.profiles.items())},
            "models": [_model(model) for model in self.models],
            "routes": [_route(route) for route in self.routes],
        }

    def to_json(self) -> bytes:
        """Canonical: the same plan gives the same bytes, a line for each part. Its id is the core's, from its own form."""
        profiles = (f"{json.dumps(key)}: {_text(profile_document(each))}" for key, each in sorted(self.profiles.items()))
        models = (model.text for model in self.models)
        routes = (_text(_route(route)) for route in self.routes)
        parts = (
            f'"schema": {json.dumps(self.schema)}',
            f'"profiles": {{{_lines(profiles)}}}',
            f'"models": [{_lines(models)}]',
            f'"routes": [{_lines(routes)}]',
        )
        return ("{" + _lines(parts) + "}\n").encode()


def from_document(document: Mapping[str, Any]) -> PlanSource:
    """A plan source from its JSON; raises `KeyError` or `TypeError` where it is not one. `core.check_plan`
    says why.
    """
    return PlanSource(
        schema=document["schema"],
        profiles={key: profile_from(profile) for key, profile in document["profiles"].items()},
        models=tuple(_model_from(model) for model in document["models"]),
        routes=tuple(_route_from(route) for route in document["routes"]),
    )


def profile_key(profile: Profile) -> str:
    """What a profile is called in a plan: 16 hexadecimal digits of its content."""
    canonical = json.dumps(profile_document(profile), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def table(profiles: Iterable[Profile]) -> dict[str, Profile]:
    """Profiles by their keys, each once."""
    return {profile_key(profile): profile for profile in profiles}


def profile_document(profile: Profile) -> dict[str, Any]:
    """A profile as JSON has it, in the plan and in a manifest."""
    return {
        "bias": profile.bias,
        "slope": profile.slope,
        **_present(latent=list(profile.latent) or None, clusters=list(profile.clusters) or None),
        "calibration": {"slope": profile.calibration.slope, "offset": profile.calibration.offset},
        "length": {"bias": profile.length.bias, **_present(latent=list(profile.length.latent) or None)},
        "answers": profile.answers,
        **_present(column=profile.column),
    }


def profile_from(document: Mapping[str, Any]) -> Profile:
    """A profile from its JSON; unknown fields raise `TypeError`."""
    given = dict(document)
    length = dict(given.pop("length", {}))
    return Profile(
        latent=tuple(given.pop("latent", ())),
        clusters=tuple(given.pop("clusters", ())),
        calibration=Calibration(**given.pop("calibration", {})),
        length=Length(latent=tuple(length.pop("latent", ())), **length),
        **given,
    )


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def _lines(parts: Iterable[str]) -> str:
    joined = ",\n".join(parts)
    return f"\n{joined}\n" if joined else ""


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _model(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "upstream": _present(**vars(model.upstream)),
        "price": _present(**vars(model.price)),
        "limits": _present(**vars(model.limits)),
        "capabilities": list(model.capabilities),
        "labels": dict(sorted(model.labels.items())),
        "profile": model.profile,
        "latency": _present(**vars(model.latency)),
    }


def _model_from(document: Mapping[str, Any]) -> Model:
    return Model(
        id=document["id"],
        upstream=Upstream(**document["upstream"]),
        price=Price(**document["price"]),
        limits=Limits(**document["limits"]),
        capabilities=tuple(document.get("capabilities", ())),
        labels=dict(document.get("labels", {})),
        profile=document["profile"],
        latency=Latency(**document.get("latency", {})),
    )


def _route(route: Route) -> dict[str, Any]:
    constraints = {
        **vars(route.constraints),
        "match_labels": dict(sorted(route.constraints.match_labels.items())) or None,
    }
    return {
        "id": route.id,
        "aliases": list(route.aliases),
        **_present(when=route.when, callers=_callers(route.callers)),
        "predictor": route.predictor,
        **_present(second_tier=_second_tier(route.second_tier)),
        "candidates": list(route.candidates),
        **_present(profiles=dict(sorted(route.profiles.items())) or None),
        "strategy": dict(route.strategy),
        "constraints": _present(**constraints),
        "timeouts": dict(vars(route.timeouts)),
        "retry_attempts": route.retry_attempts,
    }


def _second_tier(tier: SecondTier | None) -> dict[str, Any] | None:
    if tier is None:
        return None
    return {
        "predictor": tier.predictor,
        "ambiguity": tier.ambiguity,
        "weight": tier.weight,
        "use": tier.purpose,
        "columns": dict(sorted(tier.columns.items())),
    }


def _callers(callers: Callers) -> dict[str, Any] | None:
    if callers == Callers():
        return None
    return {"from": callers.rule, **_present(namespaces=sorted(callers.namespaces) or None)}


def _route_from(document: Mapping[str, Any]) -> Route:
    return Route(
        id=document["id"],
        aliases=tuple(document["aliases"]),
        predictor=document["predictor"],
        candidates=tuple(document["candidates"]),
        strategy=dict(document["strategy"]),
        constraints=Constraints(**document.get("constraints", {})),
        timeouts=Timeouts(**document.get("timeouts", {})),
        retry_attempts=document.get("retry_attempts", 2),
        when=document.get("when"),
        callers=_callers_from(document.get("callers", {})),
        profiles=dict(document.get("profiles", {})),
        second_tier=_second_tier_from(document["second_tier"]) if "second_tier" in document else None,
    )


def _second_tier_from(document: Mapping[str, Any]) -> SecondTier:
    given = dict(document)
    return SecondTier(columns=dict(given.pop("columns")), purpose=given.pop("use", "labels"), **given)


def _callers_from(document: Mapping[str, Any]) -> Callers:
    given = dict(document)
    return Callers(given.pop("from", "same"), tuple(given.pop("namespaces", ())), **given)
