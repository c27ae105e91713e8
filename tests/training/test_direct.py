"""The direct forecast of known models, and answer lengths: what they learn, and what the forecast makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import score_cases

from tradewind.artifacts.plan import Profile
from tradewind.training import corpus, direct, forecast, lengths, tier1
from tradewind.training.direct import DirectSettings, Targets
from tradewind.training.forecast import Parameters, Prediction
from tradewind.training.lengths import Answered, LengthSettings

PARAMETERS = Parameters(inner_radius=0.2, outer_radius=0.4, difficulty_beyond=0.3, direct_share=0.5, prior_sd=0.1)


def targets(n: int = 2000, seed: int = 0) -> Targets:
    """Model 0 is right where the first input is positive, model 1 where it is negative; model 2 never answered."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    right = np.stack([x[:, 0] > 0, x[:, 0] < 0, np.zeros(n, bool)], axis=1).astype(np.float32)
    weight = np.ones((n, 3), np.float32)
    weight[:, 2] = 0
    return Targets(x, right, weight)


def learned(given: Targets, seed: int = 0) -> tuple[direct.Direct, np.ndarray]:
    settings = DirectSettings(width=8, rate=1e-2)
    return direct.fit(given, np.ones(3, np.float32), 16, settings, np.random.default_rng(seed))


def test_it_learns_which_model_is_right_where() -> None:
    layer, of_models = learned(targets())
    fresh = targets(seed=1)
    logit = layer.outputs(fresh.x) @ of_models.T
    for model in (0, 1):
        assert ((logit[:, model] > 0) == (fresh.right[:, model] > 0.5)).mean() > 0.9
    # Nothing is known of the third: its weights stay small and its own bias at even odds.
    assert np.abs(logit[:, 2]).max() < 2.5


def test_the_last_unit_is_the_models_own_bias() -> None:
    layer, of_models = learned(targets())
    assert of_models.shape == (3, 9)
    assert (layer.outputs(targets().x)[:, -1] == 1).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other, another = (learned(targets(), seed)[1] for seed in (3, 3, 4))
    assert (one == other).all()
    assert (one != another).any()


def prediction(similarity: float, chat: float, latent: tuple[float, ...] = (2.0, 1.0)) -> Prediction:
    return Prediction(
        difficulty=np.array([[1.0]]),
        latent=np.array([latent]),
        length=np.zeros((1, 1)),
        similarity=np.array([[similarity]]),
        topics=np.array([[1 - chat, chat]]),
    )


@pytest.mark.parametrize(
    ("similarity", "chat", "share"),
    [
        (0.9, 0.0, 0.5),  # At home: all of its share.
        (0.7, 0.0, 0.25),  # Half way out: half of it.
        (0.5, 0.0, 0.0),  # Beyond the radius: none.
        (0.9, 1.0, 0.0),  # Exams say nothing of chat.
        (0.9, 0.1, 0.3),
        (0.9, 0.25, 0.0),
    ],
)
def test_its_share_fades_with_distance_and_with_chat(similarity: float, chat: float, share: float) -> None:
    known, new = Profile(bias=1.0, latent=(1.0, -0.5)), Profile(bias=1.0)
    seen = prediction(similarity, chat)
    structured = 1.0 - forecast.kept_difficulty(seen, PARAMETERS)[0, 0]
    expected = (1 - share) * structured + share * (2.0 - 0.5)
    quality, _ = forecast.quality(seen, PARAMETERS, [known, new])
    assert np.log(quality[0, 0] / (1 - quality[0, 0])) == pytest.approx(expected)
    assert np.log(quality[0, 1] / (1 - quality[0, 1])) == pytest.approx(structured)  # It has no direct forecast.


def test_soft_labels_teach_most_and_answers_the_rest() -> None:
    data = score_cases.table(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    material = corpus.Material(data, x, x + 1)
    settings = DirectSettings(soft_share=0.8)
    hard, _ = tier1.targets(material, data.models, settings)
    soft = np.full(data.score.shape, 0.5)
    taught, other = tier1.targets(corpus.Material(data, x, x + 1, soft), data.models, settings)
    expected = 0.2 * hard.right + 0.4 * (hard.weight > 0)
    assert taught.right == pytest.approx(expected)
    assert (taught.weight == hard.weight).all()
    assert (taught.x == material.x).all()
    assert (other.x == material.other).all()


def test_lengths_follow_the_text() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 4)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    longer = np.where(z[:, :1] > 0, 0.7, -0.7) * np.array([[1.0, 0.5]])
    answered = Answered(z, [0, 1], longer.astype(np.float32), np.full((600, 2), 0.5, np.float32))
    net, of_models = lengths.fit([answered], 2, LengthSettings(epochs=60, batch=64, ridge=0.001), rng)
    found = net.outputs(z) @ of_models.T
    assert np.corrcoef(found[:, 0], longer[:, 0])[0, 1] > 0.9
    assert found[:, 0].std() > 1.5 * found[:, 1].std()


def test_the_many_epochs_are_for_corpora_that_are_labelled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = score_cases.table(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    bare = corpus.Material(data, x, x)
    labelled = replace(bare, soft=np.full((3, 2), 0.5, np.float32))
    told: list[int] = []
    monkeypatch.setattr(direct, "fit", lambda given, gain, epochs, settings, rng: told.append(epochs))
    for materials in ([labelled, labelled], [labelled, bare], [bare]):
        tier1._fit_direct(materials, data.models, 3, tier1.Settings(), np.random.default_rng(0))
    assert told == [24, 4, 4]
