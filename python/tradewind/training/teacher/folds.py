"""Cross-fitting: each half of the questions gets its soft labels from a teacher that was fitted on the other half.

The halves are by stem, so that no teacher labels a question that it has seen in another set or form. What is finished lies
in files of its own, each with the digest of all that went in: a run that was cut off goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError
from tradewind.training import stems
from tradewind.training.datasets import DataSet
from tradewind.training.recipe import Say
from tradewind.training.teacher import encoder, fit, labels, questions
from tradewind.training.teacher.encoder import Tensors
from tradewind.training.teacher.fit import Settings, State, Teacher
from tradewind.training.teacher.questions import Questions, Rows

RECIPE = "teacher/1"
"""Names what fitting does, so that a file of another recipe is never taken for one of this."""
SALT = 777
"""Apart from the seeds of splits, that halves and held-out questions have nothing to do with each other."""
FULL = "full.npz"


@dataclass(frozen=True)
class Job:
    """What a run is about."""

    sets: Sequence[DataSet]
    tensors: Tensors
    """of the sentence encoder"""
    source: str
    """digest of the encoder's weights"""
    out: Path
    seed: int
    say: Say
    settings: Settings = field(default_factory=Settings)


def half(stem_digests: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.bool_]:
    """Mask [n] of the stems in half A."""
    return np.array([stems.bucket(str(stem), SALT + seed) < 0.5 for stem in stem_digests], bool)


@dataclass(frozen=True)
class Run:
    """A job whose questions were scanned."""

    job: Job
    questions: Questions
    digest: str
    """of everything that goes in"""

    def fold(self, part: str) -> float:
        """Fits and labels one part where its file is not there yet; gives milliseconds a question and epoch, 0 where
        nothing was fitted."""
        path = self.job.out / labels.file(part)
        if _is_there(path, self.digest):
            return 0.0
        in_a = half(self.questions.stems, self.job.seed)
        fitted_on, labelled = (in_a, ~in_a) if part == "a" else (~in_a, in_a)
        teacher, pace = self._fit(f"fold {part}", np.flatnonzero(fitted_on), 2 * self.job.seed + (part == "b"))
        rows = np.flatnonzero(labelled)
        found = fit.predict(
            teacher,
            self.questions,
            rows,
            self.job.settings,
            lambda done, total: self.job.say(f"labelling with fold {part}", done, total),
        )
        _write(
            path,
            digest=np.array(self.digest),
            pairs=np.array(self.questions.pairs),
            keys=np.array(self.questions.keys)[rows],
            stems=self.questions.stems[rows],
            sources=np.array([(data.name, data.source) for data in self.job.sets]),
            probability=1 / (1 + np.exp(-found)),
        )
        return pace

    def full(self) -> tuple[Teacher, float]:
        """The teacher fitted on everything, from its file or now."""
        path = self.job.out / FULL
        if _is_there(path, self.digest):
            with np.load(path, allow_pickle=False) as stored:
                weights = {name: jax.numpy.array(stored[name]) for name in stored.files if name != "digest"}
            return Teacher(encoder.split(self.job.tensors)[0], weights), 0.0
        teacher, pace = self._fit("full", np.arange(len(self.questions)), self.job.seed)
        _write(path, digest=np.array(self.digest), **{name: np.asarray(each) for name, each in teacher.weights.items()})
        return teacher, pace

    def _fit(self, name: str, rows: Rows, seed: int) -> tuple[Teacher, float]:
        partial = self.job.out / f"{name.replace(' ', '-')}.partial.npz"
        begun = time.monotonic()

        def keep(state: State) -> None:
            leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves((state.weights, state.moments)))}
            _write(partial, digest=np.array(self.digest), epoch=np.array(state.epoch), **leaves)

        def resumed(first: State) -> State | None:
            if not _is_there(partial, self.digest):
                return None
            with np.load(partial, allow_pickle=False) as stored:
                leaves, form = jax.tree.flatten((first.weights, first.moments))
                leaves = [jax.numpy.array(stored[f"leaf{i}"]) for i in range(len(leaves))]
                return State(int(stored["epoch"]), *jax.tree.unflatten(form, leaves))

        def progress(done: int, total: int) -> None:
            self.job.say(f"fitting {name}", done, total)

        self.job.say(f"fitting {name}", 0, 1)
        teacher = fit.fit(self.job.tensors, self.questions, rows, self.job.settings, seed, progress, resumed=resumed, keep=keep)
        partial.unlink(missing_ok=True)
        pace = 1000 * (time.monotonic() - begun) / max(self.job.settings.epochs * len(rows), 1)
        return teacher, pace


def start(job: Job) -> Run:
    """Scans the questions."""
    job.say("scanning texts", 0, 1)
    digest = questions.digest(job.sets, RECIPE, asdict(job.settings), job.seed, job.source)
    return Run(job, questions.of(job.sets), digest)


def _is_there(path: Path, digest: str) -> bool:
    """Whether the file was made from just this. Raises `UsageError` where it was made from something else."""
    if not path.is_file():
        return False
    with np.load(path, allow_pickle=False) as stored:
        found = str(stored["digest"])
    if found != digest:
        message = f"{path} was made from other questions, outcomes, settings or seed; remove it, or name another --out"
        raise UsageError(message, str(path))
    return True


def _write(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    unfinished.replace(path)
