"""Performance gap recovered against the share of calls to the strong model of a pair (RouteLLM, section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind.training.report import style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result
from tradewind.training.scores import routellm
from tradewind.training.scores.case import weak_and_strong

Floats = npt.NDArray[np.float64]

TARGETS = (0.5, 0.8)
"""PGR whose share of calls is CPT(50 %) and CPT(80 %)."""


def draw(result: Result) -> Drawing | None:
    """None where there is no pair, or no gap between its models."""
    if len(result.tested.models) != 2:
        return None
    score = result.tested.score
    weak, strong = weak_and_strong(result.learned.score)
    if score[:, weak].mean() == score[:, strong].mean():
        return None

    def curve(quality: Floats) -> tuple[Floats, Floats]:
        gain = quality[:, strong] - quality[:, weak]
        found = routellm.call_curve(np.ones((1, len(score))), gain, score[:, weak], score[:, strong])
        return found.share[0], found.recovered[0]

    figure, [axes] = plot.canvas()
    axes.plot([0, 1], [0, 1], color=style.LINE.light, linewidth=1.2, label="random")
    axes.plot(*curve(score), color=style.INK.light, linewidth=1, linestyle=(0, (2, 2)), label="oracle")
    looks = plot.looks(result)
    for place, standing in enumerate(result.standings):
        shares, recovered = curve(standing.here.quality)
        axes.plot(shares, recovered, label=plot.named(standing.name), zorder=plot.FRONT - place, **looks[standing.name].line())
    for target in TARGETS:
        axes.axhline(target, color=style.MUTED.light, linewidth=0.6, linestyle=(0, (1, 3)))
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of calls to {result.tested.models[strong]}")
    axes.set_ylabel("performance gap recovered")
    plot.legend(figure, 4)
    return Drawing(figure, _about(result, weak, strong))


def _about(result: Result, weak: int, strong: int) -> str:
    models = result.tested.models
    areas = ", ".join(
        f"{plot.named(standing.name)} {value.value:.3f}"
        for standing in result.standings
        if (value := standing.scores.values["apgr"]) is not None
    )
    return (
        f"How much of the gap between {models[weak]} and {models[strong]} is recovered when so many calls go to the latter, by "
        f"falling forecast gain. Area under the curve (APGR; random .5): {areas}."
    )


ENTRY = Plot("calls", "calls to the strong model and quality", draw)
