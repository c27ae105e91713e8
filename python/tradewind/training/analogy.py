"""What to expect of a model that nobody has asked anything: from models of its family, size and price.

Bayesian linear regression of the known abilities (Bishop, Pattern Recognition and Machine Learning, section 3.3): a mean,
trends in ln size and ln price, a family effect, and what is the model's own. What a name or table does not tell has a weight
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Length, Profile
from tradewind.training import catalogue, names
from tradewind.training.prices import Price

Floats = npt.NDArray[np.float64]

MEAN_SD, TREND_SD, UNKNOWN_SD, FAMILY_SD = 2.0, 0.5, 1.0, 0.4
"""Prior spreads, logits; of a trend by a factor of e."""
LEAST_OWN_SD = 0.3
"""Spread of what is a model's own, at least."""

_ORGANISATIONS = ("meta",)
_RELATIVES = {"mixtral": "mistral", "mathstral": "mistral", "codestral": "mistral", "ministral": "mistral", "o": "gpt"}
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z])")


@dataclass(frozen=True)
class Likeness:
    """What a name and a price say of a model."""

    family: str
    billions: float | None
    """Parameters; all experts of a mixture."""
    output_price: float | None = None
    """USD per million tokens."""


@dataclass(frozen=True)
class Expected:
    """A profile without answers."""

    profile: Profile
    bias_sd: float
    """logits"""
    kin: tuple[str, ...]
    """Known models of the family."""


def likeness(name: str, price: Price | None) -> Likeness:
    """From a name such as `Qwen/Qwen2.5-32B-Instruct`."""
    words = re.findall(r"[a-z]+|\d+(?:\.\d+)?", names.canonical(name))
    first = next((word for word in words if word.isalpha() and word not in _ORGANISATIONS), "")
    size = _SIZE.search(names.canonical(name))
    return Likeness(
        family=_RELATIVES.get(first, first),
        billions=float(size.group(1) or 1) * float(size.group(2)) if size else None,
        output_price=price.output_usd_per_million if price and price.output_usd_per_million > 0 else None,
    )


def originals(known: Mapping[str, Profile]) -> dict[str, Profile]:
    """Each profile once, under the first of its names that is no alias."""
    return {first: profile for profile, (first, *_) in catalogue.names_of(known).items()}


def expect(name: str, price: Price | None, known: Mapping[str, Profile], prices: Mapping[str, Price]) -> Expected:
    """What the known models let expect of this one."""
    models = {other: profile for other, profile in originals(known).items() if other != name}
    wanted = likeness(name, price)
    if not models:
        return Expected(Profile(bias=0.0), MEAN_SD, ())
    like = [likeness(other, prices.get(names.canonical(other))) for other in models]
    mean, sd = _regress(like, np.array([profile.bias for profile in models.values()]), wanted)
    kin = tuple(other for other, each in zip(models, like, strict=True) if wanted.family and each.family == wanted.family)
    near = [models[other] for other in kin] or list(models.values())
    return Expected(_average(near, mean), sd, kin)


def like(model: str, known: Mapping[str, Profile]) -> Expected:
    """The profile of one known model, as if its answers were another's; without its direct forecast, which is of that model
    alone and knows no spread of ability. Raises `KeyError`."""
    _, own_sd = _fit([likeness(other, None) for other in known], np.array([each.bias for each in known.values()]))
    return Expected(replace(known[model], latent=(), answers=0), float(np.sqrt(2) * own_sd), (model,))


def _regress(known: Sequence[Likeness], bias: Floats, wanted: Likeness) -> tuple[float, float]:
    """(mean, standard deviation) of the ability that is wanted."""
    (mean, covariance), own_sd = _fit(known, bias)
    row = _design([wanted], known)[0]
    return float(row @ mean), float(np.sqrt(row @ covariance @ row + own_sd**2))


def _fit(known: Sequence[Likeness], bias: Floats, rounds: int = 5) -> tuple[tuple[Floats, Floats], float]:
    """((weights, their covariance), spread of what is a model's own), the latter by its own residuals, round after round."""
    design = _design(known, known)
    families = design.shape[1] - 5
    precision = np.array([MEAN_SD, TREND_SD, UNKNOWN_SD, TREND_SD, UNKNOWN_SD, *[FAMILY_SD] * families]) ** -2.0
    own_sd = 0.5
    for _ in range(rounds):
        covariance = np.asarray(np.linalg.inv(design.T @ design / own_sd**2 + np.diag(precision)), np.float64)
        mean = covariance @ design.T @ bias / own_sd**2
        # Of n residuals, as many as the weights have fitted are lost (MacKay's effective number of parameters).
        fitted = float(np.trace(design @ covariance @ design.T)) / own_sd**2
        own_sd = max(float(np.sqrt(((bias - design @ mean) ** 2).sum() / max(len(bias) - fitted, 1.0))), LEAST_OWN_SD)
    return (mean, covariance), own_sd


def _design(models: Sequence[Likeness], known: Sequence[Likeness]) -> Floats:
    """[n, 5 + families]: 1, ln size, size unknown, ln price, price unknown, the family; logarithms are centred."""
    families = sorted({each.family for each in known if each.family})
    size, size_unknown = _logs([m.billions for m in models], [m.billions for m in known])
    price, price_unknown = _logs([m.output_price for m in models], [m.output_price for m in known])
    of_family = np.array([[float(m.family == family) for family in families] for m in models]).reshape(len(models), -1)
    return np.column_stack([np.ones(len(models)), size, size_unknown, price, price_unknown, of_family])


def _logs(values: Sequence[float | None], known: Sequence[float | None]) -> tuple[Floats, Floats]:
    told = [np.log(value) for value in known if value is not None]
    if not told:  # Then a value, or its absence, says nothing.
        return np.zeros(len(values)), np.zeros(len(values))
    mean = float(np.mean(told))
    logs = np.array([np.log(value) - mean if value is not None else 0.0 for value in values])
    return logs, np.array([float(value is None) for value in values])


def _average(models: Sequence[Profile], bias: float) -> Profile:
    """A profile of this ability that otherwise is the mean of some, which share no direct forecast."""
    clusters = [profile.clusters for profile in models if profile.clusters]
    lengths = [profile.length for profile in models]
    latent = [each.latent for each in lengths if each.latent]
    return Profile(
        bias=round(bias, 5),
        clusters=_mean(clusters),
        length=Length(round(float(np.mean([each.bias for each in lengths])), 5), _mean(latent)),
    )


def _mean(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in np.mean(rows, axis=0)) if rows else ()
