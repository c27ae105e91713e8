"""What a row of the table of dials is: the setting by which a strategy trades quality for money."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from tradewind.artifacts.plan import PlanSource, Route
from tradewind.calibration.deciding import Decided
from tradewind.calibration.ladder import BILLIONTHS, Ladder


@dataclass(frozen=True)
class Dial:
    """One row."""

    strategy: str
    """The row of the core's table of strategies that reads it."""
    field: str
    """Its name in JSON."""
    get: Callable[[Route], float]
    """As the policy has it."""
    turn: Callable[[Route, float], Route]
    """The policy with another value."""
    yaml: Callable[[str], str]
    """A value, for the `spec` of a RoutingPolicy."""
    ends: tuple[int, ...]
    """Settings, in billionths, at which calls are to be decided before the ladder can be made; the least one comes first."""
    climb: Callable[[Route, Sequence[Decided]], Ladder]
    """The ladder of the calls, from what was decided at the ends."""


def turned(plan: PlanSource, policies: Collection[str], dial: Dial, setting: int) -> PlanSource:
    """The plan with some policies at a setting, in billionths."""
    value = setting / BILLIONTHS
    return replace(plan, routes=tuple(dial.turn(route, value) if route.id in policies else route for route in plan.routes))
