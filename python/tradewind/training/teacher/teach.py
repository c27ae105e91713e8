"""From outcome tables to a teacher: both folds with their soft labels and, unless told otherwise, the encoder fitted on
everything."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError
from tradewind.training import distill, train
from tradewind.training.recipe import Say, silent
from tradewind.training.teacher import export, folds, labels
from tradewind.training.teacher.encoder import Tensors
from tradewind.training.teacher.fit import Settings

TIER2 = "tier2"
"""Folder of the teacher as a predictor, under OUT."""


@dataclass(frozen=True)
class Options:
    """What `train-teacher` is told."""

    data: Path
    out: Path
    exclude: Path | None = None
    """file of SHA-256 of question stems, one a line"""
    seed: int = 1
    sets: tuple[str, ...] = ()
    """empty: those of the shipped predictor"""
    folds_only: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Taught:
    """What came out."""

    digest: str
    """of all that the teacher was made from"""
    questions: int
    pairs: int
    """of set and model"""
    tier2: str | None
    """digest of the predictor that the teacher is; None without one"""
    milliseconds: dict[str, float]
    """by part, for a question and epoch; 0 for a part that was there already"""
    seconds: float
    files: dict[str, int]
    """bytes by file"""

    def document(self) -> dict[str, Any]:
        """As `train-teacher --json` writes it."""
        return dict(vars(self))


def run(options: Options, say: Say = silent, tensors: Tensors | None = None) -> Taught:
    """Fits what is not there yet. `tensors` are those of the sentence encoder (MiniLM's, if absent)."""
    begun = time.monotonic()
    sets = train.load(
        train.Options(data=options.data, out=options.out, exclude=options.exclude, seed=options.seed, sets=options.sets)
    )
    if not sets:
        raise UsageError(f"no question of {options.data} may be learned from", str(options.data))
    source = "given"
    if tensors is None:
        weights = distill.encoder_folder() / "model.safetensors"
        tensors, source = distill.read_safetensors(weights), hashlib.sha256(weights.read_bytes()).hexdigest()
    begin = folds.start(folds.Job(sets, tensors, source, options.out, options.seed, say, options.settings))
    pace = {f"fold {part}": begin.fold(part) for part in labels.PARTS}
    tier2 = None
    if not options.folds_only:
        teacher, pace["full"] = begin.full()
        say("writing tier 2", 0, 1)
        facts = {
            "teacher": f"sha256:{begin.digest}",
            "seed": options.seed,
            "command": f"tradewind train-teacher --data DATA --out OUT --seed {options.seed}",
        }
        tier2 = export.write(teacher, begin.questions, sets, options.out / TIER2, facts)
    return Taught(
        digest=f"sha256:{begin.digest}",
        questions=len(begin.questions),
        pairs=len(begin.questions.pairs),
        tier2=tier2,
        milliseconds={part: round(each, 2) for part, each in pace.items()},
        seconds=round(time.monotonic() - begun, 1),
        files={path.relative_to(options.out).as_posix(): path.stat().st_size for path in sorted(options.out.rglob("*.*"))},
    )
