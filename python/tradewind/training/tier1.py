"""The microsecond predictor: how all its parts are fitted, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Profile
from tradewind.training import deviations, forecast, heads, profiles, scale
from tradewind.training.corpus import Corpus, Encoder, Material, Own
from tradewind.training.deviations import Latents, LatentSettings, LatentTask
from tradewind.training.forecast import Parameters, Prediction
from tradewind.training.heads import Answers, Heads, HeadSettings
from tradewind.training.scale import Scale

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

DIMENSIONS = 128
"""D of the static table"""
AGREEMENT = 0.3
"""Correlation of models' answers to a question: k answers count as k/(1 + (k − 1)·AGREEMENT)."""


@dataclass(frozen=True)
class Settings:
    """What training is told. Chosen on held-out questions of training, never on test rows (see `train`)."""

    heads: HeadSettings = field(default_factory=HeadSettings)
    latents: LatentSettings = field(default_factory=LatentSettings)
    clusters: int = 64
    temperature: float = 0.05
    cluster_sd: float = 0.2
    deviation_blend: float = 0.0
    difficulty_beyond: float = 0.4
    inner_quantile: float = 0.5
    """of the training texts' distance to the nearest centroid"""
    outer_factor: float = 1.5
    prior_sd: float = 0.1
    own_weight: float = 500.0
    """Weight of one of our own prompts, in questions: exams must not drown them."""
    own_stillness: float = 100.0
    """Weight, in questions, with which one of our prompts pulls the latent to 0."""
    own_top: float = 0.3
    """Difficulty of a prompt with label 5. Below the middle between a cheap and a dear model's ability, the
    dear one's gain rises with difficulty: labels 1 to 5 must stay on that side."""
    own_step: float = 1.0
    """Difficulty between two labels."""
    own_sharpness: float = 2.0
    """How sharply a tier's pseudo model separates the labels it answers well from the others."""


@dataclass(frozen=True)
class Tier1:
    """A fitted predictor."""

    encoder: Encoder
    heads: Heads
    latents: Latents
    centroids: Singles
    """[D, C]"""
    parameters: Parameters
    profiles: Mapping[str, Profile]
    scale: Scale

    def predict(self, x: Singles) -> Prediction:
        """The graph's outputs, from encoded texts [n, D + F]."""
        z = x[:, : self.encoder.dimensions]
        latent, length = self.latents.outputs(z)
        found = (self.heads.difficulty(x), latent, length, z @ self.centroids)
        return Prediction(*(part.astype(np.float64) for part in found))


def fit(corpus: Corpus, settings: Settings, seed: int, progress: Progress | None = None) -> Tier1:
    """Fits everything on the given material (its own half of our prompts already chosen)."""
    rng = np.random.default_rng(seed)
    started = fit_difficulty(corpus, settings, rng, progress)
    return fit_models(started, corpus.materials, corpus.own, settings, rng)


def fit_difficulty(
    corpus: Corpus, settings: Settings, rng: np.random.Generator, progress: Progress | None = None
) -> Tier1:
    """Abilities, centroids and the shared difficulty; no profiles yet."""
    materials, dimensions = corpus.materials, corpus.encoder.dimensions
    joint = scale.fit([material.data for material in materials])
    z = np.concatenate([form[:, :dimensions] for m in materials for form in (m.x, m.other)])
    weight = np.concatenate([np.full(2 * len(m.data), len(m.data) ** -0.5) for m in materials])
    centre = deviations.centroids(z, weight, settings.clusters, rng)
    parameters = _parameters(z, centre, settings)
    kept = _kept(corpus.own, centre, parameters, dimensions)
    answers = heads.stack([*exam_answers(materials, joint), *own_answers(corpus.own, kept, settings)])
    trained = heads.fit(answers, dimensions, settings.heads, rng, progress)
    blank = Latents(
        *(np.zeros(shape, np.float32) for shape in ((dimensions, 1), (1,), (1, 0), (0,), (1, 0), (0,)))
    )
    return Tier1(corpus.encoder, trained, blank, centre, parameters, {}, joint)


def _parameters(z: Singles, centre: Singles, settings: Settings) -> Parameters:
    distance = 1 - (z @ centre).max(axis=1)
    inner = float(np.quantile(distance, settings.inner_quantile))
    return Parameters(
        inner_radius=inner,
        outer_radius=inner * settings.outer_factor,
        difficulty_beyond=settings.difficulty_beyond,
        deviation_blend=settings.deviation_blend,
        temperature=settings.temperature,
        prior_sd=settings.prior_sd,
    )


def fit_models(
    started: Tier1, materials: Sequence[Material], own: Own, settings: Settings, rng: np.random.Generator
) -> Tier1:
    """Adds what tells models apart, with the difficulty frozen: latents, cluster deviations, answer
    lengths."""
    names = sorted({model for material in materials for model in material.data.models})
    tasks = [_latent_task(started, material, names) for material in materials]
    if len(own.labels):
        tasks.append(_no_deviation(started, own, names, settings.own_stillness))
    latents, of_latent, of_length = deviations.fit_latents(tasks, len(names), settings.latents, rng)
    fitted = replace(started, latents=latents)
    evidence = {name: profiles.Evidence.empty() for name in names}
    for material in materials:
        prediction = fitted.predict(material.x)
        for column, model in enumerate(material.data.models):
            evidence[model] = evidence[model].add(
                profiles.evidence(fitted.parameters, prediction, material.data, column)
            )
    found = {
        name: profiles.trained(
            evidence[name],
            bias=started.scale.ability[name],
            special=_special(started.scale, name, materials),
            cluster_sd=settings.cluster_sd,
            latent=of_latent[i],
            length_latent=of_length[i],
        )
        for i, name in enumerate(names)
    }
    return replace(fitted, profiles=found)


def reshaped(fitted: Tier1, materials: Sequence[Material], settings: Settings) -> Tier1:
    """The same heads and latents with other shrinkage, blend or temperature: for choosing these by routing
    value."""
    dimensions = fitted.encoder.dimensions
    z = np.concatenate([form[:, :dimensions] for m in materials for form in (m.x, m.other)])
    parameters = _parameters(z, fitted.centroids, settings)
    changed = replace(fitted, parameters=parameters)
    evidence = {name: profiles.Evidence.empty() for name in fitted.profiles}
    for material in materials:
        prediction = changed.predict(material.x)
        for column, model in enumerate(material.data.models):
            evidence[model] = evidence[model].add(
                profiles.evidence(changed.parameters, prediction, material.data, column)
            )
    found = {
        name: replace(
            profile,
            clusters=profiles.clusters(
                evidence[name], profile.bias, _special(fitted.scale, name, materials), settings.cluster_sd
            ),
        )
        for name, profile in fitted.profiles.items()
    }
    return replace(changed, profiles=found)


def _special(joint: Scale, model: str, materials: Sequence[Material]) -> float:
    """What the model is better at in the sets that it was seen in, on average."""
    known = [joint.special[model, m.data.name] for m in materials if (model, m.data.name) in joint.special]
    return float(np.mean(known)) if known else 0.0


def exam_answers(materials: Sequence[Material], joint: Scale) -> list[Answers]:
    """Each set in both forms, half a question each. Questions of one stem share a group."""
    group_of: dict[str, int] = {}
    found = []
    for material in materials:
        data = material.data
        bias = [joint.ability[model] + joint.special[model, data.name] for model in data.models]
        answered = ~np.isnan(data.score)
        count = np.maximum(answered.sum(axis=1), 1)
        weight = answered * (0.5 / (1 + (count - 1) * AGREEMENT))[:, None]
        group = np.array([group_of.setdefault(str(stem), len(group_of)) for stem in data.stems], np.int64)
        for x in (material.x, material.other):
            found.append(
                Answers(
                    x=x,
                    right=np.nan_to_num(data.score).astype(np.float32),
                    weight=weight.astype(np.float32),
                    bias=np.broadcast_to(np.array(bias, np.float32), data.score.shape),
                    slope=np.ones(len(data), np.float32),
                    group=group,
                )
            )
    return found


def own_answers(own: Own, kept: Floats, settings: Settings) -> list[Answers]:
    """Our own prompts as answers of five pseudo models: that of tier τ answers well if and only if τ ≥ label.

    `kept` [n] is the share of the difficulty that the forecast keeps at the prompt's distance; the heads are
    trained so that what remains is right.
    """
    if len(own.labels) == 0:
        return []
    tiers = np.arange(1, 6)
    ability = settings.own_top + (tiers - 5 + 0.5) * settings.own_step
    right = (tiers[None, :] >= own.labels[:, None]).astype(np.float32)
    return [
        Answers(
            x=own.x,
            right=right,
            weight=np.full(right.shape, settings.own_weight / len(tiers), np.float32),
            bias=(ability[None, :] / kept[:, None]).astype(np.float32),
            slope=(settings.own_sharpness * kept).astype(np.float32),
            # Their groups lie beyond those of the exams.
            group=np.arange(len(own.labels)) + 1_000_000,
        )
    ]


def _kept(own: Own, centre: Singles, parameters: Parameters, dimensions: int) -> Floats:
    z = own.x[:, :dimensions]
    nothing = np.zeros((len(z), 0))
    near = forecast.nearness(
        Prediction(nothing, nothing, nothing, (z @ centre).astype(np.float64)), parameters
    )
    return near + (1 - near) * parameters.difficulty_beyond


def _latent_task(started: Tier1, material: Material, names: Sequence[str]) -> LatentTask:
    data = material.data
    prediction = started.predict(material.x)
    difficulty = forecast.kept_difficulty(prediction, started.parameters).mean(axis=1)
    near = forecast.nearness(prediction, started.parameters)[:, None]
    answered = ~np.isnan(data.score)
    weight = answered / (1 + (np.maximum(answered.sum(axis=1), 1) - 1) * AGREEMENT)[:, None] * near
    tokens = np.log(np.maximum(data.output_tokens, 1))
    with np.errstate(invalid="ignore"):
        centred = tokens - _column_means(tokens)
    measured = ~np.isnan(centred)
    ability = np.array([started.scale.ability[model] for model in data.models])
    return LatentTask(
        z=material.x[:, : started.encoder.dimensions],
        models=[names.index(model) for model in data.models],
        right=np.nan_to_num(data.score).astype(np.float32),
        weight=weight.astype(np.float32),
        logit=(ability - difficulty[:, None]).astype(np.float32),
        log_length=np.nan_to_num(centred).astype(np.float32),
        length_weight=(measured / max(len(data.models), 1)).astype(np.float32),
    )


def _no_deviation(started: Tier1, own: Own, names: Sequence[str], weight: float) -> LatentTask:
    """Chat says nothing of one model against another, so there the latent should be still: answers right half
    the time at logit 0 pull it to 0."""
    shape = (len(own.labels), len(names))
    return LatentTask(
        z=own.x[:, : started.encoder.dimensions],
        models=list(range(len(names))),
        right=np.full(shape, 0.5, np.float32),
        weight=np.full(shape, weight / len(names), np.float32),
        logit=np.zeros(shape, np.float32),
        log_length=np.zeros(shape, np.float32),
        length_weight=np.zeros(shape, np.float32),
    )


def _column_means(values: Floats) -> Floats:
    count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    means: Floats = np.nansum(values, axis=0) / count
    return means
