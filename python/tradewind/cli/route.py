"""`tradewind route`: one decision, for people: who else was there, and what would have changed the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.cli import options, output
from tradewind.cli.options import Executor

if TYPE_CHECKING:
    from rich.table import Table

    from tradewind.engine import Explanation


def route(
    text: Annotated[str, typer.Argument(help="A prompt.")],
    config: options.Config = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    executor: options.ExecutorOption = Executor.native,
    model: Annotated[str, typer.Option(help="Alias or model asked for.")] = "auto",
    willingness_to_pay: Annotated[
        float | None,
        typer.Option(min=0, help="USD per request for quality from 0 to 1, in place of the policy's."),
    ] = None,
    tenant: options.Tenant = "default",
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Decide on one prompt, and say why."""
    from tradewind.engine import Engine, text_body

    engine = Engine.from_config(config, predictor_at=predictor, predictor_cache=predictor_cache, executor=executor.value)
    body = text_body(text, model)
    explanation = engine.explain(body, tenant=tenant, willingness_to_pay_usd=willingness_to_pay, seed=seed)
    if as_json:
        output.document(explanation.document())
        return
    console = output.tables()
    console.print(candidates(explanation))
    for sentence in sentences(explanation):
        console.print(sentence, markup=False, soft_wrap=True)


def candidates(explanation: Explanation) -> Table:
    """The candidates, best first, then the refused."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = explanation.decision
    title = f"{made.route} · {made.input_tokens} tokens in"
    table = Table("model", "quality", "cost", "out", "utility", "", title=title, box=SIMPLE, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:5]:
        column.justify = "right"
    refused = [candidate for candidate in made.candidates if not candidate.admitted]
    for candidate in (*made.ranking, *refused):
        chosen = candidate is made.chosen
        table.add_row(
            candidate.name,
            f"{candidate.quality:.3f} ±{candidate.quality_sd:.3f}",
            dollars(candidate.cost_usd),
            str(candidate.output_tokens),
            f"{candidate.utility:+.6f}" if candidate.utility is not None else "",
            "chosen" if chosen else f"no: {candidate.reason}" if candidate.reason else "",
            style="bold" if chosen else None if candidate.admitted else "dim",
        )
    return table


def sentences(explanation: Explanation) -> list[str]:
    """What a person asks next, answered."""
    made, second = explanation.decision, explanation.runner_up
    said = [
        f"Chosen: {made.chosen.name}, which is forecast to answer well with {made.chosen.quality:.1%}, "
        f"for {dollars(made.chosen.cost_usd)}."
    ]
    if second is not None and made.chosen.utility is not None and second.utility is not None:
        said.append(
            f"Runner-up: {second.name}. Utility (willingness to pay × quality − cost): "
            f"${made.chosen.utility:.6f} against ${second.utility:.6f}."
        )
    elif second is not None:
        said.append(f"Runner-up: {second.name}.")
    if made.objective.relaxed:
        said.append(f"No model satisfies every limit; relaxed: {', '.join(made.objective.relaxed)}.")
    if made.objective.willingness_to_pay_usd is None:
        return said
    said.append(f"A perfect answer is worth {dollars(made.objective.willingness_to_pay_usd)} more than a useless one.")
    for side, flip in (("Above", explanation.above), ("Below", explanation.below)):
        if flip is not None:
            model = flip.model.split("/", 2)[2]
            said.append(f"{side} {dollars(flip.willingness_to_pay_usd)} the choice flips to {model}.")
    if explanation.above is None and explanation.below is None and not made.objective.relaxed:
        said.append("No willingness to pay changes the choice.")
    return said


def dollars(usd: float) -> str:
    """An amount with enough places to tell it from nothing."""
    return f"${usd:.4f}" if usd >= 0.1 else f"${usd:.6f}"
