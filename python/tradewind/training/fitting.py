"""What an estimator is given, and what its row says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from tradewind.training import corpus, distill, features
from tradewind.training.corpus import Corpus, Encoder, Singles
from tradewind.training.datasets import DataSet
from tradewind.training.prompts import Prompt
from tradewind.training.routing import Router

if TYPE_CHECKING:
    from tradewind.training.estimator import Estimator

Progress = Callable[[str, int, int], None]
"""(what is done, done, of how many)"""


@dataclass(frozen=True)
class Given:
    """Everything that may be learned from; evaluated questions are nowhere in it."""

    sets: Sequence[DataSet]
    """the training sets and the evaluated ones, without the evaluated split"""
    own: Sequence[Prompt]
    """the training half of our own prompts"""
    seed: int
    progress: Progress | None = None
    alike: bool = False
    """Whether the evaluated questions are of the tasks that are learned from; else it pays to be more careful."""

    @cached_property
    def encoder(self) -> Encoder:
        """One for all estimators, fitted on the texts when it is first wanted."""
        return corpus.encoder(self.sets, self.own, distill.load(distill.DIMENSIONS))

    @cached_property
    def corpus(self) -> Corpus:
        """All of it encoded, for an estimator of all sets at once."""
        return corpus.build(self.sets, self.own, distill.load(distill.DIMENSIONS))

    @cached_property
    def inputs(self) -> Callable[[tuple[str, ...]], Singles]:
        """x [n, D + F] of these texts, encoded once for all estimators."""
        return cache(lambda texts: self.encoder.encode(features.of(texts)))


Routers = Callable[[DataSet], Router]
"""From a pool's rows outside the evaluated split to its router."""


@dataclass(frozen=True)
class Entry:
    """A row: `prepare` does once what all sets share."""

    name: str
    about: str
    prepare: Callable[[Given], Routers]
    build: Callable[[], Estimator] | None
    """the estimator with its default parameters, for one table; None where there is none for a table alone"""
