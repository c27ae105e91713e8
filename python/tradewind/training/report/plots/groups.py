"""Quality by language and by length of the question."""

from __future__ import annotations

from typing import Any

from tradewind.training.report import breakdown, style
from tradewind.training.report.breakdown import Part
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result


def draw(result: Result) -> Drawing | None:
    """Always: one group is a figure, too."""
    figure, (left, right) = plot.canvas(2, width=9.5, height=4.4)
    colour = plot.looks(result)[result.first.name].colour
    name = plot.named(result.first.name)
    for axes, parts, label in (
        (left, breakdown.by_language(result), "language, guessed"),
        (right, breakdown.by_length(result), "characters of the question"),
    ):
        _panel(axes, parts, colour, name)
        axes.set_xlabel(label)
    left.set_ylabel("mean score, cost being no object")
    right.sharey(left)
    right.tick_params(labelleft=False)
    plot.legend(figure)
    return Drawing(
        figure,
        f"Mean score of {name} with its 95 % interval, of the best single model and of the oracle, by language and by "
        "length of the question; numbers of questions are in brackets.",
    )


def _panel(axes: Any, parts: list[Part], colour: str, name: str) -> None:
    places = list(range(len(parts)))
    axes.plot(places, [part.oracle for part in parts], "*", color=style.INK.light, markersize=8, label="oracle")
    axes.plot(
        places, [part.best_single for part in parts], "s", color=style.MUTED.light, markersize=5, label="best single model"
    )
    score = [part.score for part in parts]
    spans = [[s.value - s.low for s in score], [s.high - s.value for s in score]]
    axes.errorbar(places, [s.value for s in score], spans, fmt="o", color=colour, capsize=3, markersize=6, label=name)
    axes.set_xticks(places, [f"{part.name}\n({part.n})" for part in parts], fontsize=8)
    axes.set_xlim(-0.6, len(parts) - 0.4)
    axes.grid(axis="x", visible=False)


ENTRY = Plot("groups", "quality by language and length", draw)
