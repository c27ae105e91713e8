"""What the first evaluated router gains over Zero, task by task."""

from __future__ import annotations

from tradewind.training.report import breakdown, style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result

MOST = 24
"""Tasks in a plot; of more, the largest."""
LEAST = 20
"""Questions of a task below which its interval would say nothing; the table has all."""


def draw(result: Result) -> Drawing | None:
    """None where there is one task of some size."""
    parts = [part for part in breakdown.by_task(result) if part.n >= LEAST]
    if len(parts) < 2:
        return None
    shown = sorted(parts, key=lambda part: part.n, reverse=True)[:MOST]
    shown.sort(key=lambda part: part.gain.value)
    figure, [axes] = plot.canvas(height=1.6 + 0.26 * len(shown))
    colour = plot.looks(result)[result.first.name].colour
    axes.axvline(0, color=style.MUTED.light, linewidth=1)
    for place, part in enumerate(shown):
        axes.plot([part.gain.low, part.gain.high], [place, place], color=colour, linewidth=2, alpha=0.5)
        axes.plot(part.gain.value, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(shown)), [f"{part.name} ({part.n})" for part in shown], fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel(f"gain over Zero, {breakdown.gain_is(result)}")
    return Drawing(
        figure,
        f"What {plot.named(result.first.name)} gains over Zero by task ({breakdown.gain_is(result)}; questions in brackets; "
        f"at most {MOST} tasks of {LEAST} questions or more). Lines are 95 %. The table has all tasks.",
    )


ENTRY = Plot("tasks", "gain by task", draw)
