"""`tradewind bench decide`: body bytes → decision, parse included, by prompt tokens, from Rust and from
Python.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.cli import options, output
from tradewind.cli.options import Executor

if TYPE_CHECKING:
    from tradewind.artifacts.plan import PlanSource
    from tradewind.artifacts.predictor import Artifact

WARM_UP = 500
"""Bodies of each size that warm caches and are not counted; a tenth where there are few. As
`gateway/src/load/decide.rs`.
"""


def decide(
    bodies: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of {body | text}; seeded ones of our own words where absent."),
    ] = None,
    models: Annotated[int, typer.Option(min=1, max=64, help="Candidates of the route.")] = 6,
    count: Annotated[int, typer.Option(min=1, help="Distinct bodies of each size.")] = 5000,
    executor: options.ExecutorOption = Executor.native,
    predictor: options.Predictor = None,
    core_number: Annotated[
        int | None, typer.Option("--core", min=0, help="Core to keep to; the last one where absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draw of the seeded bodies.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Time decisions on distinct bodies: in Rust, from Python with the body at hand, and from Python with
    the text alone.
    """
    from tradewind import core, engine
    from tradewind.artifacts import predictor as predictors

    pin(core_number)
    artifact = predictors.read(predictor)
    plan = synthetic(artifact, models).to_json()
    sized: dict[int, list[bytes]] = core.bench_bodies(output.read_input(bodies) if bodies else None, count, seed)
    planner = core.Planner(plan, [artifact.graph], executor.value)
    texts = {size: [_text(body) for body in group] for size, group in sized.items()}
    document = {
        "executor": executor.value,
        "models": models,
        "rust": core.bench_decide(plan, [artifact.graph], executor.value, sized),
        "python": timed(planner.decide, sized),
        "text": timed(lambda text: planner.decide(engine.text_body(text)), texts),
    }
    if as_json:
        output.document(document)
    else:
        show(document)


def pin(core_number: int | None) -> None:
    """Keeps this process to one core: the timings of two are not comparable."""
    import os

    allowed = sorted(os.sched_getaffinity(0))
    if core_number is not None and core_number not in allowed:
        from tradewind.errors import UsageError, unknown

        raise UsageError(unknown("core", str(core_number), [str(each) for each in allowed]), "--core")
    os.sched_setaffinity(0, {allowed[-1] if core_number is None else core_number})


def synthetic(artifact: Artifact, count: int) -> PlanSource:
    """A plan with this many models, whose profiles are the predictor's in turn."""
    from tradewind.artifacts import plan

    profiles = plan.table(artifact.profiles.values())
    keys = list(profiles)
    models = tuple(
        plan.Model(
            id=f"default/bench/model-{index}",
            upstream=plan.Upstream("http://127.0.0.1:4100/v1", "openai", f"model-{index}"),
            price=plan.Price(10_000_000 * 2**index, 40_000_000 * 2**index) if index < 12 else plan.Price(index, index),
            limits=plan.Limits(128_000, 16_384),
            profile=keys[index % len(keys)],
            capabilities=("json", "tools"),
        )
        for index in range(count)
    )
    route = plan.Route(
        id="default/bench",
        aliases=("auto",),
        predictor=artifact.digest,
        candidates=tuple(model.id for model in models),
        strategy={"type": "utility", "utility": {"willingness_to_pay_usd": 0.01}},
    )
    return plan.PlanSource(profiles, models, (route,))


def timed(call: Callable[[Any], object], groups: Mapping[int, Sequence[Any]]) -> dict[str, dict[str, float]]:
    """Times a call on each input, one by one, by size."""
    found: dict[str, dict[str, float]] = {}
    clock = time.perf_counter_ns
    for size, inputs in groups.items():
        samples: list[int] = []
        for given in inputs:
            started = clock()
            call(given)
            samples.append(clock() - started)
        found[str(size)] = figures(samples[min(WARM_UP, len(samples) // 10) :])
    return found


def figures(samples: Sequence[int]) -> dict[str, float]:
    """Percentiles in microseconds (nearest rank) and calls per second, from nanoseconds."""
    ordered = sorted(samples)

    def at(share: float) -> float:
        return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)] / 1e3

    return {
        "p50_us": at(0.5),
        "p90_us": at(0.9),
        "p99_us": at(0.99),
        "n": len(ordered),
        "per_s_core": len(ordered) / (sum(ordered) / 1e9),
    }


def show(document: dict[str, Any]) -> None:
    """A table for people."""
    from rich.table import Table

    table = Table("from", "tokens", "p50 µs", "p90 µs", "p99 µs", "per second and core", "n")
    for way in ("rust", "python", "text"):
        for size, row in document[way].items():
            cells = (f"{row[name]:.1f}" for name in ("p50_us", "p90_us", "p99_us"))
            table.add_row(way, size, *cells, f"{row['per_s_core']:,.0f}", str(row["n"]))
    output.tables().print(table)


def _text(body: bytes) -> str:
    content = json.loads(body)["messages"][-1]["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)
