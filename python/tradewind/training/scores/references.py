"""What RouterEval divides by: a strong model's published score on each benchmark (arXiv:2503.10657, and the constants
of its repository)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TABLE: dict[str, float] = {
    "arc": 0.852,
    "arc-challenge": 0.852,
    "arc_challenge": 0.852,
    "hellaswag": 0.953,
    "mmlu": 0.864,
    "truthfulqa": 0.669,
    "winogrande": 0.875,
    "gsm8k": 0.92,
    "gsm": 0.92,
    "ifeval": 0.7689,
    "bbh": 0.8303,
    "gpqa": 0.397,
    "math": 0.4,
    "musr": 0.699,
    "mmlu_pro": 0.637,
}
"""By the family of a task: what stands before its first `/`."""


def family(task: str) -> str:
    """`mmlu/anatomy` → `mmlu`."""
    return task.split("/")[0]


def known(tasks: npt.NDArray[np.str_]) -> bool:
    """Whether every task has a reference."""
    return all(family(str(task)) in TABLE for task in np.unique(tasks))


def of(tasks: npt.NDArray[np.str_]) -> Floats:
    """The reference of each question's benchmark, [n]."""
    return np.array([TABLE[family(str(task))] for task in tasks])
