"""What would make a figure a lie: questions that were trained on, and gains that do not come from the texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.bootstrap import Interval, interval
from tradewind.errors import UsageError, listed
from tradewind.training import manifest, stems
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Given
from tradewind.training.prompts import Prompt
from tradewind.training.routing import Routed

Floats = npt.NDArray[np.float64]

NAMED = 5
"""Questions that a message names."""
JUDGED_BY = ("aiq", "apgr", "score")
"""Whether a router is worth having is read off the first of these that the set allows."""

VERDICTS = ("better than Zero", "no better than Zero", "worse than Zero")


def refuse_leak(name: str, tested: DataSet, learned: DataSet) -> None:
    """Refuses to fit a router on a question that it is tested on, whatever its formatting."""
    leaked = np.isin(tested.stems, np.unique(learned.stems))
    if leaked.any():
        raise UsageError(
            f"`{name}` would be fitted on {int(leaked.sum())} questions that `{tested.name}` tests it on: "
            f"{_questions(tested, leaked)}; they are in the rows of `{learned.name}`",
            tested.name,
        )


def refuse_leaks(given: Given, tested: DataSet) -> None:
    """The same for all that estimators are given."""
    for data in given.sets:
        refuse_leak("--fit", tested, data)


def not_asked(own: Sequence[Prompt], held_out: frozenset[str]) -> list[Prompt]:
    """Our own prompts without those that the evaluated questions have too."""
    return [prompt for prompt in own if stems.digest(prompt.text) not in held_out]


def seen(tested: DataSet, trained_on: frozenset[str] | None) -> npt.NDArray[np.bool_] | None:
    """Mask [n] of the questions that a predictor was trained on; None where nobody knows."""
    if trained_on is None:
        return None
    found: npt.NDArray[np.bool_] = np.isin([stem[: manifest.STEM_DIGITS] for stem in tested.stems], sorted(trained_on))
    return found


def flag_seen(router: str, tested: DataSet, leaked: npt.NDArray[np.bool_] | None) -> list[dict[str, Any]]:
    """One flag where a finished predictor has seen evaluated questions."""
    if leaked is None or not leaked.any():
        return []
    count = int(leaked.sum())
    message = f"{count} of {len(tested)} questions were trained on: {_questions(tested, leaked)}"
    return [_flag("trained_on_tested", router, message)]


def flag_verdict(router: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flag where a router earns no more than mixing single models blindly."""
    if found["verdict"] == VERDICTS[0]:
        return []
    return [_flag("no_better_than_zero", router, f"{found['verdict']} by {found['metric']}")]


def flag_shuffled(router: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flag where a router gains although its decisions were dealt to other questions."""
    if found["verdict"] != VERDICTS[0]:
        return []
    return [_flag("gains_on_shuffled_texts", router, f"its decisions gain on other questions too, by {found['metric']}")]


PERMUTATIONS = 3
"""Chance puts the lower end of one permutation's interval above 0 once in 40, that of the middle of three once in 500."""


def shuffled(here: Routed, seed: int) -> list[Routed]:
    """What a router would do if the texts were dealt anew among the questions, a few times."""
    orders = (np.random.default_rng((seed, number)).permutation(len(here.choice)) for number in range(PERMUTATIONS))
    return [replace(here, choice=here.choice[order], quality=here.quality[order]) for order in orders]


def middle(permuted: Sequence[Mapping[str, Floats]]) -> Mapping[str, Floats]:
    """The draws of the permutation in the middle, by what a router is judged by."""

    def value(draws: Mapping[str, Floats]) -> float:
        return float(draws[judged_by(draws)][0])

    return sorted(permuted, key=value)[len(permuted) // 2]


def judged_by(draws: Mapping[str, Floats]) -> str:
    """The first of `JUDGED_BY` that there is."""
    return next(name for name in JUDGED_BY if name in draws)


def over_zero(draws: Mapping[str, Floats], zero: Mapping[str, Floats]) -> dict[str, Any]:
    """A router − Zero on the same draws of questions, and what that says."""
    metric = judged_by(draws)
    difference = interval(draws[metric] - zero[metric])
    return {"metric": metric, "difference": difference.document(), "verdict": verdict(difference)}


def verdict(difference: Interval) -> str:
    """Better or worse only where the interval says so."""
    if difference.low > 0:
        return VERDICTS[0]
    return VERDICTS[2] if difference.high < 0 else VERDICTS[1]


def _flag(kind: str, router: str, message: str) -> dict[str, Any]:
    return {"kind": kind, "router": router, "message": message}


def _questions(data: DataSet, rows: npt.NDArray[np.bool_]) -> str:
    index = np.flatnonzero(rows)
    more = f" and {len(index) - NAMED} more" if len(index) > NAMED else ""
    return listed([data.ids[row] for row in index[:NAMED]]) + more
