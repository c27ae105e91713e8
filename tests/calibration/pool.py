"""Logs and configurations for tests of calibration: four models of the tiny predictor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import routing

MODELS = tuple(routing.PRICES)
UTILITY = 'strategy: {type: Utility, utility: {willingnessToPayUSD: "0.002"}}'
CHEAPEST = "strategy: {type: Cheapest}"


def config(folder: Path, policy: str = UTILITY, models: Iterable[str] = MODELS, more: str = "") -> Path:
    """A file with a pool and a policy `default/default`, whose spec goes on with `policy`, a line each."""
    lines = ["apiVersion: tradewind.dev/v1alpha1", "kind: ModelPool", "metadata: {name: chat}", "spec:", "  models:"]
    for name in models:
        given, taken = routing.PRICES[name]
        context = 64 if name == "small" else 32768
        lines += [
            f"  - name: {name}",
            '    upstream: {url: "http://127.0.0.1:4100/v1"}',
            f'    price: {{inputPerMillion: "{given}", outputPerMillion: "{taken}"}}',
            f"    limits: {{contextTokens: {context}, outputTokens: 64}}",
            f"    quality: {{profile: {name}}}",
        ]
    lines += ["---", "apiVersion: tradewind.dev/v1alpha1", "kind: RoutingPolicy", "metadata: {name: default}", "spec:"]
    lines += ["  poolRefs: [{name: chat}]", *(f"  {line}" for line in policy.splitlines())]
    file = folder / "config.yaml"
    file.write_text("\n".join(lines) + "\n" + more)
    return file


def log(folder: Path, lines: Iterable[Mapping[str, Any] | str]) -> Path:
    """A log; a string is a line as it is."""
    file = folder / "calls.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return file


def texts(count: int) -> list[dict[str, Any]]:
    """Calls from easy to hard."""
    return [
        {"id": f"call-{number}", "text": "Explain it in depth. " * (number % 17) + "Why?" * number} for number in range(count)
    ]
