"""Protocols of evaluation: which questions are held out, and what may be learned from. A split is by question
stem across all sets at once, so no question is on both sides.

A protocol is one row of `TABLE`. Its argument `all`, where it has one, stands for several splits in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError, unknown
from tradewind.training import names, stems
from tradewind.training.datasets import DataSet
from tradewind.training.scale import SAME_TASK

TEST_SHARE = 0.25
SEEDS = (0, 1, 2, 3, 4)
"""What `question:all` runs."""
SUBJECT_FOLDS = 4
ALL = "all"


@dataclass(frozen=True)
class Cold:
    """A model that nobody is trained on, and how many of its graded answers its profile is fitted on."""

    model: str
    """canonical name"""
    answers: int


@dataclass(frozen=True)
class Split:
    """Evaluated stems (`None`: every question, and nothing to learn from outside them)."""

    name: str
    held_out: frozenset[str] | None
    only: str | None = None
    """the one set that is evaluated; None: all"""
    barred: frozenset[str] = frozenset()
    """stems that give profiles, but that no predictor is trained on"""
    cold: Cold | None = None
    alike: bool = False
    """Whether what is learned from has the tasks of what is evaluated."""

    def evaluates(self, data: DataSet) -> bool:
        """Whether the set takes part."""
        return self.only in (None, data.name) and (self.cold is None or self.cold.model in data.models)

    def tested(self, data: DataSet) -> npt.NDArray[np.bool_]:
        """Mask [n] of the rows to evaluate."""
        if self.held_out is None:
            return np.ones(len(data), bool)
        return np.isin(data.stems, sorted(self.held_out))

    def trained(self, data: DataSet) -> npt.NDArray[np.bool_]:
        """Mask [n] of the rows that a predictor may be trained on."""
        return ~self.tested(data) & ~np.isin(data.stems, sorted(self.barred))


Tables = Sequence[DataSet]


@dataclass(frozen=True)
class Protocol:
    """A row: how it is written, and what it makes of the part after the colon."""

    form: str
    about: str
    make: Callable[[str, Tables], Split | None]
    """None where the argument is not of this form"""
    every: Callable[[Tables], list[str]] | None = None
    """what `all` stands for, if it stands for anything"""

    @property
    def name(self) -> str:
        """The part before the colon."""
        return self.form.partition(":")[0]


def none(argument: str, sets: Tables) -> Split | None:
    """Every question."""
    return None if argument else Split("none", None)


def question(argument: str, sets: Tables) -> Split | None:
    """A quarter of the stems, drawn by the seed."""
    if not argument.lstrip("-").isdigit():
        return None
    return Split(f"question:{argument}", held_out(sets, int(argument), TEST_SHARE), alike=True)


def task(argument: str, sets: Tables) -> Split | None:
    """Every stem of the task (or of the tasks below it: `mmlu` has `mmlu/anatomy`), wherever it occurs."""
    if not argument:
        return None
    found = {str(stem) for data in sets for stem in data.stems[_within(data, argument)]}
    if not found:
        raise UsageError(unknown("task", argument, _tasks(sets)))
    return Split(f"task:{argument}", frozenset(found))


def _within(data: DataSet, argument: str) -> npt.NDArray[np.bool_]:
    return np.array([str(each) == argument or str(each).startswith(f"{argument}/") for each in data.tasks], bool)


def _tasks(sets: Tables) -> list[str]:
    return sorted({str(each) for data in sets for each in data.tasks})


def subject(argument: str, sets: Tables) -> Split | None:
    """Every stem of a quarter of the tasks; a task that two sets name differently is on one side."""
    if not argument.isdigit():
        return None
    if int(argument) >= SUBJECT_FOLDS:
        raise UsageError(unknown("fold", argument, [str(fold) for fold in range(SUBJECT_FOLDS)]))
    chosen = [each for each in _tasks(sets) if fold_of(each, 0, SUBJECT_FOLDS) == int(argument)]
    found = (str(stem) for data in sets for stem in data.stems[np.isin(data.tasks, chosen)])
    return Split(f"subject:{argument}", frozenset(found))


def fold_of(task: str, seed: int, folds: int) -> int:
    """Which of so many folds a task is in; one that two sets name differently is in one."""
    return int(stems.bucket(SAME_TASK.get(task, task), seed) * folds)


def transfer(argument: str, sets: Tables) -> Split | None:
    """A quarter of one set, which no predictor is trained on at all, nor on its questions in other sets; the
    other three quarters give profiles and operating points."""
    if not argument:
        return None
    chosen = [data for data in sets if data.name == argument]
    if not chosen:
        raise UsageError(unknown("set", argument, [data.name for data in sets]))
    barred = frozenset(str(stem) for stem in chosen[0].stems)
    return Split(f"transfer:{argument}", held_out(chosen, SEEDS[0], TEST_SHARE), only=argument, barred=barred)


def cold(argument: str, sets: Tables) -> Split | None:
    """As `question:0`, in the sets that have the model."""
    model, _, answers = argument.rpartition(":")
    if not model or not answers.isdigit():
        return None
    known = sorted({each for data in sets for each in data.models})
    if names.canonical(model) not in known:
        raise UsageError(unknown("model", model, known))
    return Split(
        f"cold:{argument}",
        held_out(sets, SEEDS[0], TEST_SHARE),
        cold=Cold(names.canonical(model), int(answers)),
        alike=True,
    )


TABLE: tuple[Protocol, ...] = (
    Protocol("none", "every question; nothing is fitted", none),
    Protocol("question:<seed>", "a quarter of the questions", question, lambda sets: [str(seed) for seed in SEEDS]),
    Protocol("task:<name>", "the questions of one task, or of all below it, wherever they occur", task, _tasks),
    Protocol(
        "subject:<fold>",
        "the questions of a quarter of the tasks",
        subject,
        lambda sets: [str(fold) for fold in range(SUBJECT_FOLDS)],
    ),
    Protocol(
        "transfer:<set>",
        "a set that no predictor is trained on; three quarters of it give profiles",
        transfer,
        lambda sets: [data.name for data in sets],
    ),
    Protocol("cold:<model>:<n>", "a model that no predictor is trained on, with n graded answers", cold),
)


def named(text: str, sets: Iterable[DataSet]) -> list[Split]:
    """The split of that name; those that `all` stands for."""
    tables = list(sets)
    name, _, argument = text.partition(":")
    protocol = next((row for row in TABLE if row.name == name), None)
    if protocol is not None and protocol.every is not None and argument == ALL:
        return [parse(f"{name}:{each}", tables) for each in protocol.every(tables)]
    return [parse(text, tables)]


def parse(text: str, sets: Iterable[DataSet]) -> Split:
    """One split. Raises `UsageError` with the known forms."""
    name, _, argument = text.partition(":")
    for protocol in TABLE:
        found = protocol.make(argument, list(sets)) if protocol.name == name else None
        if found is not None:
            return found
    raise UsageError(unknown("split", text, forms()))


def forms() -> list[str]:
    """How splits are written."""
    return [row.form for row in TABLE]


def held_out(sets: Iterable[DataSet], seed: int, share: float) -> frozenset[str]:
    """The stems whose place in [0, 1) under `seed` lies below `share`."""
    every = {str(stem) for data in sets for stem in data.stems}
    return frozenset(stem for stem in every if stems.bucket(stem, seed) < share)
