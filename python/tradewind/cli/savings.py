"""`tradewind savings`: what routing would have cost on your own log, against always calling one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.cli.options import Executor

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table


def savings(
    log: options.Log,
    baseline: Annotated[str, typer.Option(help="Model that would be called without routing, by id or name.")],
    config: options.Config = None,
    curve: Annotated[bool, typer.Option("--curve", help="Also over a grid of the willingness to pay.")] = False,
    alias: options.Alias = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    executor: options.ExecutorOption = Executor.native,
    tenant: options.Tenant = "default",
    seed: Annotated[int, typer.Option(min=0, help="Draw of strategies that randomise, and of the bootstrap.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Say what routing would have cost on a log, and how good it is forecast to be, against always calling one model.

    Costs and qualities are forecasts for both, on the same calls. Intervals are 95 %, bootstrapped over calls.
    """
    from tradewind.calibration import savings as saved
    from tradewind.calibration.inputs import Inputs

    given = Inputs(log, config, predictor, predictor_cache, executor.value, alias, tenant, seed)
    document = saved.run(given, baseline, curve)
    if as_json:
        output.document(document)
    else:
        show(document)
    raise typer.Exit(1 if document["unusable"]["n"] else 0)


def show(document: dict[str, Any]) -> None:
    """For people."""
    from rich.table import Table

    console = output.tables()
    name = short(document["baseline"])
    table = Table("", f"always {name}", "routed", "difference", title=f"{document['n']} calls", title_justify="left")
    table.add_row(
        "cost",
        dollars(document["baseline_cost_usd"]),
        dollars(document["routed_cost_usd"]),
        f"{percent(document['saved'])} saved",
    )
    table.add_row(
        "forecast quality",
        quality(document["baseline_quality"]),
        quality(document["routed_quality"]),
        quality(document["quality_difference"], sign="+"),
    )
    console.print(table)
    console.print(went_to(document["models"]))
    if document["curve"] is not None:
        console.print(curve_table(document["curve"]))
    for sentence in sentences(document):
        console.print(sentence, markup=False, soft_wrap=True)
    left_out(console, document["unusable"])


def went_to(models: list[dict[str, Any]]) -> Table:
    """Which models the calls go to."""
    from rich.table import Table

    table = Table("model", "calls", "share", "cost")
    for row in models:
        table.add_row(row["model"], str(row["calls"]), f"{row['share']:.1%}", f"${row['cost_usd']:.6f}")
    return table


def curve_table(curve: list[dict[str, Any]]) -> Table:
    """A row for each willingness to pay."""
    from rich.table import Table

    table = Table("willingness to pay", "cost", "saved", "forecast quality", "most called")
    for row in curve:
        most = row["models"][0]
        table.add_row(
            f"${row['willingness_to_pay_usd']:g}",
            f"${row['routed_cost_usd']['value']:.6f}",
            percent(row["saved"]),
            quality(row["routed_quality"]),
            f"{short(most['model'])} {most['share']:.0%}",
        )
    return table


def sentences(document: dict[str, Any]) -> list[str]:
    """What the tables mean, and what they do not."""
    name, cannot, seen = short(document["baseline"]), document["baseline_cannot"], document["observed"]
    said = [summary(document, name), *(policy(row) for row in document["policies"])]
    if cannot["n"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in cannot["reasons"].items())
        said.append(f"{cannot['n']} calls are not compared, because {name} could not have answered them: {reasons}.")
    if seen is not None:
        said.append(
            f"Of {seen['calls']} calls with observed usage, {seen['n']} can be compared: they cost ${seen['cost_usd']:.6f}; "
            f"the forecast for the same models is ${seen['forecast_cost_usd']:.6f}."
        )
    said.append(
        "Costs and qualities are forecasts, not measurements. The intervals tell what other calls of this kind would give, and "
        "not how wrong a forecast is."
    )
    return said


def summary(document: dict[str, Any], name: str) -> str:
    """The figures in one sentence."""
    always, instead, before, after = (
        document[figure]["value"] for figure in ("baseline_cost_usd", "routed_cost_usd", "baseline_quality", "routed_quality")
    )
    return (
        f"Always calling {name} would have cost ${always:.6f}, routing ${instead:.6f}; "
        f"answers are forecast to be good with {before:.1%} and {after:.1%}."
    )


def policy(row: dict[str, Any]) -> str:
    """Which calls a policy took, and where its dial stands."""
    more = ""
    if "willingness_to_pay_usd" in row:
        more = f", where a perfect answer is worth ${row['willingness_to_pay_usd']:g} more than a useless one"
    if "min_quality" in row:
        more = f", with the floor {row['min_quality']:g}"
    return f"{row['calls']} calls by policy {row['policy']}, strategy {row['strategy']}{more}."


def left_out(console: Console, unusable: dict[str, Any]) -> None:
    """Lines that could not be used: how many for each reason, and the first of them."""
    for reason, count in unusable["reasons"].items():
        lines = f"{count} line{'' if count == 1 else 's'} left out, {reason}"
        listed = (line for line in unusable["lines"] if line["code"] == reason)
        example = next((f"; the first is {line['place']}: {line['message']}" for line in listed), "")
        console.print(lines + example, markup=False, soft_wrap=True)


def dollars(interval: dict[str, float | None]) -> str:
    """An amount with its interval."""
    return _with(interval, lambda usd: f"${usd:.6f}")


def percent(interval: dict[str, float | None]) -> str:
    """A share with its interval."""
    return _with(interval, lambda share: f"{share:.1%}")


def quality(interval: dict[str, float | None], sign: str = "") -> str:
    """A quality, or a difference of two, with its interval."""
    return _with(interval, lambda value: f"{value:{sign}.4f}")


def _with(interval: dict[str, float | None], written: Callable[[float], str]) -> str:
    value, low, high = interval["value"], interval["low"], interval["high"]
    if value is None:
        return "unknown"
    return written(value) if low is None or high is None else f"{written(value)} ({written(low)} to {written(high)})"


def short(model: str) -> str:
    """`name` of `namespace/pool/name`."""
    return model.split("/", 2)[2]
