"""Several splits in one table: the mean of each figure, and how much it varies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradewind.bootstrap import Interval
from tradewind.training import guards


def over(rounds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By set, from the same by split; sets that only some splits evaluate are the mean of these."""
    names = dict.fromkeys(name for sets in rounds.values() for name in sets)
    return {name: _set({split: sets[name] for split, sets in rounds.items() if name in sets}) for name in names}


def _set(by_split: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    parts = list(by_split.values())
    found: dict[str, Any] = merged(parts)
    found["n"] = round(float(np.mean([part["n"] for part in parts])))
    found["splits"] = list(by_split)
    found["comparisons"] = _comparisons([part["comparisons"] for part in parts])
    found["flags"] = [{**flag, "split": split} for split, part in by_split.items() for flag in part["flags"]]
    for entry in (*found["over_zero"].values(), *found["shuffled_texts"].values()):
        if entry["difference"] is not None:
            entry["verdict"] = guards.verdict(Interval(*(entry["difference"][end] for end in ("value", "low", "high"))))
    return found


def merged(parts: Sequence[Any]) -> Any:
    """Figures become means; objects are merged key by key; all else is the first's."""
    present = [part for part in parts if part is not None]
    if not present or not isinstance(present[0], Mapping):
        return present[0] if present else None
    if present[0].keys() >= {"value", "low", "high"}:
        return _mean(present)
    keys = dict.fromkeys(key for part in present for key in part)
    return {key: merged([part.get(key) for part in present]) for key in keys}


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """Mean value and standard deviation between splits (`spread`).

    Splits share questions, so the ends are the means of the ends: as wide as if all of them were one.
    """
    found: dict[str, float | None] = {
        name: float(np.mean([figure[name] for figure in figures])) for name in ("value", "low", "high")
    }
    values = [figure["value"] for figure in figures]
    return {**found, "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def _comparisons(parts: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    by_key: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for part in parts:
        for entry in part:
            by_key.setdefault((entry["router"], entry["against"], entry["metric"]), []).append(entry["difference"])
    return [
        {"router": router, "against": against, "metric": metric, "difference": merged(found)}
        for (router, against, metric), found in by_key.items()
    ]
