"""Quality and gain by language and by length of the question."""

from __future__ import annotations

from typing import Any

import numpy as np

from tradewind.bootstrap import Interval
from tradewind.training.report import breakdown, style
from tradewind.training.report.breakdown import Part
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result

LEAST = 20
"""Questions of a group below which its interval would say nothing; the table has all."""


def draw(result: Result) -> Drawing | None:
    """Always: one group is a figure, too."""
    figure, axes = plot.canvas(2, 2, width=9.5, height=6.4)
    for left, right in ((axes[0], axes[1]), (axes[2], axes[3])):
        right.sharey(left)
        right.tick_params(labelleft=False)
    colour = plot.looks(result)[result.first.name].colour
    name = plot.named(result.first.name)
    for column, parts, label in (
        (0, breakdown.by_language(result), "language, guessed"),
        (1, breakdown.by_length(result), "characters of the question"),
    ):
        shown = [part for part in parts if part.n >= LEAST] or parts
        above, below = axes[column], axes[2 + column]
        _scores(above, shown, colour, name)
        below.axhline(0, color=style.MUTED.light, linewidth=1)
        _intervals(below, [part.gain for part in shown], colour, name)
        for each in (above, below):
            each.set_xticks(range(len(shown)), [f"{part.name}\n({part.n})" for part in shown], fontsize=8)
            each.set_xlim(-0.6, len(shown) - 0.4)
            each.grid(axis="x", visible=False)
        below.set_xlabel(label)
    axes[0].set_ylabel("mean score")
    axes[2].set_ylabel("gain over Zero")
    plot.legend(figure)
    return Drawing(
        figure,
        f"Above: mean score of {name} at the highest willingness to pay, of the best single model and of the oracle, by "
        f"language and by length of the question. Below: gain over Zero, {breakdown.gain_is(result)}. Bars are 95 %, numbers "
        f"of questions in brackets; groups under {LEAST} are in the table alone.",
    )


def _scores(axes: Any, parts: list[Part], colour: str, name: str) -> None:
    places = np.arange(len(parts))
    oracle, single = [part.oracle for part in parts], [part.best_single for part in parts]
    axes.plot(places + 0.12, oracle, "*", color=style.INK.light, markersize=8, label="oracle")
    axes.plot(places - 0.12, single, "s", color=style.MUTED.light, markersize=5, label="best single model")
    _intervals(axes, [part.score for part in parts], colour, name)


def _intervals(axes: Any, values: list[Interval], colour: str, name: str) -> None:
    spans = [[each.value - each.low for each in values], [each.high - each.value for each in values]]
    middle = [each.value for each in values]
    axes.errorbar(range(len(values)), middle, spans, fmt="o", color=colour, capsize=3, markersize=6, label=name)


ENTRY = Plot("groups", "quality by language and length", draw)
