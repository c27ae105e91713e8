"""`tradewind evaluate`: replays the production `decide` on outcome tables and scores it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.cli import options, output


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of data sets, or one file; formats: docs/evaluation.md.")],
    sets: Annotated[str | None, typer.Option(help="Data sets, separated by commas; all where absent.")] = None,
    predictor: options.Predictor = None,
    fit: Annotated[
        list[str] | None,
        typer.Option(help="Estimator to fit on the rows outside the split. May be repeated, or several with commas."),
    ] = None,
    router: Annotated[
        list[str] | None,
        typer.Option(help="Class of your own, as module:Class; described above. May be repeated, or several with commas."),
    ] = None,
    split: Annotated[str, typer.Option(help="Protocol: which questions are held out; listed above.")] = "none",
    plans_out: Annotated[
        Path | None, typer.Option(help="Folder for the plans that decided, and the predictor where --fit made one.")
    ] = None,
    decisions_out: Annotated[
        Path | None, typer.Option(help="File for the decisions, as `decide` gives them; described above.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the report: HTML, Markdown, PNG, and Parquet of every decision.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws of the bootstrap, and of fitting.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Score routers offline, side by side: AIQ, APGR and their kin, each with a 95 % interval, and paired differences.

    Every table also has Zero (mixing single models blindly), the task mean (which is told the task), length only, and
    kNN. With --report and nothing else, all estimators are fitted and stand beside the shipped predictor.

    Protocols (--split): none; question:SEED, a quarter of the questions, by their stem in all sets at once;
    task:NAME, the questions of one task, or of all tasks below it (mmlu has mmlu/anatomy); subject:FOLD, those of a
    quarter of the tasks; transfer:SET, a set that no predictor is trained on, of which three quarters give profiles;
    cold:MODEL:N, a model that no predictor is trained on, with N graded answers. question:all, task:all, subject:all
    and transfer:all run all of them in turn, and give the mean and the spread.

    A class of your own (--router, looked up in the current folder first) is constructed without arguments, anew
    for each data set. Its optional method fit(texts, models, score, cost_usd) gets the rows outside the split:
    score and cost_usd are arrays with one row a text and one column a model. Then it answers with
    forecast(texts, models), which gives quality from 0 to 1, an array of that shape, or the pair (quality,
    cost_usd); or with choose(texts, models, willingness_to_pay_usd), which gives for each text and each
    willingness the column of the chosen model.

    The decisions equal, byte for byte, those of `tradewind decide PLANS_OUT/SET.json --json` (with --predictor
    PLANS_OUT/predictor after --fit) on input lines with the id QUERY_ID@WILLINGNESS_TO_PAY, that
    willingness_to_pay_usd, and the body {"model": "auto", "messages": [{"role": "user", "content": TEXT}]},
    spaces included: input tokens are estimated from the bytes of the body.
    """
    output.need_training()
    output.need_folder(plans_out, report)
    output.need_file(decisions_out)
    from tradewind.cli.progress import Progress
    from tradewind.training import evaluate as evaluation

    if router:
        # As `python -m` has it: an installed command does not look there.
        sys.path.insert(0, str(Path.cwd()))
    chosen = evaluation.Options(
        data=data,
        sets=output.names(sets),
        predictor=predictor,
        fit=options.listed(fit) or (),
        router=options.listed(router) or (),
        split=split,
        plans_out=plans_out,
        decisions_out=decisions_out,
        report=report,
        seed=seed,
    )
    with Progress() as progress:
        document = evaluation.run(chosen, progress.say)
        progress.end()
    if as_json:
        output.document(document)
    else:
        show(document)


SHOWN = {"aiq": "AIQ", "score": "score", "saved_at_best_single": "saved", "apgr": "APGR"}
"""Metrics of the table of routers, and their columns."""


def show(document: dict[str, Any]) -> None:
    """A table of routers and one of the first one's figures for each set, for people."""
    from rich.table import Table

    console = output.tables()
    for name, scores in document["sets"].items():
        title = f"{name}: {scores['n']} questions, {len(scores['models'])} models"
        routers = Table("router", "domain", *SHOWN.values(), "over Zero", title=title, title_justify="left")
        routers.columns[0].overflow = "fold"
        for router, figures in scores["routers"].items():
            cells = ["–" if (found := figures[metric]) is None else f"{found['value']:.4f}" for metric in SHOWN]
            routers.add_row(router, scores["domains"][router], *cells, _signed(scores["over_zero"][router]["difference"]))
        console.print(routers)
        for flag in scores["flags"]:
            console.print(f"beware: {flag['router']}: {flag['message']}", markup=False)
        title = f"{name}: {document['router']}"
        table = Table("", "value", "95 %", title=title, title_justify="left")
        first = next(iter(scores["routers"].values()))
        for metric, value in first.items():
            if value is not None:
                table.add_row(metric, f"{value['value']:.4g}", f"{value['low']:.4g} to {value['high']:.4g}")
        console.print(table)
        missing = [metric for metric, value in first.items() if value is None]
        if missing:
            console.print(f"no value: {', '.join(missing)}", markup=False)


def _signed(value: dict[str, float] | None) -> str:
    return "–" if value is None else f"{value['value']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
