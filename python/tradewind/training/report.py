"""Draws an evaluation for people: Markdown with the figures, and the cost–quality frontier as PNG."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = (
    "aiq",
    "zero",
    "task_mean",
    "score",
    "best_single",
    "oracle",
    "saved_at_best_single",
    "apgr",
    "cpt50",
    "cpt80",
)


def write(folder: Path, document: Mapping[str, Any]) -> None:
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

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    frontier = scores["frontier"]
    singles = frontier["singles"]
    axes.scatter(
        [c for c, _ in singles.values()],
        [q for _, q in singles.values()],
        s=18,
        color="#888888",
        label="single models",
    )
    for model, (cost, quality) in singles.items():
        axes.annotate(model, (cost, quality), fontsize=5, color="#666666", xytext=(2, 2), textcoords="offset points")
    for key, colour, text in (("zero", "#cc7722", "Zero router"), ("router", "#1f5fbf", called)):
        # Mixing two points is linear in dollars, which a logarithmic axis bends: draw it densely.
        xs, ys = _mixed(frontier[key])
        axes.plot(xs, ys, color=colour, label=text)
        axes.scatter([c for c, _ in frontier[key]], [q for _, q in frontier[key]], s=10, color=colour)
    axes.set_xscale("log")
    axes.set_xlabel("mean cost per question, USD")
    axes.set_ylabel("mean score")
    axes.set_title(f"{name}: n = {scores['n']}, AIQ {scores['aiq']['value']:.4f}, Zero {scores['zero']['value']:.4f}")
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=140)


def _mixed(points: list[list[float]], steps: int = 20) -> tuple[list[float], list[float]]:
    ordered = sorted(points)
    xs, ys = [ordered[0][0]], [ordered[0][1]]
    for (c0, q0), (c1, q1) in itertools.pairwise(ordered):
        xs += [c0 + (c1 - c0) * step / steps for step in range(1, steps + 1)]
        ys += [q0 + (q1 - q0) * step / steps for step in range(1, steps + 1)]
    return xs, ys
