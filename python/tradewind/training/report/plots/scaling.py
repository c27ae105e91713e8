"""Model-level scaling (RouterEval, arXiv:2503.10657): what a larger pool is worth to a router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradewind.training.report import style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result

REFERENCES = (
    ("oracle", style.INK, (0, (2, 2))),
    ("best_single", style.MUTED, (0, (6, 2))),
    ("random", style.MUTED, (0, (1, 2))),
)


def draw(result: Result) -> Drawing | None:
    """None where the set has few models."""
    first = result.first.scores.scaling or next((s.scores.scaling for s in result.standings if s.scores.scaling), None)
    if first is None:
        return None
    figure, [axes] = plot.canvas()
    axes.set_xscale("log")
    looks = plot.looks(result)
    for name, colour, dashes in REFERENCES:
        sizes, means = means_of(first, name)
        axes.plot(sizes, means, color=colour.light, linestyle=dashes, linewidth=1.2, label=name.replace("_", " "))
    for place, standing in enumerate(result.standings):
        # Zero is the best single model here.
        if standing.scores.scaling is not None and standing.name != "zero":
            look = looks[standing.name]
            sizes, means = means_of(standing.scores.scaling, "score")
            drawn = {"label": plot.named(standing.name), "zorder": plot.FRONT - place, "marker": look.marker, "markersize": 5}
            axes.plot(sizes, means, **drawn, **look.line())
    sizes, _ = means_of(first, "oracle")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("models in the pool, logarithmic")
    axes.set_ylabel("mean score, cost being no object")
    plot.legend(figure, 4)
    return Drawing(
        figure,
        "Mean score when a router may choose among so many models: mean of a pool of strong, one of weak and one of mixed "
        "models of each size. The oracle rises with the pool's size, whatever the router does.",
    )


def means_of(scaling: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Sizes, and the mean over the pools of each."""
    by_size: dict[int, list[float]] = {}
    for pool in scaling:
        if pool[name] is not None:
            by_size.setdefault(pool["models"], []).append(pool[name]["value"])
    return list(by_size), [float(np.mean(values)) for values in by_size.values()]


ENTRY = Plot("scaling", "quality by size of the pool", draw)
