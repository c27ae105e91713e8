"""Plans for the gateway's tests: models of the tiny predictor behind given upstreams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tiny_predictor
from tradewind.artifacts import plan

PRICES = {"tiny": (0.05, 0.2), "small": (0.1, 0.4), "medium": (0.5, 2.0), "strong": (2.5, 10.0)}
"""USD per million tokens, in and out."""
SIMULATED = ",".join(f"{name}:{price[0]}:{price[1]}" for name, price in PRICES.items())
"""The same for the simulator."""


def model(name: str, url: str, *, like: str = "small", pool: str = "chat", **more: Any) -> plan.Model:
    """A model called `name` by its upstream, with the price and the profile of another."""
    given, taken = PRICES[like]
    return plan.Model(
        id=f"default/{pool}/{name}",
        upstream=plan.Upstream(url=url, dialect="openai", model=name, credential=more.pop("credential", None)),
        price=plan.Price(int(given * 1e9), int(taken * 1e9)),
        limits=more.pop("limits", plan.Limits(context_tokens=128_000, output_tokens=16_000)),
        profile=like,
        capabilities=more.pop("capabilities", ("json", "tools")),
        **more,
    )


def route(name: str, digest: str, models: list[plan.Model], strategy: Mapping[str, Any] | str, **more: Any) -> plan.Route:
    """A route whose alias is its name; a strategy without parameters is given by its name."""
    return plan.Route(
        id=f"{more.pop('namespace', 'default')}/{name}",
        aliases=more.pop("aliases", (name,)),
        predictor=digest,
        candidates=tuple(found.id for found in models),
        strategy={"type": strategy} if isinstance(strategy, str) else strategy,
        **more,
    )


def source(models: Iterable[plan.Model], routes: Iterable[plan.Route]) -> plan.PlanSource:
    """A plan source with the profiles of the tiny predictor, by its models' names."""
    profiles = {name: plan.profile_from(profile) for name, profile in tiny_predictor.PROFILES.items()}
    return plan.PlanSource(profiles, tuple(models), tuple(routes))
