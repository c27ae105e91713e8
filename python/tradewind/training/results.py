"""What an evaluation found: for each set, what every router did and earned, on the same questions and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import interval
from tradewind.training import guards, language
from tradewind.training.contestants import ZERO
from tradewind.training.datasets import DataSet
from tradewind.training.routing import Routed
from tradewind.training.scores import Scores

Floats = npt.NDArray[np.float64]

COMPARED = ("aiq", "score", "saved_at_best_single", "apgr", "cpt50", "cpt80")
"""Metrics whose differences between routers are reported."""


@dataclass(frozen=True)
class Standing:
    """One router on one set."""

    name: str
    domain: str
    """`in` or `transfer`"""
    here: Routed
    """on the evaluated questions"""
    there: Routed
    """on those that operating points were chosen on"""
    scores: Scores


@dataclass(frozen=True)
class Result:
    """One set: the evaluated routers first, then the baselines."""

    tested: DataSet
    learned: DataSet
    standings: tuple[Standing, ...]
    evaluated: int
    """how many of them are evaluated"""
    facts: Mapping[str, Any]
    """of the set and the first router, as they stand in the document"""
    shuffled: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    """draws by evaluated router and metric, its decisions dealt to other questions"""
    flags: tuple[dict[str, Any], ...] = ()

    @property
    def first(self) -> Standing:
        """The router whose figures stand at the top."""
        return self.standings[0]

    @cached_property
    def languages(self) -> list[str]:
        """Of each question, guessed."""
        return [language.guess(text) for text in self.tested.texts]

    def named(self, name: str) -> Standing:
        """The standing of a router."""
        return next(standing for standing in self.standings if standing.name == name)

    def document(self) -> dict[str, Any]:
        """As `evaluate --json` writes it."""
        zero = self.named(ZERO).scores.draws
        over = {standing.name: guards.over_zero(standing.scores.draws, zero) for standing in self.standings}
        dealt = {name: guards.over_zero(draws, zero) for name, draws in self.shuffled.items()}
        flags = list(self.flags)
        for name in dealt:
            flags += guards.flag_verdict(name, over[name]) + guards.flag_shuffled(name, dealt[name])
        return {
            **self.first.scores.document(),
            **self.facts,
            "domain": self.first.domain,
            "domains": {standing.name: standing.domain for standing in self.standings},
            "routers": {standing.name: figures(standing.scores) for standing in self.standings},
            "comparisons": compare(self.standings, self.evaluated),
            "over_zero": over,
            "shuffled_texts": dealt,
            "flags": flags,
        }


def figures(scores: Scores) -> dict[str, Any]:
    """Every metric with its interval, null where it has no value."""
    return {name: value and value.document() for name, value in scores.values.items()}


def compare(standings: Sequence[Standing], evaluated: int) -> list[dict[str, Any]]:
    """Each evaluated router against every other one: differences on the same draws of questions."""
    return [
        {
            "router": standing.name,
            "against": other.name,
            "metric": metric,
            "difference": interval(standing.scores.draws[metric] - other.scores.draws[metric]).document(),
        }
        for place, standing in enumerate(standings[:evaluated])
        for other in standings[place + 1 :]
        for metric in COMPARED
        if metric in standing.scores.draws and metric in other.scores.draws
    ]


@dataclass(frozen=True)
class Round:
    """One split: all its sets."""

    split: str
    results: Mapping[str, Result]

    def document(self) -> dict[str, Any]:
        """By set."""
        return {name: result.document() for name, result in self.results.items()}
