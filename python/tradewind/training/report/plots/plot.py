"""What all plots share: the canvas, which colour and dash a router has, and how a drawing becomes a picture."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tradewind.training import contestants
from tradewind.training.report import style
from tradewind.training.report.page import Picture
from tradewind.training.report.style import Colour
from tradewind.training.results import Result

DPI = 150
FRONT = 30
"""Drawing order of the first router; the others follow behind it."""


@dataclass(frozen=True)
class Drawing:
    """A plot of one set, and what it shows in words."""

    figure: Figure
    about: str


@dataclass(frozen=True)
class Plot:
    """A row: `draw` gives None where the set has nothing to show."""

    name: str
    title: str
    draw: Callable[[Result], Drawing | None]


@dataclass(frozen=True)
class Look:
    """How a router is drawn, the same in every plot."""

    colour: str
    dashes: str | tuple[float, tuple[float, ...]]
    marker: str
    width: float

    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}


BASELINES: dict[str, tuple[Colour, Any, str]] = {
    "zero": (style.MUTED, (0, (6, 2)), "s"),
    "task_mean": (style.GREEN, (0, (3, 1.5)), "D"),
    "length": (style.ORANGE, (0, (1, 1.5)), "v"),
    "knn": (style.SKY, (0, (5, 1.5, 1, 1.5)), "^"),
}

EVALUATED: tuple[tuple[Any, str], ...] = (
    ("solid", "o"),
    ((0, (7, 1.5)), "P"),
    ((0, (4, 1, 1, 1, 1, 1)), "X"),
    ((0, (2, 1)), "h"),
)
"""Each with every colour in turn: enough for twenty routers."""

NAMES = {
    contestants.PREDICTOR: "Tradewind's predictor",
    "zero": "Zero",
    "task_mean": "task mean (told the task)",
    "length": "length only",
    "knn": "kNN",
}


def named(router: str) -> str:
    """What people call it."""
    return NAMES.get(router, router)


def looks(result: Result) -> dict[str, Look]:
    """By router: evaluated ones in strong colours and the first of them thick, baselines dashed."""
    found: dict[str, Look] = {}
    strong = itertools.product(EVALUATED, style.SERIES)
    for standing in result.standings:
        if standing.name in BASELINES:
            colour, dashes, marker = BASELINES[standing.name]
            found[standing.name] = Look(colour.light, dashes, marker, 1.5)
        else:
            (dashes, marker), colour = next(strong)
            found[standing.name] = Look(colour.light, dashes, marker, 2.6 if standing is result.first else 1.4)
    return found


def canvas(columns: int = 1, rows: int = 1, width: float = 8.0, height: float = 5.0) -> tuple[Figure, list[Any]]:
    """A figure with its axes, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
    for each in axes:
        each.grid(color=style.LINE.light, linewidth=0.7)
        each.set_axisbelow(True)
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
        for side in ("bottom", "left"):
            each.spines[side].set_color(style.MUTED.light)
        each.tick_params(which="both", colors=style.MUTED.light, labelcolor=style.INK.light, labelsize=9)
        for text in (each.xaxis.label, each.yaxis.label, each.title):
            text.set_color(style.INK.light)
    return figure, axes


def legend(figure: Figure, columns: int = 3) -> None:
    """One legend below the axes, each label once."""
    seen: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    figure.legend(
        list(seen.values()),
        list(seen),
        loc="outside lower center",
        ncols=columns,
        fontsize=9,
        frameon=False,
        handlelength=3.2,
        labelcolor=style.INK.light,
    )


def picture(entry: Plot, name: str, result: Result) -> Picture | None:
    """Draws a plot of a set, once, and saves it twice."""
    drawing = entry.draw(result)
    if drawing is None:
        return None
    file = f"{name}.png" if entry.name == "frontier" else f"{name}-{entry.name}.png"
    png, svg = io.BytesIO(), io.BytesIO()
    drawing.figure.savefig(png, format="png", dpi=DPI, facecolor="white")
    # The salt makes the names of clip paths differ between drawings of one page, and not between two runs.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": file}):
        drawing.figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Picture(file, f"{name}: {entry.title}", drawing.about, png.getvalue(), _inline(svg.getvalue().decode()))


def _inline(svg: str) -> str:
    """A drawing as a part of a page: no prologue, no size of its own, no names that nothing refers to."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    used = set(re.findall(r"(?:#|url\(#)([\w.-]+)", body))
    body = re.sub(r' id="([\w.-]+)"', lambda found: found.group(0) if found.group(1) in used else "", body)
    head, rest = body.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return style.themed(re.sub(r"\n\s*", "\n", f"{head}>{rest}")).strip()
