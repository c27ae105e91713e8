"""The first evaluated router against the best single model, task by task."""

from __future__ import annotations

from tradewind.training.report import breakdown, style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result

MOST = 24
"""Tasks in a plot; of more, the largest."""


def draw(result: Result) -> Drawing | None:
    """None where there is one task."""
    parts = breakdown.by_task(result)
    if len(parts) < 2:
        return None
    shown = sorted(parts, key=lambda part: part.n, reverse=True)[:MOST]
    shown.sort(key=lambda part: part.over_best.value)
    figure, [axes] = plot.canvas(height=1.6 + 0.26 * len(shown))
    colour = plot.looks(result)[result.first.name].colour
    axes.axvline(0, color=style.MUTED.light, linewidth=1)
    for place, part in enumerate(shown):
        axes.plot([part.over_best.low, part.over_best.high], [place, place], color=colour, linewidth=2, alpha=0.5)
        axes.plot(part.over_best.value, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(shown)), [f"{part.name} ({part.n})" for part in shown], fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("mean score − that of the best single model, cost being no object")
    few = f"; the {MOST} largest of {len(parts)} tasks" if len(parts) > MOST else ""
    return Drawing(
        figure,
        f"{plot.named(result.first.name)} against {result.first.scores.frontier['best_single_model']} by task (questions in "
        f"brackets{few}); lines are 95 %. The table below has all of them.",
    )


ENTRY = Plot("tasks", "quality by task", draw)
