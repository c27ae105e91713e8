"""What tells models apart beyond ability: a shrunk deviation by topic, in logits, on top of bias_m − δ(x)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


def centroids(z: Singles, weight: Floats, clusters: int, rng: np.random.Generator, rounds: int = 20) -> Singles:
    """Unit centroids [D, C] by weighted spherical k-means (Dhillon & Modha 2001), started as in k-means++."""
    chosen = [int(rng.choice(len(z), p=weight / weight.sum()))]
    nearest = z @ z[chosen[0]]
    for _ in range(1, clusters):
        odds = weight * np.maximum(1 - nearest, 1e-9) ** 2
        chosen.append(int(rng.choice(len(z), p=odds / odds.sum())))
        nearest = np.maximum(nearest, z @ z[chosen[-1]])
    centre = z[chosen].T.copy()
    for _ in range(rounds):
        nearest_one = (z @ centre).argmax(axis=1)
        total = np.zeros_like(centre)
        np.add.at(total.T, nearest_one, z * weight[:, None].astype(np.float32))
        length = np.sqrt((total * total).sum(axis=0))
        # A cluster that lost all its texts stays where it was.
        centre = np.where(length > 0, total / np.maximum(length, 1e-9), centre)
    return centre.astype(np.float32)


def ridge_logistic(
    inputs: Floats, right: Floats, logit: Floats, sd: Floats, prior: Floats, weight: Floats | None = None
) -> Floats:
    """w maximising Σ weight·ln p(right; σ(logit + inputs·w)) − Σ (w − prior)²/2sd², by Newton's method.

    inputs [n, k]; right, logit, weight [n]; sd, prior, w [k]
    """
    value = prior.copy()
    counted = np.ones(len(right)) if weight is None else weight
    for _ in range(8):
        chance = 1 / (1 + np.exp(-(logit + inputs @ value)))
        gradient = inputs.T @ (counted * (right - chance)) - (value - prior) / sd**2
        curvature = inputs.T @ (inputs * (counted * chance * (1 - chance))[:, None]) + np.diag(sd**-2.0)
        step = np.linalg.solve(curvature, gradient)
        value = value + np.clip(step, -1, 1)
        if np.abs(step).max(initial=0.0) < 1e-4:
            break
    return value
