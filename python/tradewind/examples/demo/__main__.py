"""`make demo`: prompts are routed, streamed, accounted; an upstream dies mid-run; then what was measured in earnest."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradewind.artifacts import outcome, predictor
from tradewind.artifacts.outcome import Outcome
from tradewind.engine import Engine
from tradewind.examples.demo.stage import Stage, open_stage

AT_ONCE = 6
IN_FLIGHT = 12
"""Calls that are waiting for their first byte when the upstream is killed."""
ROW = "{:<46} {:<22} {:>7} {:>10} {:>7}  {}"


@dataclass(frozen=True)
class Prompt:
    """One prompt of our own, which training has not seen."""

    text: str
    label: int
    """Difficulty 1 to 5, by a person."""


@dataclass(frozen=True)
class Answered:
    """What the client saw of one call."""

    prompt: Prompt
    model: str
    decide_us: str
    decision: dict[str, Any]
    text: str


def main() -> None:
    """The whole story."""
    console = Console(highlight=False, soft_wrap=True)
    prompts = [
        Prompt(row["text"], row["label"])
        for row in map(json.loads, (Path(__file__).parent / "prompts.jsonl").read_text(encoding="utf-8").splitlines())
    ]
    with tempfile.TemporaryDirectory(prefix="tradewind-demo-") as folder:
        with open_stage(Path(folder)) as stage:
            console.print(
                f"[bold]{len(stage.simulators)} simulated models at real prices, one process each; the decisions are real.[/]"
            )
            console.print(
                f"The unmodified `openai` client asks {stage.url}/v1 for the model `auto`; every second answer streams.\n"
            )
            answered = asyncio.run(play(stage, prompts, console))
        outcomes = [row for row in outcome.read(stage.ledger) if isinstance(row, Outcome)]
    totals(console, answered, outcomes)
    measured(console, prompts)


async def play(stage: Stage, prompts: Sequence[Prompt], console: Console) -> list[Answered]:
    """Half the prompts, the kill, the other half."""
    client = openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key="none", max_retries=0)
    console.print(ROW.format("prompt", "model", "quality", "est. cost", "decided", "why"), style="bold")
    half = len(prompts) // 2
    first = await ask_all(client, prompts[:half], console)
    await lose_an_upstream(stage, client, first, console)
    second = await ask_all(client, prompts[half:], console)
    await client.close()
    return first + second


async def ask_all(client: openai.AsyncOpenAI, prompts: Sequence[Prompt], console: Console) -> list[Answered]:
    """A few at once; each row is printed when its answer is complete."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(index: int, prompt: Prompt) -> Answered:
        async with places:
            answer = await ask(client, prompt, stream=index % 2 == 1)
            console.print(row(answer), markup=False)
            return answer

    return list(await asyncio.gather(*(one(index, prompt) for index, prompt in enumerate(prompts))))


async def ask(client: openai.AsyncOpenAI, prompt: Prompt, stream: bool) -> Answered:
    """One call through the SDK, and the decision that explains it."""
    messages: Any = [{"role": "user", "content": prompt.text}]
    decision = await client.post("/decide", body={"model": "auto", "messages": messages}, cast_to=object)
    raw = await client.chat.completions.with_raw_response.create(model="auto", messages=messages, stream=stream)
    answer: Any = raw.parse()
    if stream:
        pieces = [chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices]
        text = "".join(pieces)
    else:
        text = answer.choices[0].message.content or ""
    assert isinstance(decision, dict)
    return Answered(prompt, raw.headers["x-tradewind-model"], raw.headers["x-tradewind-decide-us"], decision, text)


def row(answer: Answered) -> str:
    """One line of the live table."""
    chosen = candidate(answer.decision, answer.model)
    return ROW.format(
        excerpt(answer.prompt.text, 46),
        short(answer.model),
        f"{chosen['quality']:.2f}",
        f"${chosen['cost_nanousd'] / 1e9:.6f}",
        f"{answer.decide_us} µs",
        why(answer.decision, answer.model),
    )


def why(decision: dict[str, Any], model: str) -> str:
    """The trade that was made, against the best forecast that was not taken or the cheapest."""
    if model != decision["chosen"]:
        return f"{short(decision['chosen'])} rests after its failure"
    admitted = [one for one in decision["candidates"] if one["admitted"]]
    chosen = candidate(decision, model)
    cheapest = min(admitted, key=lambda one: one["cost_nanousd"])
    best = max(admitted, key=lambda one: one["quality"])
    if chosen is not cheapest:
        return (
            f"+{chosen['quality'] - cheapest['quality']:.2f} over {short(cheapest['model'])} for ${dollars(chosen, cheapest)}"
        )
    return f"{short(best['model'])}: only +{best['quality'] - chosen['quality']:.2f} for ${dollars(best, chosen)}"


async def lose_an_upstream(stage: Stage, client: openai.AsyncOpenAI, so_far: Sequence[Answered], console: Console) -> None:
    """SIGKILL to the preferred upstream while calls wait for their first byte; each must be answered by another model."""
    preferred = Counter(answer.model for answer in so_far).most_common(1)[0][0]
    mine = [answer.prompt for answer in so_far if answer.model == preferred]
    calls = [asyncio.create_task(ask(client, mine[index % len(mine)], stream=index % 2 == 1)) for index in range(IN_FLIGHT)]
    # Long enough for the calls to be with the upstream, shorter than its first token takes.
    await asyncio.sleep(0.15)
    stage.kill(short(preferred))
    results = await asyncio.gather(*calls, return_exceptions=True)
    answered = Counter(short(result.model) for result in results if isinstance(result, Answered))
    lost = [result for result in results if isinstance(result, BaseException)]
    by = ", ".join(f"{name} {count}" for name, count in answered.most_common())
    console.print(
        f"\n[bold]kill -9 of {short(preferred)}, the preferred upstream, with {IN_FLIGHT} calls waiting for a first byte:[/] "
        f"{sum(answered.values())} answered ({by}), {len(lost)} lost\n"
    )
    for error in lost:
        console.print(f"lost: {error!r}", style="red")
    if lost:
        raise SystemExit(3)


def totals(console: Console, answered: Sequence[Answered], outcomes: Sequence[Outcome]) -> None:
    """What the ledger says, against always calling the best model."""
    cost = sum(one.cost_nanousd for one in outcomes) / 1e9
    baseline = sum(one.baseline_cost_nanousd or 0 for one in outcomes) / 1e9
    best = Counter(str(one.document.get("baseline_model")) for one in outcomes).most_common(1)[0][0]
    moved = sum(len(one.attempts) > 1 for one in outcomes)
    table = Table(
        "model",
        "calls",
        "share",
        "forecast quality",
        title="simulated answers, real decisions and prices",
        title_justify="left",
    )
    by_model: dict[str, list[Answered]] = {}
    for answer in answered:
        by_model.setdefault(answer.model, []).append(answer)
    for model, rows in sorted(by_model.items(), key=lambda item: -len(item[1])):
        quality = mean(candidate(one.decision, model)["quality"] for one in rows)
        table.add_row(short(model), str(len(rows)), f"{100 * len(rows) / len(answered):.0f} %", f"{quality:.2f}")
    console.print(table)
    routed = mean(candidate(one.decision, one.model)["quality"] for one in answered)
    always = mean(candidate(one.decision, best)["quality"] for one in answered)
    console.print(
        f"{len(outcomes)} outcomes in the ledger, {moved} of them answered by a second model. "
        f"Cost ${cost:.4f}; always {short(best)}: ${baseline:.4f}; saved {100 * (1 - cost / baseline):.0f} %. "
        f"Mean forecast quality {routed:.3f}, always {short(best)}: {always:.3f}. [dim](simulated token counts)[/]\n"
    )


def measured(console: Console, prompts: Sequence[Prompt]) -> None:
    """The artifact's own figures, from its manifest: real outcomes of real models."""
    artifact = predictor.read()
    manifest = artifact.manifest
    engine = Engine.from_config()
    outer = float(manifest["parameters"]["outer_radius"])
    beyond = sum(1 - max(engine.classify(prompt.text)["similarity"]) > outer for prompt in prompts)
    gates = manifest["gates"]
    console.print("[bold]Measured on real outcomes of real models, from the artifact's manifest:[/]")
    for one in gates.get("non_inferiority", {}).get("validation", []):
        console.print(f"held-out questions of {one['name']}, n = {one['n']}: {one['metric'].upper()} above Zero {figure(one)}")
    state = "passed" if gates["passed"] else gates.get("note", "not all passed, see manifest.json")
    console.print(f"Gates: {state}.")
    console.print("Zero is the best mix of single models that does not look at the prompt; 95 % intervals over questions.")
    for name, scores in dict(manifest["scores"]).items():
        zero, aiq = scores.get("zero"), scores.get("aiq")
        if aiq and zero:
            console.print(f"{name}, n = {scores['n']}: AIQ {figure(aiq)}, Zero {figure(zero)}")
    for name, frontier in dict(manifest["frontier"]).items():
        points = ", ".join(f"{quality:.3f} at ${cost:.6f}" for cost, quality in spread(frontier.get("router", [])))
        if points:
            console.print(f"frontier of {name}: {points}")
    console.print(
        f"{beyond} of {len(prompts)} demo prompts lie beyond the predictor's radius, where only the difficulty counts."
    )
    console.print(f"Trained by: {manifest['command']}. Repeat the figures: {manifest['scores_command']}", markup=False)


def spread(points: list[tuple[float, float]], most: int = 8) -> list[tuple[float, float]]:
    """At most so many of the points, from the first to the last."""
    step = max(1, -(-(len(points) - 1) // (most - 1)))
    return [*points[:-1:step], *points[-1:]]


def candidate(decision: dict[str, Any], model: str) -> dict[str, Any]:
    """A candidate of a decision by id."""
    found: dict[str, Any] = next(one for one in decision["candidates"] if one["model"] == model)
    return found


def dollars(more: dict[str, Any], less: dict[str, Any]) -> str:
    """The difference of two forecast costs."""
    return f"{(more['cost_nanousd'] - less['cost_nanousd']) / 1e9:.5f}"


def figure(value: dict[str, float]) -> str:
    """A score with its interval."""
    return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def short(model: str) -> str:
    """`name` of `namespace/pool/name`."""
    return model.split("/", 2)[-1]


def excerpt(text: str, width: int) -> str:
    """The start of a prompt on one line, as wide as it shows."""
    line = Text(" ".join(text.split()))
    line.truncate(width, overflow="ellipsis")
    return line.plain + " " * (width - line.cell_len)


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else 0.0


if __name__ == "__main__":
    main()
