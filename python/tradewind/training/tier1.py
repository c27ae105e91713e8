"""The microsecond predictor: how all its parts are fitted, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tradewind.artifacts.plan import Profile
from tradewind.training import deviations, direct, forecast, heads, lengths, profiles, scale, topics
from tradewind.training.corpus import Corpus, Encoder, Material, Own
from tradewind.training.datasets import DataSet
from tradewind.training.direct import Direct, DirectSettings, Targets
from tradewind.training.forecast import Parameters, Prediction
from tradewind.training.heads import Answers, Heads, HeadSettings
from tradewind.training.lengths import Lengths, LengthSettings
from tradewind.training.scale import Scale
from tradewind.training.topics import Topics, TopicSettings

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

COMMON_SD = 0.3
"""Prior spread of what makes a topic easier for every model, logits."""
AGREEMENT = 0.3
"""Correlation of models' answers to a question: k answers count as k/(1 + (k − 1)·AGREEMENT)."""


@dataclass(frozen=True)
class Settings:
    """What training is told. Chosen by routing value on questions and tasks held out of the training sets; the sets that only
    evaluate had no say."""

    heads: HeadSettings = field(default_factory=HeadSettings)
    direct: DirectSettings = field(default_factory=DirectSettings)
    lengths: LengthSettings = field(default_factory=LengthSettings)
    clusters: int = 64
    """Centroids, which say how near a text is to the training data."""
    topics: TopicSettings = field(default_factory=TopicSettings)
    chat_share: float = 0.3
    """Weight of our own prompts, in that of all exam questions, where the classifier learns what is chat."""
    cluster_sd: float = 0.05
    """Prior spread of a model's deviation in a topic, logits."""
    direct_share: float = 0.3
    """of the direct forecast at the training data, where a model has one"""
    difficulty_beyond: float = 0.3
    """Of the difficulty beyond the outer radius. Leaving exams out supports .0 to .1, our own prompts all of it."""
    inner_quantile: float = 0.5
    """of the training texts' distance to the nearest centroid"""
    outer_factor: float = 2.0
    """The outer radius in inner ones. A wide belt: what a topic says of models holds less and less well, for questions of
    tasks that training has not seen, long before they look foreign."""
    prior_sd: float = 0.1
    own_weight: float = 2000.0
    """Weight of one of our own prompts, in questions: exams must not drown them."""
    own_top: float = 0.3
    """Difficulty of a prompt with label 5. Below the middle between a cheap and a dear model's ability, the
    dear one's gain rises with difficulty: labels 1 to 5 must stay on that side."""
    own_step: float = 0.7
    """Difficulty between two labels."""
    own_sharpness: float = 5.0
    """How sharply a tier's pseudo model separates the labels it answers well from the others."""
    trust: float = 0.4
    """Share of the heads' difficulty that outcomes of left-out tasks bear out; our own prompts are scaled so that theirs
    is kept whole."""


@dataclass(frozen=True)
class Tier1:
    """A fitted predictor."""

    encoder: Encoder
    heads: Heads
    direct: Direct
    lengths: Lengths
    centroids: Singles
    """[D, C]"""
    topics: Topics
    parameters: Parameters
    profiles: Mapping[str, Profile]
    scale: Scale

    def predict(self, x: Singles) -> Prediction:
        """The graph's outputs, from encoded texts [n, D + F]."""
        z = x[:, : self.encoder.dimensions]
        found = (
            self.heads.difficulty(x),
            self.direct.outputs(x),
            self.lengths.outputs(z),
            z @ self.centroids,
            self.topics.weights(x),
        )
        return Prediction(*(part.astype(np.float64) for part in found))


def fit(corpus: Corpus, settings: Settings, seed: int, progress: Progress | None = None) -> Tier1:
    """Fits everything on the given material (its own half of our prompts already chosen)."""
    rng = np.random.default_rng(seed)
    started = fit_difficulty(corpus, settings, rng, progress)
    return fit_models(started, corpus.materials, settings, rng)


def fit_difficulty(corpus: Corpus, settings: Settings, rng: np.random.Generator, progress: Progress | None = None) -> Tier1:
    """Abilities, centroids, topics and the shared difficulty; no profiles yet."""
    materials, dimensions = corpus.materials, corpus.encoder.dimensions
    joint = scale.fit([material.data for material in materials])
    z = np.concatenate([form[:, :dimensions] for m in materials for form in (m.x, m.other)])
    weight = np.concatenate([np.full(2 * len(m.data), len(m.data) ** -0.5) for m in materials])
    # Chat is known ground as well, as much as one set more: the difficulty is learned there, and no model's deviation.
    chat = corpus.own.x[:, :dimensions]
    of_chat = np.full(len(chat), weight.sum() / len(materials) / max(len(chat), 1))
    centre = deviations.centroids(np.concatenate([z, chat]), np.concatenate([weight, of_chat]), settings.clusters, rng)
    parameters = _parameters(z, centre, settings)
    subjects = fit_topics(corpus, centre, settings, rng)
    kept = _kept(corpus.own, centre, subjects, parameters, dimensions)
    answers = heads.stack([*exam_answers(materials, joint), *own_answers(corpus.own, settings.trust * kept, settings)])
    trained = heads.fit(answers, dimensions, settings.heads, rng, progress).scaled(settings.trust)
    no_direct = Direct(*(np.zeros(shape, np.float32) for shape in ((answers.x.shape[1], 0), (0,))))
    no_lengths = Lengths(*(np.zeros(shape, np.float32) for shape in ((dimensions, 0), (0,), (0, 0), (0,))))
    started = Tier1(corpus.encoder, trained, no_direct, no_lengths, centre, subjects, parameters, {}, joint)
    # The heads do not see all of a question's difficulty: the same abilities lie further apart on what they see.
    seen = [forecast.kept_difficulty(started.predict(m.x), parameters).mean(axis=1) for m in materials]
    return replace(started, scale=scale.fit([m.data for m in materials], seen))


def fit_topics(corpus: Corpus, centre: Singles, settings: Settings, rng: np.random.Generator) -> Topics:
    """The classifier of all sets' topics and one more for chat, from both forms of each question."""
    named = [np.tile(topics.names(material, centre), 2) for material in corpus.materials]
    tasks, label = np.unique(np.concatenate(named), return_inverse=True)
    label = np.concatenate([label, np.full(len(corpus.own.labels), len(tasks))])
    x = np.concatenate([*(form for m in corpus.materials for form in (m.x, m.other)), corpus.own.x])
    gain = heads.gain(x.shape[1], corpus.encoder.dimensions)
    chat = label == len(tasks)
    weight = np.where(chat, settings.chat_share * (~chat).sum() / max(chat.sum(), 1), 1.0).astype(np.float32)
    return topics.fit(x, label, weight, len(tasks) + 1, gain, settings.topics, rng)


def _parameters(z: Singles, centre: Singles, settings: Settings) -> Parameters:
    distance = 1 - (z @ centre).max(axis=1)
    inner = float(np.quantile(distance, settings.inner_quantile))
    return Parameters(
        inner_radius=inner,
        outer_radius=inner * settings.outer_factor,
        difficulty_beyond=settings.difficulty_beyond,
        direct_share=settings.direct_share,
        prior_sd=settings.prior_sd,
    )


def fit_models(started: Tier1, materials: Sequence[Material], settings: Settings, rng: np.random.Generator) -> Tier1:
    """Adds what tells models apart, with the difficulty frozen: deviations by topic, direct forecasts, answer lengths."""
    names = sorted({model for material in materials for model in material.data.models})
    layer, of_direct = _fit_direct(materials, names, started.encoder.dimensions, settings, rng)
    answered = [_answered(started, material, names) for material in materials]
    net, of_length = lengths.fit(answered, len(names), settings.lengths, rng)
    fitted = replace(started, direct=layer, lengths=net)
    evidence, clusters = _clusters(fitted, materials, settings.cluster_sd)
    found = {
        name: profiles.trained(evidence[name], started.scale.ability[name], clusters[name], of_direct[i], of_length[i])
        for i, name in enumerate(names)
    }
    return replace(fitted, profiles=found)


def _fit_direct(
    materials: Sequence[Material], names: Sequence[str], dimensions: int, settings: Settings, rng: np.random.Generator
) -> tuple[Direct, Singles]:
    given = direct.stack([part for material in materials for part in targets(material, names, settings.direct)])
    labelled = all(material.soft is not None for material in materials)
    epochs = settings.direct.soft_epochs if labelled else settings.direct.epochs
    return direct.fit(given, heads.gain(given.x.shape[1], dimensions), epochs, settings.direct, rng)


def targets(material: Material, names: Sequence[str], settings: DirectSettings) -> list[Targets]:
    """Both forms of each question, half a question each. Only what a model answered is learned, with labels too."""
    data = material.data
    columns = [names.index(model) for model in data.models]
    shape = (len(data), len(names))
    right, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    score = data.score
    if material.soft is not None:
        score = (1 - settings.soft_share) * score + settings.soft_share * material.soft
    right[:, columns] = np.nan_to_num(score)
    weight[:, columns] = 0.5 * answer_weights(data.score)
    return [Targets(x, right, weight) for x in (material.x, material.other)]


def with_direct_share(fitted: Tier1, share: float) -> Tier1:
    """The same with another share of the direct forecast: for choosing it by routing value."""
    return replace(fitted, parameters=replace(fitted.parameters, direct_share=share))


def with_cluster_sd(fitted: Tier1, materials: Sequence[Material], sd: float) -> Tier1:
    """The same with other deviations by topic: for choosing their shrinkage by routing value."""
    _, clusters = _clusters(fitted, materials, sd)
    found = {name: replace(profile, clusters=clusters[name]) for name, profile in fitted.profiles.items()}
    return replace(fitted, profiles=found)


def _clusters(
    fitted: Tier1, materials: Sequence[Material], sd: float
) -> tuple[dict[str, profiles.Evidence], dict[str, tuple[float, ...]]]:
    """Every model's answers, and its deviations by topic."""
    ability, special = fitted.scale.ability, fitted.scale.special
    predictions = [fitted.predict(material.x) for material in materials]
    common = profiles.common_clusters(
        [_common(fitted, p, m.data) for p, m in zip(predictions, materials, strict=True)], COMMON_SD
    )
    by_set: dict[str, list[tuple[profiles.Evidence, float]]] = {}
    for material, prediction in zip(materials, predictions, strict=True):
        data = material.data
        seen = [profiles.evidence(fitted.parameters, prediction, data, i) for i in range(len(data.models))]
        ease = [profiles.ease(found, ability[model], common) for model, found in zip(data.models, seen, strict=True)]
        # What a set makes easier for all its models tells none of them apart from models of other sets.
        shared = np.mean([e - special[m, data.name] for e, m in zip(ease, data.models, strict=True)])
        for model, found, own in zip(data.models, seen, ease, strict=True):
            by_set.setdefault(model, []).append((found, own - float(shared)))
    clusters = {model: profiles.clusters(found, ability[model], common, sd) for model, found in by_set.items()}
    evidence = {model: profiles.joined([part for part, _ in found]) for model, found in by_set.items()}
    return evidence, clusters


def _common(fitted: Tier1, prediction: Prediction, data: DataSet) -> profiles.Common:
    difficulty = forecast.kept_difficulty(prediction, fitted.parameters).mean(axis=1)
    bias = np.array([fitted.scale.ability[m] + fitted.scale.special[m, data.name] for m in data.models])
    return profiles.Common(
        membership=forecast.membership(prediction, fitted.parameters),
        right=np.nan_to_num(data.score),
        weight=answer_weights(data.score),
        logit=bias - difficulty[:, None],
    )


def answer_weights(score: Floats) -> Floats:
    """[n, M]: 1/(1 + (k − 1)·AGREEMENT) for each of a question's k answers, 0 where there is none."""
    answered = ~np.isnan(score)
    count = np.maximum(answered.sum(axis=1), 1)
    found: Floats = answered / (1 + (count - 1) * AGREEMENT)[:, None]
    return found


def exam_answers(materials: Sequence[Material], joint: Scale) -> list[Answers]:
    """Each set in both forms, half a question each. Questions of one stem share a group."""
    group_of: dict[str, int] = {}
    found = []
    for material in materials:
        data = material.data
        bias = [joint.ability[model] + joint.special[model, data.name] for model in data.models]
        weight = 0.5 * answer_weights(data.score)
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
    """Our own prompts as answers of five pseudo models: that of tier τ answers well where τ ≥ label, by half where the two
    labels disagree about it.

    `kept` [n] is the share of the heads' difficulty that the forecast keeps at the prompt's distance; the heads are
    trained so that what remains is right.
    """
    if len(own.labels) == 0:
        return []
    tiers = np.arange(1, 6)
    ability = settings.own_top + (tiers - 5 + 0.5) * settings.own_step
    labels = np.array([prompt.labels for prompt in own.prompts])
    right = (tiers >= labels[:, :, None]).mean(axis=1).astype(np.float32)
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


def _kept(own: Own, centre: Singles, subjects: Topics, parameters: Parameters, dimensions: int) -> Floats:
    nothing = np.zeros((len(own.x), 0))
    similarity = (own.x[:, :dimensions] @ centre).astype(np.float64)
    return forecast.kept_share(Prediction(nothing, nothing, nothing, similarity, subjects.weights(own.x)), parameters)


def _answered(started: Tier1, material: Material, names: Sequence[str]) -> lengths.Answered:
    data = material.data
    tokens = np.log(np.maximum(data.output_tokens, 1))
    with np.errstate(invalid="ignore"):
        centred = tokens - _column_means(tokens)
    measured = ~np.isnan(centred)
    return lengths.Answered(
        z=material.x[:, : started.encoder.dimensions],
        models=[names.index(model) for model in data.models],
        log_length=np.nan_to_num(centred).astype(np.float32),
        weight=(measured / max(len(data.models), 1)).astype(np.float32),
    )


def _column_means(values: Floats) -> Floats:
    count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    means: Floats = np.nansum(values, axis=0) / count
    return means
