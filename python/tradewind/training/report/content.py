"""What a report says: which tables and plots, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tradewind.bootstrap import Interval
from tradewind.training import contestants, scores
from tradewind.training.report import breakdown, plots
from tradewind.training.report.page import Cell, Page, Section, Table
from tradewind.training.report.plots.plot import named
from tradewind.training.results import Result, Round

DOMAINS = {"in": "In domain", "transfer": "Transfer"}
ABOUT = {
    "in": "Routers that learned from questions of the same set. What is known to have been trained on these very ones is named "
    "above; without a split, Zero and the task mean know their means.",
    "transfer": "Routers that learned of the set nothing but profiles. Zero and the task mean know its means.",
}
COLUMNS = ("aiq", "aiq_minus_zero", "score", "saved_at_best_single", "apgr", "cpt50", "cpt80", "auroc", "ece")
REFERENCES = ("zero", "task_mean", "best_single", "oracle", "random")
TITLES = {
    "aiq_minus_zero": "AIQ − Zero",
    "saved_at_best_single": "saved at best single",
    "score": "score",
    "apgr": "APGR",
    "cpt50": "CPT 50",
    "cpt80": "CPT 80",
    "auroc": "AUROC",
    "ece": "ECE",
    "aiq": "AIQ",
    "zero": "AIQ of Zero",
    "task_mean": "AIQ of task mean",
    "best_single": "best single",
}
KINDS = {
    "trained_on_tested": "Trained on what it is tested on",
    "no_better_than_zero": "No better than Zero",
    "gains_on_shuffled_texts": "Gains on shuffled texts",
}

Document = Mapping[str, Any]


def of(document: Document, rounds: Sequence[Round]) -> Page:
    """The whole report. Plots and breakdowns are of the first split that has the set."""
    sections = [_flags(document), _sets(document)]
    sections += [found for domain in DOMAINS if (found := _standings(document, domain)) is not None]
    results: dict[str, tuple[str, Result]] = {}
    for each in rounds:
        for name, result in each.results.items():
            results.setdefault(name, (each.split, result))
    sections += [_set(name, split, result, document["sets"][name]) for name, (split, result) in results.items()]
    return Page("Evaluation", list(_head(document, rounds)), sections)


def _head(document: Document, rounds: Sequence[Round]) -> Iterator[str]:
    yield (
        f"Router: `{document['router']}`. Split: `{document['split']}`. Operating points were chosen on "
        f"{document['operating_points_chosen_on']}. Brackets: 95 %, bootstrapped over questions; comparisons are paired."
    )
    if len(rounds) > 1:
        splits = ", ".join(f"`{each.split}`" for each in rounds)
        yield (
            f"Figures are means over {splits}; ± is the standard deviation between them. The ends of intervals are means, "
            "too: as the splits share questions, an interval is as wide as if all were one."
        )


def _flags(document: Document) -> Section:
    flags = [
        f"{KINDS[flag['kind']]}: {named(flag['router'])} on {name}{' in ' + flag['split'] if 'split' in flag else ''} "
        f"({flag['message']})"
        for name, found in document["sets"].items()
        for flag in found["flags"]
    ]
    return Section("What to beware of", () if flags else ("Nothing was found.",), flags)


def _sets(document: Document) -> Section:
    rows = []
    for name, found in document["sets"].items():
        share = found["share_of_questions_trained_on"]
        rows.append(
            [
                Cell(name),
                Cell(str(found["n"])),
                Cell(str(len(found["models"]))),
                Cell("unknown" if share is None else f"{100 * share:.0f} %"),
                *(_figure(found.get(column)) for column in REFERENCES),
                Cell(found["licence"][:60]),
            ]
        )
    columns = ("set", "n", "models", "seen in training", *(TITLES.get(name, name) for name in REFERENCES), "licence")
    return Section("Sets", tables=[Table("", columns, rows)])


def _standings(document: Document, domain: str) -> Section | None:
    """One row for each set and router of the domain; the two yardsticks also stand under `transfer`."""
    rows = []
    for name, found in document["sets"].items():
        mine = [router for router, where in found["domains"].items() if where == domain]
        if domain == "transfer" and mine:
            mine += [router for router in contestants.HINDSIGHT if router not in mine]
        rows += [
            [
                Cell(name if place == 0 else ""),
                Cell(named(router), strong=router not in contestants.BASELINES),
                *(_figure(found["routers"][router].get(column)) for column in COLUMNS),
                Cell(found["over_zero"][router]["verdict"] if router != contestants.ZERO else "–"),
            ]
            for place, router in enumerate(mine)
        ]
    if not rows:
        return None
    columns = ("set", "router", *(TITLES[name] for name in COLUMNS), "verdict")
    return Section(DOMAINS[domain], (ABOUT[domain],), tables=[Table("", columns, rows, names=2)])


def _set(name: str, split: str, result: Result, found: Document) -> Section:
    tables = [_comparisons(found), _tasks(result), _groups(result), _metrics(found)]
    return Section(name, (f"Plots and breakdowns are of `{split}`.",), (), tables, list(plots.of(name, result)))


def _comparisons(found: Document) -> Table:
    keys = dict.fromkeys((entry["router"], entry["against"]) for entry in found["comparisons"])
    by_key = {(entry["router"], entry["against"], entry["metric"]): entry["difference"] for entry in found["comparisons"]}
    metrics = list(dict.fromkeys(entry["metric"] for entry in found["comparisons"]))
    rows = [
        [
            Cell(named(router), strong=True),
            Cell(named(against)),
            *(_figure(by_key.get((router, against, metric)), signed=True) for metric in metrics),
        ]
        for router, against in keys
    ]
    rows += [
        [
            Cell(named(router), strong=True),
            Cell(f"Zero, its texts shuffled: {dealt['metric']}"),
            *(_figure(dealt["difference"] if metric == dealt["metric"] else None, signed=True) for metric in metrics),
        ]
        for router, dealt in found["shuffled_texts"].items()
    ]
    columns = ("router", "against", *(TITLES.get(metric, metric) for metric in metrics))
    note = "Differences on the same draws of questions. Shuffled texts: a router's decisions, dealt to other questions."
    return Table("Paired comparisons", columns, rows, names=2, note=note)


def _tasks(result: Result) -> Table:
    return _parts("By task", "task", breakdown.by_task(result), result, folded=True)


def _groups(result: Result) -> Table:
    parts = breakdown.by_language(result) + breakdown.by_length(result)
    return _parts("By language and length", "language or characters", parts, result, folded=True)


def _parts(title: str, kind: str, parts: Sequence[breakdown.Part], result: Result, folded: bool) -> Table:
    routers = [standing.name for standing in result.standings]
    rows = [
        [
            Cell(part.name),
            Cell(str(part.n)),
            _interval(part.gain),
            *(Cell(f"{part.routers[router]:.3f}") for router in routers),
            Cell(f"{part.best_single:.3f}"),
            Cell(f"{part.oracle:.3f}"),
        ]
        for part in parts
    ]
    first = named(result.first.name)
    note = f"Mean scores at the highest willingness to pay; gains over the whole range, in {breakdown.gain_is(result)}."
    columns = (kind, "n", f"{first}: gain over Zero", *map(named, routers), "best single", "oracle")
    return Table(title, columns, rows, folded=folded, note=note)


def _metrics(found: Document) -> Table:
    """Every metric that the set allows, of every router."""
    routers = found["routers"]
    rows = [
        [Cell(metric.title), Cell(metric.source), *(_figure(figures.get(metric.name)) for figures in routers.values())]
        for metric in scores.TABLE
        if any(figures.get(metric.name) for figures in routers.values())
    ]
    return Table("All metrics", ("metric", "source", *map(named, routers)), rows, names=2, folded=True)


def _figure(value: Mapping[str, float | None] | None, signed: bool = False) -> Cell:
    if value is None or value["value"] is None:
        return Cell("–")
    sign = "+" if signed else ""
    spread = f" ±{value['spread']:.4f}" if value.get("spread") is not None else ""
    return Cell(f"{value['value']:{sign}.4f}{spread}", f"[{value['low']:{sign}.4f}, {value['high']:{sign}.4f}]")


def _interval(value: Interval) -> Cell:
    if not value.exists:
        return Cell("–")
    return Cell(f"{value.value:+.3f}", f"[{value.low:+.3f}, {value.high:+.3f}]")
