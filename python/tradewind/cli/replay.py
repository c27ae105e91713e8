"""`tradewind replay`: recorded calls decided again by a plan, and what that would have changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.cli.ledger import outcomes
from tradewind.cli.options import Executor

if TYPE_CHECKING:
    from tradewind.artifacts.outcome import Outcome
    from tradewind.core import Planner

MOST_SHOWN = 1000
"""Differences listed; all are counted."""


def replay(
    ledger: Annotated[Path, typer.Option(help="Folder of the outcome log, or one of its files.")],
    plan: Annotated[Path, typer.Option(help="Plan source (.json), or folder or file of resources.")],
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    executor: options.ExecutorOption = Executor.native,
    as_json: options.Json = False,
) -> None:
    """Decide recorded calls again: how many choices differ, cost and forecast quality then and now."""
    from tradewind import core, engine
    from tradewind.artifacts import predictor as predictors

    loaded = engine.load(plan, predictors.read(predictor), predictor_cache)
    tally = Tally(core.Planner(loaded.plan, loaded.predictors.graphs, executor.value))
    for outcome in outcomes(ledger):
        tally.add(outcome)
    document = tally.document()
    if as_json:
        output.document(document)
    else:
        show(document)
    raise typer.Exit(1 if tally.differing or tally.errors else 0)


@dataclass
class Tally:
    """What replaying came to, call by call."""

    planner: Planner
    calls: int = 0
    replayed: int = 0
    not_captured: int = 0
    differing: int = 0
    actual_cost_nanousd: int = 0
    then: list[tuple[int, float]] = field(default_factory=list)
    """(cost, quality) that this plan forecasts of the models chosen then."""
    now: list[tuple[int, float]] = field(default_factory=list)
    """The same of the models chosen now."""
    differences: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Decides one recorded call again."""
        from tradewind.artifacts import decision
        from tradewind.errors import NoCandidate, TradewindError

        self.calls += 1
        capture = outcome.document.get("capture") or {}
        if capture.get("kind", "none") == "none":
            self.not_captured += 1
            return
        try:
            made = decision.from_json(self.planner.decide_again(json.dumps(capture).encode(), outcome.id))
        except NoCandidate as error:
            self.replayed += 1
            self._differs(outcome, None, error.code)
            return
        except TradewindError as error:
            self.errors.append(
                {
                    "id": outcome.id,
                    "error": {"code": error.code, "message": error.message, "path": error.path},
                }
            )
            return
        self.replayed += 1
        self.actual_cost_nanousd += outcome.cost_nanousd
        self.now.append((made.chosen.cost_nanousd, made.chosen.quality))
        was = next((candidate for candidate in made.candidates if candidate.model == outcome.chosen), None)
        if was is not None:
            self.then.append((was.cost_nanousd, was.quality))
        if made.chosen.model != outcome.chosen:
            self._differs(outcome, made.chosen.model, None)

    def _differs(self, outcome: Outcome, now: str | None, error: str | None) -> None:
        self.differing += 1
        if len(self.differences) < MOST_SHOWN:
            self.differences.append({"id": outcome.id, "then": outcome.chosen, "now": now, "error": error})

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "plan": self.planner.id,
            "calls": self.calls,
            "replayed": self.replayed,
            "not_captured": self.not_captured,
            "differing": self.differing,
            "actual_cost_usd": self.actual_cost_nanousd / 1e9,
            "then": _forecast(self.then),
            "now": _forecast(self.now),
            "differences": self.differences,
            "errors": self.errors,
        }


def show(document: dict[str, Any]) -> None:
    """For people."""
    console = output.tables()
    console.print(f"{document['replayed']} of {document['calls']} calls replayed, {document['differing']} differ")
    for name in ("then", "now"):
        given = document[name]
        quality = f"{given['quality']:.4f}" if given["quality"] is not None else "unknown"
        console.print(f"{name}: cost ${given['cost_usd']:.6f}, mean quality {quality}, forecast of {given['n']} calls")
    for difference in document["differences"][:20]:
        console.print(
            f"  {difference['id']}: {difference['then']} → {difference['now'] or difference['error']}",
            markup=False,
        )
    for error in document["errors"][:20]:
        console.print(f"  {error['id']}: {error['error']['message']}", markup=False)


def _forecast(chosen: list[tuple[int, float]]) -> dict[str, Any]:
    quality = sum(quality for _, quality in chosen) / len(chosen) if chosen else None
    return {"n": len(chosen), "cost_usd": sum(cost for cost, _ in chosen) / 1e9, "quality": quality}
