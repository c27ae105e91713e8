"""The quality floor of strategy `cheapest`: the cheapest candidate whose forecast reaches it, from 0 to 1.

A call stays with its choice until the floor rises above its quality, and then goes to the cheapest that is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tradewind.artifacts.plan import Route
from tradewind.calibration.deciding import Decided, Floats, Ints, picked
from tradewind.calibration.dial import Dial
from tradewind.calibration.ladder import BILLIONTHS, Ladder, Rung, ladder
from tradewind.errors import UsageError


def get(route: Route) -> float:
    """As the policy has it; none is 0."""
    return route.constraints.min_quality or 0.0


def turn(route: Route, value: float) -> Route:
    """The policy with another value."""
    return replace(route, constraints=replace(route.constraints, min_quality=value))


def yaml(value: str) -> str:
    """For the `spec` of a RoutingPolicy."""
    return f'constraints: {{minQuality: "{value}"}}'


def climb(route: Route, ends: Sequence[Decided]) -> Ladder:
    """All calls side by side, from no floor on. A policy that rejects ends at the floor at which it would refuse a call."""
    (low,) = ends
    key = _key(low)
    _need_floor_alone(route, low)
    rows, current = np.arange(len(low)), low.chosen
    rungs: list[Rung] = []
    top = BILLIONTHS
    while len(rows):
        mine = picked(low.quality[rows], current)
        left = np.where(low.quality[rows] > mine[:, None], key[rows], np.inf)
        after, above = np.argmin(left, axis=1), _above(mine)
        moves = np.isfinite(left.min(axis=1))
        if route.constraints.when_unsatisfied == "reject" and not moves.all():
            top = min(top, int(above[~moves].min()) - 1)
        rows, current, after, above = rows[moves], current[moves], after[moves], above[moves]
        rungs.append(Rung(above, rows, current, after))
        current = after
    return ladder(low.chosen, rungs, top)


def _key(low: Decided) -> Floats:
    """[n, M]: by which `cheapest` orders, in the core's own operations; infinite where the model is not admitted."""
    admitted = np.zeros(low.quality.shape, np.bool_)
    for row, ranking in enumerate(low.rankings):
        admitted[row, list(ranking)] = True
    return np.where(admitted, low.cost_nanousd / 1e9 - low.quality * 1e-15, np.inf)


def _need_floor_alone(route: Route, low: Decided) -> None:
    """A policy that relaxes its limits orders by how far each misses them all together; then no floor decides alone."""
    limited = np.flatnonzero(low.limited)
    if route.constraints.when_unsatisfied == "best_effort" and len(limited):
        call = low.calls[int(limited[0])]
        raise UsageError(
            f"`{route.id}` relaxes a cap or a deadline together with the floor, first for line {call.number}; a floor can be "
            "found with `whenUnsatisfied: Reject`, or without the other limits",
            route.id,
        )


def _above(quality: Floats) -> Ints:
    """The least setting, in billionths, that is above a quality once the core has it as a single."""
    half = (quality + np.nextafter(quality.astype(np.float32), np.float32(2)).astype(np.float64)) / 2
    at = np.floor(half * BILLIONTHS).astype(np.int64)
    for _ in range(2):
        at += (at / BILLIONTHS).astype(np.float32) <= quality
    return at


ENTRY = Dial("cheapest", "min_quality", get, turn, yaml, (0,), climb)
