"""Curves in the plane of mean cost (USD per question) and mean quality: hulls, heights, where a quality is reached.

Between two operating points of a curve lies their random mixture (linear interpolation, RouterBench,
arXiv:2403.12031, section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Points(NamedTuple):
    """Operating points: [B, V] each, or [V] on one sample."""

    cost: Floats
    quality: Floats


def hull(cost: Floats, quality: Floats) -> Rows:
    """Indices of the non-decreasing convex hull (NDCH), by rising cost (RouterBench, section 3.2).

    Andrew's monotone chain over the upper side; then what costs more and is not better falls away. Its first
    point is the cheapest one (the best of the cheapest). The repository's own hull takes all triples of points.
    """
    order = np.lexsort((-quality, cost))
    kept: list[int] = []
    for point in order.tolist():
        if kept and quality[point] <= quality[kept[-1]]:
            continue
        while len(kept) >= 2 and _turns_left(cost, quality, kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return np.array(kept, np.int64)


def _turns_left(cost: Floats, quality: Floats, a: int, b: int, c: int) -> bool:
    """Whether b lies on or below the segment from a to c."""
    return bool((quality[b] - quality[a]) * (cost[c] - cost[a]) <= (quality[c] - quality[a]) * (cost[b] - cost[a]))


def integral(x: Floats, y: Floats, low: float, high: float) -> float:
    """∫ y dx over [low, high] by trapezoids, through the points by rising x; beyond the first and the last one y
    stays as it is there."""
    inside = (x > low) & (x < high)
    knots = np.concatenate([[low], x[inside], [high]])
    heights = np.concatenate([[np.interp(low, x, y)], y[inside], [np.interp(high, x, y)]])
    return float(np.trapezoid(heights, knots))


def cost_at(cost: Floats, quality: Floats, target: Floats) -> Floats:
    """The least cost at which the curve through [B, V] reaches the quality `target` [B]; NaN where it never
    does. Left of its first point the curve mixes with answering nothing, at no cost."""
    found = np.full(len(cost), np.nan)
    for draw in range(len(cost)):
        order = np.argsort(cost[draw], kind="stable")
        x = np.concatenate([[0.0], cost[draw, order]])
        y = np.concatenate([[0.0], quality[draw, order]])
        at = int(np.argmax(y >= target[draw]))
        if y[at] < target[draw]:
            continue
        if at == 0:
            found[draw] = 0.0
            continue
        share = (target[draw] - y[at - 1]) / (y[at] - y[at - 1])
        found[draw] = x[at - 1] + share * (x[at] - x[at - 1])
    return found
