"""The willingness to pay of strategy `utility`, in USD per request for quality from 0 to 1.

Each candidate's utility, willingness × quality − cost, is a line over the willingness; a call's choice is the upper envelope of
its candidates' lines, whose vertices are the steps of the ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tradewind.artifacts.plan import Route
from tradewind.calibration.deciding import Bools, Decided, Floats, Ints
from tradewind.calibration.dial import Dial
from tradewind.calibration.ladder import BILLIONTHS, Ladder, Rung, ladder

TOP = 10**15 - 1
"""$999,999.999999999: what a policy can hold."""


def get(route: Route) -> float:
    """As the policy has it."""
    return float(route.strategy["utility"]["willingness_to_pay_usd"])


def turn(route: Route, value: float) -> Route:
    """The policy with another value."""
    return replace(route, strategy={"type": "utility", "utility": {"willingness_to_pay_usd": value}})


def yaml(value: str) -> str:
    """For the `spec` of a RoutingPolicy."""
    return f'strategy: {{type: Utility, utility: {{willingnessToPayUSD: "{value}"}}}}'


def climb(_route: Route, ends: Sequence[Decided]) -> Ladder:
    """Along the upper envelopes, all calls side by side."""
    low, high = ends
    contending = contenders(low, high)
    rows = np.arange(len(low))
    rungs: list[Rung] = []
    current, reached = low.chosen, np.zeros(len(low), np.int64)
    while len(rows):
        quality, cost = low.quality[rows], low.cost_nanousd[rows]
        after, crossing = _next(quality, cost, contending[rows], current)
        moves = crossing <= TOP
        rows, current, after, reached = rows[moves], current[moves], after[moves], reached[moves]
        at = np.maximum(_whole(quality[moves], cost[moves], current, after, crossing[moves]), reached)
        rungs.append(Rung(at, rows, current, after))
        current, reached = after, at
    return ladder(low.chosen, rungs, TOP)


def contenders(low: Decided, high: Decided) -> Bools:
    """[n, M]: candidates that may come first at some willingness. All others are behind each of them at both ends, hence
    everywhere.

    At both ends limits that a policy relaxes order first, so that they need not be known here. Where a call sets its own
    willingness, the rankings are the same, and one contender is left.
    """
    found = np.zeros(low.quality.shape, np.bool_)
    for row, (cheap, dear) in enumerate(zip(low.rankings, high.rankings, strict=True)):
        first = next(count for count in range(1, len(cheap) + 1) if set(cheap[:count]) == set(dear[:count]))
        found[row, list(cheap[:first])] = True
    return found


def _next(quality: Floats, cost: Floats, contending: Bools, current: Ints) -> tuple[Ints, Floats]:
    """Where each call's envelope goes on: to which column, from which willingness on, in billionths; infinite where it ends."""
    rise = quality - _at(quality, current)
    run = cost - _at(cost, current)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(contending & (rise > 0), run / rise, np.inf)
    nearest = crossing.min(axis=1)
    # Of several lines through one point the steepest goes on.
    steepest = np.argmax(np.where(crossing <= nearest[:, None], quality, -np.inf), axis=1)
    return steepest, nearest


def _whole(quality: Floats, cost: Floats, current: Ints, after: Ints, crossing: Floats) -> Ints:
    """The least whole setting at which `after` wins: rounding may put the crossing one beside it."""

    def wins(setting: Ints) -> Bools:
        mine, theirs = (_utility(quality, cost, columns, setting) for columns in (after, current))
        won: Bools = (mine > theirs) | ((mine == theirs) & (after < current))
        return won

    at = np.ceil(crossing).astype(np.int64)
    found: Ints = np.where(wins(at - 1), at - 1, np.where(wins(at), at, at + 1))
    return found


def _utility(quality: Floats, cost: Floats, columns: Ints, setting: Ints) -> Floats:
    """USD, in the core's own operations, so that it is the same to the bit."""
    return setting / BILLIONTHS * _at(quality, columns)[:, 0] - _at(cost, columns)[:, 0] / 1e9


def _at(table: Floats, columns: Ints) -> Floats:
    return np.take_along_axis(table, columns[:, None], axis=1)


ENTRY = Dial("utility", "willingness_to_pay_usd", get, turn, yaml, (0, TOP), climb)
