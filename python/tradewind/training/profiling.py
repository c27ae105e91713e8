"""A model's profile with its uncertainty: from answers to prompts, or without any by analogy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.artifacts import plan
from tradewind.artifacts.plan import Profile
from tradewind.artifacts.predictor import Artifact
from tradewind.bootstrap import Interval
from tradewind.training import export, features, forecast, production, profiles
from tradewind.training.analogy import Expected
from tradewind.training.forecast import Parameters, Prediction
from tradewind.training.profiles import Posterior

Floats = npt.NDArray[np.float64]

SCHEMA = "tradewind.profile/v1"
Z = 1.959963984540054
"""Two-sided 95 %."""


@dataclass(frozen=True)
class Answered:
    """n scored answers of one model."""

    texts: tuple[str, ...]
    score: Floats
    """[n] in [0, 1]"""
    output_tokens: Floats
    """[n], NaN where unknown"""
    domains: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Frozen:
    """A predictor as profiles are fitted under it."""

    graph: export.Artifact
    known: Mapping[str, Profile]
    digest: str

    def predict(self, texts: Sequence[str]) -> Prediction:
        """The graph's outputs."""
        return self.graph.predict(self.graph.encoder.encode(features.of(texts)))

    @property
    def parameters(self) -> Parameters:
        """How they are read."""
        return self.graph.parameters


@dataclass(frozen=True)
class Domain:
    """One domain's answers."""

    count: int
    accuracy: Interval
    """What was measured (Wilson's interval)."""
    jointly: Interval
    """The same, so wide that the truth lies within all domains' intervals at once in 95 % of cases (Šidák)."""
    forecast: float
    """What the profile forecasts: topics and difficulty follow a domain only so far."""


@dataclass(frozen=True)
class Profiled:
    """What was found."""

    profile: Profile
    bias_sd: float
    """logits; how sure the ability is, given these prompts"""
    scale_sd: float
    """logits; how sure it is that these prompts are on the known models' scale. Small only where known models
    answered the same prompts."""
    quality: Interval
    """Mean forecast over the prompts."""
    accuracy: Interval | None = None
    """Mean score; `None` without answers."""
    domains: Mapping[str, Domain] | None = None
    output_tokens: float | None = None
    """Mean, where it was measured."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "profile": plan.profile_document(self.profile),
            "bias": {"value": self.profile.bias, "sd": round(self.bias_sd, 4), "scale_sd": round(self.scale_sd, 4)},
            "quality": _interval(self.quality),
            "accuracy": _interval(self.accuracy) if self.accuracy else None,
            "output_tokens": self.output_tokens,
            "domains": {name: _domain(each) for name, each in (self.domains or {}).items()},
        }


def freeze(artifact: Artifact) -> Frozen:
    """A predictor that was read."""
    return Frozen(export.Artifact(artifact.graph), artifact.profiles, artifact.digest)


def fit(frozen: Frozen, answered: Answered, expected: Expected, linked: Mapping[str, Answered] | None = None) -> Profiled:
    """The profile that these answers give, heads frozen.

    `linked` are known models' answers to the same prompts: they tell how much easier the prompts are for everyone than they
    look (common-item linking; Kolen & Brennan, Test Equating, chapter 6).
    """
    prediction = frozen.predict(answered.texts)
    answers = profiles.seen(frozen.parameters, prediction, answered.score, answered.output_tokens)
    offset, scale_sd = _link(frozen, linked or {})
    common = production.mean_clusters(frozen.known, prediction)
    found = profiles.fresh(answers, expected.profile.bias, offset, common, production.CLUSTER_SD)
    if np.isnan(answered.output_tokens).all():
        found = replace(found, length=expected.profile.length)
    # On these prompts the model is as good as bias and offset say together.
    here = _settled(
        replace(found, bias=found.bias + offset), expected.profile.bias + offset, frozen.parameters, prediction, answered
    )
    found = replace(here, bias=round(here.bias - offset, 5))
    sure = profiles.posterior(answers, here, production.CLUSTER_SD)
    quality = forecast.quality(prediction, frozen.parameters, [here])[0][:, 0]
    return Profiled(
        profile=found,
        bias_sd=sure.bias_sd,
        scale_sd=scale_sd,
        quality=_mean_quality(quality, answers.membership, sure),
        accuracy=wilson(answered.score, Z),
        domains=_domains(answered, quality),
        output_tokens=_mean_tokens(answered.output_tokens),
    )


def assume(frozen: Frozen, expected: Expected, texts: Sequence[str]) -> Profiled:
    """The profile of a model without answers, with the quality to expect on these texts."""
    prediction = frozen.predict(texts)
    shift = Z * expected.bias_sd
    low, mean, high = (
        float(
            forecast.quality(prediction, frozen.parameters, [replace(expected.profile, bias=expected.profile.bias + by)])[
                0
            ].mean()
        )
        for by in (-shift, 0.0, shift)
    )
    return Profiled(expected.profile, expected.bias_sd, 0.0, Interval(mean, low, high))


def wilson(score: Floats, z: float) -> Interval:
    """Of the mean of n scores in [0, 1], with continuity correction (Newcombe 1998, Statistics in Medicine 17, method 4).

    It covers at least as often as it says, where scores are fractions too: their variance is smaller than p(1 − p).
    """
    count, mean = len(score), float(score.mean())
    below = z * np.sqrt(max(z * z - 2 - 1 / count + 4 * mean * (count * (1 - mean) + 1), 0.0))
    above = z * np.sqrt(max(z * z + 2 - 1 / count + 4 * mean * (count * (1 - mean) - 1), 0.0))
    centre, scale = 2 * count * mean + z * z, 2 * (count + z * z)
    low = 0.0 if mean == 0 else float((centre - 1 - below) / scale)
    high = 1.0 if mean == 1 else float((centre + 1 + above) / scale)
    return Interval(mean, min(max(low, 0.0), mean), max(min(high, 1.0), mean))


def _settled(profile: Profile, expected: float, parameters: Parameters, prediction: Prediction, answered: Answered) -> Profile:
    """With the bias that is most probable under the forecast itself, which averages heads as qualities, not as logits, and adds
    the deviations by topic. Newton's method."""
    for _ in range(8):
        quality = forecast.quality(prediction, parameters, [profile])[0][:, 0]
        gradient = float((answered.score - quality).sum()) - (profile.bias - expected) / profiles.BIAS_SD**2
        step = gradient / (float((quality * (1 - quality)).sum()) + profiles.BIAS_SD**-2)
        profile = replace(profile, bias=profile.bias + float(np.clip(step, -1, 1)))
    return profile


def _link(frozen: Frozen, linked: Mapping[str, Answered]) -> tuple[float, float]:
    """(offset of the prompts, its standard deviation), logits."""
    parts = [
        (profiles.seen(frozen.parameters, frozen.predict(each.texts), each.score, each.output_tokens), frozen.known[name])
        for name, each in linked.items()
    ]
    if not parts:
        return 0.0, profiles.OFFSET_SD
    offset = profiles.set_offset(parts)
    # Each known model is itself off by what is special to it on such prompts: no number of its answers makes up for that.
    sd = (profiles.OFFSET_SD**-2 + len(parts) / profiles.SPECIAL_SD**2) ** -0.5
    return offset, sd


def _mean_quality(quality: Floats, membership: Floats, sure: Posterior) -> Interval:
    """Symmetric in logits, so that it stays within 0 and 1."""
    mean = float(quality.mean())
    logit, sd = np.log(mean / (1 - mean)), sure.mean_sd(quality, membership) / (mean * (1 - mean))
    low, high = 1 / (1 + np.exp(-(logit + np.array([-Z, Z]) * sd)))
    return Interval(mean, float(low), float(high))


def _domains(answered: Answered, quality: Floats) -> dict[str, Domain]:
    names = np.array(answered.domains)
    every = sorted(set(answered.domains))
    # Šidák: each interval at 0.95^(1/k).
    wider = NormalDist().inv_cdf((1 + 0.95 ** (1 / len(every))) / 2)
    return {
        name: Domain(
            count=int((names == name).sum()),
            accuracy=wilson(answered.score[names == name], Z),
            jointly=wilson(answered.score[names == name], wider),
            forecast=float(quality[names == name].mean()),
        )
        for name in every
    }


def _mean_tokens(tokens: Floats) -> float | None:
    return None if np.isnan(tokens).all() else round(float(np.nanmean(tokens)), 1)


def _interval(found: Interval) -> dict[str, float]:
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


def _domain(found: Domain) -> dict[str, Any]:
    return {
        "n": found.count,
        "accuracy": _interval(found.accuracy),
        "jointly": _interval(found.jointly),
        "forecast": round(found.forecast, 4),
    }
