"""Draws an evaluation for people: Markdown with the figures, and the cost–quality frontier as PNG."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = (
    "aiq",
    "zero",
    "aiq_minus_zero",
    "task_mean",
    "score",
    "best_single",
    "oracle",
    "saved_at_best_single",
    "apgr",
    "cpt50",
    "cpt80",
)


MOST_NAMED = 15
"""Single models above which a plot names only the useful ones."""


def write(folder: Path, document: Mapping[str, Any], rounds: object = None) -> None:
    """Writes `report.md` and one `<set>.png` for each priced set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scores in document["sets"].items():
        if "router" in scores["frontier"]:
            draw(folder / f"{name}.png", name, scores, label(document["router"]))
    (folder / "report.md").write_text(markdown(document), encoding="utf-8")


def markdown(document: Mapping[str, Any]) -> str:
    """A table of all sets; each value with its 95 % interval."""
    lines = [
        "# Evaluation",
        "",
        f"Router: {document['router']}. Split: `{document['split']}`. Operating points were chosen on "
        f"{document['operating_points_chosen_on']}. Brackets: 95 %, bootstrapped over questions.",
        "",
        "| set | n | models | questions seen in training | " + " | ".join(COLUMNS) + " |",
        "|---|---:|---:|---:|" + "---:|" * len(COLUMNS),
    ]
    for name, scores in document["sets"].items():
        cells = [_cell(scores.get(column)) for column in COLUMNS]
        share = scores["share_of_questions_trained_on"]
        seen = "unknown" if share is None else f"{100 * share:.0f} %"
        lines.append(f"| {name} | {scores['n']} | {len(scores['models'])} | {seen} | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"![{name}]({name}.png)" for name, s in document["sets"].items() if "router" in s["frontier"]]
    return "\n".join(lines) + "\n"


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return "–"
    parts = ["–" if value[key] is None else f"{value[key]:.4f}" for key in ("value", "low", "high")]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]"


def label(router: str) -> str:
    """What a legend calls it: a predictor's digest says nothing to people."""
    return "Tradewind" if router.startswith("sha256:") else router


def draw(path: Path, name: str, scores: Mapping[str, Any], called: str) -> None:
    """The router's and the Zero router's curve over the single models, cost on a logarithmic axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.margins(y=0.08)
    frontier = scores["frontier"]
    for key, colour, text in (("zero", "#cc7722", "Zero: mixing single models"), ("router", "#1f5fbf", called)):
        # Mixing two points is linear in dollars, which a logarithmic axis bends: draw it densely.
        xs, ys = _mixed(frontier[key])
        axes.plot(xs, ys, color=colour, label=text)
        axes.scatter([c for c, _ in frontier[key]], [q for _, q in frontier[key]], s=14, color=colour)
    _draw_singles(axes, frontier)
    # A logarithm has no place for models that cost nothing.
    costs = [cost for cost, _ in frontier["singles"].values() if cost > 0] or [1.0]
    width = max(max(costs) / min(costs), 2.0)
    # The dearest model's name needs room on its right.
    axes.set_xlim(min(costs) / width**0.05, max(costs) * width**0.25)
    axes.xaxis.set_major_formatter(_usd)
    axes.xaxis.set_minor_formatter(_usd)
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.set_xlabel("mean cost per question, logarithmic")
    axes.set_ylabel("mean score")
    gain = scores["aiq_minus_zero"]
    axes.set_title(
        f"{name}: {scores['n']} questions, {len(scores['models'])} models\n"
        f"AIQ {scores['aiq']['value']:.4f}, Zero {scores['zero']['value']:.4f}, "
        f"difference {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]",
        fontsize=10,
    )
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=140)


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
        s=18,
        color="#888888",
        label="single models",
        zorder=0,
    )
    mixed = [tuple(point) for point in frontier["zero"]]
    for model, point in singles.items():
        used = tuple(point) in mixed
        if used or len(singles) <= MOST_NAMED:
            colour = "#8a4f12" if used else "#777777"
            # Below the curves, which rise to the right.
            axes.annotate(model, point, fontsize=7, color=colour, xytext=(4, -9), textcoords="offset points")


def _mixed(points: list[list[float]], steps: int = 20) -> tuple[list[float], list[float]]:
    ordered = sorted(points)
    xs, ys = [ordered[0][0]], [ordered[0][1]]
    for (c0, q0), (c1, q1) in itertools.pairwise(ordered):
        xs += [c0 + (c1 - c0) * step / steps for step in range(1, steps + 1)]
        ys += [q0 + (q1 - q0) * step / steps for step in range(1, steps + 1)]
    return xs, ys
