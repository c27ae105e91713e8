"""`tradewind calibrate`: the setting of a policy that reaches a goal on your own log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.cli.fraction import fraction
from tradewind.cli.options import Executor
from tradewind.cli.savings import dollars, left_out, percent, quality, short, went_to
from tradewind.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from tradewind.calibration.goals import Goal

WANTED = {
    "share": "{target:.4g} of the calls to {of}",
    "saving": "{target:.4g} of the cost of always calling {baseline} saved",
    "quality_floor": "A mean forecast quality of {target:.4g}",
}
"""By kind of goal."""


def calibrate(
    log: options.Log,
    share: Annotated[
        str | None, typer.Option(help="Share of calls that go to another model than their cheapest, such as 30%.")
    ] = None,
    saving: Annotated[str | None, typer.Option(help="Share of the baseline's cost that is saved, such as 50%.")] = None,
    quality_floor: Annotated[str | None, typer.Option(help="Mean forecast quality, such as 0.8, at the least cost.")] = None,
    of: Annotated[str | None, typer.Option(help="With --share: the model whose share it is, by id or name.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model that savings are measured against; the best on average where absent.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Policy, as namespace/name, where the log has calls of several.")] = None,
    config: options.Config = None,
    alias: options.Alias = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    executor: options.ExecutorOption = Executor.native,
    tenant: options.Tenant = "default",
    seed: Annotated[int, typer.Option(min=0, help="Draw of the bootstrap.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Find the willingness to pay, or the quality floor, that gives a share of calls, a saving or a quality on a log.

    Strategy Utility has a willingness to pay, strategy Cheapest a floor. A target that cannot be reached is status 1, with
    what can be.
    """
    goal = _goal({"--share": share, "--saving": saving, "--quality-floor": quality_floor})
    if of is not None and share is None:
        raise UsageError("--of names the model of a --share", "--of")
    from tradewind.calibration import calibrate as calibration
    from tradewind.calibration.inputs import Inputs

    given = Inputs(log, config, predictor, predictor_cache, executor.value, alias, tenant, seed)
    document = calibration.run(given, calibration.Wish(goal, of, baseline, policy))
    if as_json:
        output.document(document)
    else:
        show(document)
    raise typer.Exit(0 if document["met"] and not document["unusable"]["n"] else 1)


def _goal(given: dict[str, str | None]) -> Goal:
    from tradewind.calibration import goals

    kinds: dict[str, Callable[[float], Goal]] = {
        "--share": goals.Share,
        "--saving": goals.Saving,
        "--quality-floor": goals.QualityFloor,
    }
    asked = {flag: text for flag, text in given.items() if text is not None}
    if len(asked) != 1:
        raise UsageError(f"exactly one of {', '.join(kinds)} says what is to be reached; {len(asked)} are given")
    ((flag, text),) = asked.items()
    return kinds[flag](fraction(text, flag))


def show(document: dict[str, Any]) -> None:
    """For people."""
    console = output.tables()
    for sentence in sentences(document):
        console.print(sentence, markup=False, soft_wrap=True)
    console.print(before_and_after(document))
    console.print(went_to(document["models"]))
    for other, count in document["other_policies"].items():
        console.print(f"{count} calls are taken by policy {other}, and do not count here", markup=False, soft_wrap=True)
    left_out(console, document["unusable"])
    if document["yaml"] is not None:
        console.print(f"For the spec of policy {document['policy']}, beside what else it has:", markup=False, soft_wrap=True)
        console.print(f"  {document['yaml']}", markup=False, soft_wrap=True)


def before_and_after(document: dict[str, Any]) -> Table:
    """What the found setting comes to, beside the present one."""
    from rich.table import Table

    then, now = document["achieved"], document["now"]
    against = short(document["baseline"])
    table = Table("", f"now: {now['value']:g}", f"at {document['value']}", title=f"{document['n']} calls", title_justify="left")
    of = document["goal"]["of"]
    table.add_row(f"share of {of}" if of else "share not of the cheapest", percent(now["share"]), percent(then["share"]))
    table.add_row("cost", dollars(now["cost_usd"]), dollars(then["cost_usd"]))
    table.add_row(f"saved against always {against}", percent(now["saved"]), percent(then["saved"]))
    table.add_row("forecast quality", quality(now["quality"]), quality(then["quality"]))
    if now["refused"]:
        table.add_row("refused", str(now["refused"]), str(then["refused"]))
    return table


def sentences(document: dict[str, Any]) -> list[str]:
    """What was found, in words."""
    goal, interval, can = document["goal"], document["interval"], document["achievable"]
    of = goal["of"] or "another model than their cheapest"
    wanted = WANTED[goal["kind"]].format(target=goal["target"], of=of, baseline=document["baseline"])
    name = document["field"]
    if document["met"]:
        between = f"{interval['low']:.9g} to {interval['high']:.9g}"
        said = [f"{wanted}: this is reached at {name} {document['value']} (95 %: {between})."]
        if document["met_in_samples"] < 1:
            said.append(f"In {1 - document['met_in_samples']:.1%} of samples of these calls it cannot be reached.")
        return said
    within = can["low"] <= goal["target"] <= can["high"]
    why = "calls move together" if within else f"{document['movable']} of {document['n']} calls depend on {name}"
    return [
        f"{wanted}: this cannot be reached. From {can['low']:.6g} to {can['high']:.6g} can be, and {why}. "
        f"The nearest is at {name} {document['value']}."
    ]
