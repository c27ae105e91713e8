"""Cost against quality: each router's operating points, over the single models, Zero and the oracle."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tradewind.training.report import style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result

MOST_NAMED = 15
"""Single models above which a plot names only the useful ones."""

Point = Sequence[float]


def draw(result: Result) -> Drawing | None:
    """None where the set has no costs."""
    frontier = result.first.scores.frontier
    if "router" not in frontier:
        return None
    figure, [axes] = plot.canvas(height=5.4)
    axes.set_xscale("log")
    axes.margins(y=0.08)
    looks = plot.looks(result)
    for place, standing in enumerate(result.standings):
        points = standing.scores.frontier["router"]
        # Mixing two points is linear in dollars, which a logarithmic axis bends: draw it densely.
        xs, ys = _mixed(points)
        look = looks[standing.name]
        axes.plot(xs, ys, label=plot.named(standing.name), zorder=plot.FRONT - place, **look.line())
        axes.scatter(*zip(*points, strict=True), s=16, color=look.colour, marker=look.marker, zorder=plot.FRONT - place)
    oracle = result.first.scores.values["oracle"]
    if oracle is not None and frontier["oracle_cost_usd"] > 0:
        point = (frontier["oracle_cost_usd"], oracle.value)
        axes.scatter(*point, marker="*", s=140, color=style.INK.light, label="oracle", zorder=plot.FRONT)
    _limit(axes, frontier, oracle is not None)
    _draw_singles(axes, frontier)
    axes.set_xlabel("mean cost per question, USD, logarithmic")
    axes.set_ylabel("mean score")
    plot.legend(figure)
    return Drawing(figure, _about(result))


def _about(result: Result) -> str:
    scores = result.first.scores
    aiq, zero, gain = (scores.values[name] for name in ("aiq", "zero", "aiq_minus_zero"))
    if aiq is None or zero is None or gain is None:
        return "Mean score against mean cost of every router."
    return (
        f"Mean score against mean cost over {scores.n} questions and {len(scores.models)} models. "
        f"{plot.named(result.first.name)}: AIQ {aiq.value:.4f}; Zero {zero.value:.4f}; difference {gain.value:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}]. Operating points were chosen on {result.facts['operating_points_chosen_on']}."
    )


def _limit(axes: Any, frontier: Mapping[str, Any], oracle: bool) -> None:
    # A logarithm has no place for models that cost nothing.
    costs = [cost for cost, _ in frontier["singles"].values() if cost > 0] or [1.0]
    if oracle and frontier["oracle_cost_usd"] > 0:
        costs.append(frontier["oracle_cost_usd"])
    width = max(max(costs) / min(costs), 2.0)
    # The dearest model's name needs room on its right.
    axes.set_xlim(min(costs) / width**0.05, max(costs) * width**0.25)
    axes.xaxis.set_major_formatter(_usd)
    axes.xaxis.set_minor_formatter(_usd)
    axes.tick_params(axis="x", which="both", labelsize=8, length=3.5, pad=4, labelcolor=style.INK.light)


def _usd(amount: float, _: object = None) -> str:
    """One, two and five of each power of ten; more would not fit."""
    digits = f"{amount:.0e}"
    return f"${amount:.9f}".rstrip("0").rstrip(".") if digits[0] in "125" else ""


def _draw_singles(axes: Any, frontier: Mapping[str, Any]) -> None:
    """Single models as dots; named where they are few, else only those that the Zero router mixes."""
    singles = frontier["singles"]
    axes.scatter(
        [c for c, _ in singles.values()],
        [q for _, q in singles.values()],
        s=20,
        color=style.MUTED.light,
        label="single models",
        zorder=1,
    )
    mixed = [tuple(point) for point in frontier["zero"]]
    labels: list[tuple[str, Point, str]] = []
    for model, point in singles.items():
        used = tuple(point) in mixed
        if used or len(singles) <= MOST_NAMED:
            labels.append((model, point, style.INK.light if used else style.MUTED.light))
    _label(axes, labels, list(singles.values()))


def _label(axes: Any, labels: Sequence[tuple[str, Point, str]], dots: Sequence[Point]) -> None:
    """Names beside their dots, each at the first place where it covers neither a dot nor a name."""
    points_per_pixel = 72 / axes.figure.dpi
    at = {tuple(dot): axes.transData.transform(dot) * points_per_pixel for dot in dots if dot[0] > 0}
    taken = [(x - 2, y - 2, x + 2, y + 2) for x, y in at.values()]
    for model, point, colour in sorted(labels, key=lambda label: label[2] != style.INK.light):
        if tuple(point) not in at:
            continue
        x, y = at[tuple(point)]
        boxes = [_box(x + right, y + up, model) for right, up in PLACES]
        free = [not any(_overlap(box, other) for other in taken) for box in boxes]
        chosen = free.index(True) if any(free) else 0
        taken.append(boxes[chosen])
        far = {"arrowprops": {"arrowstyle": "-", "color": style.MUTED.light, "linewidth": 0.6}} if chosen > 1 else {}
        place = {"xytext": PLACES[chosen], "textcoords": "offset points"}
        axes.annotate(model, point, fontsize=FONT, color=colour, zorder=2, **place, **far)


FONT = 7.5
PLACES = ((5, -9), (5, 4), (5, -18), (5, 13), (5, -27), (5, -36), (5, 22))
"""Points to the right of and above a dot. Below first: curves rise to the right."""

Box = tuple[float, float, float, float]


def _box(x: float, y: float, text: str) -> Box:
    return x, y, x + 0.58 * FONT * len(text), y + FONT


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _mixed(points: Sequence[Point], steps: int = 20) -> tuple[list[float], list[float]]:
    ordered = sorted((cost, quality) for cost, quality in points)
    xs, ys = [ordered[0][0]], [ordered[0][1]]
    for (c0, q0), (c1, q1) in itertools.pairwise(ordered):
        xs += [c0 + (c1 - c0) * step / steps for step in range(1, steps + 1)]
        ys += [q0 + (q1 - q0) * step / steps for step in range(1, steps + 1)]
    return xs, ys


ENTRY = Plot("frontier", "cost and quality", draw)
