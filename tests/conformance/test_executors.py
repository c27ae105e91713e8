"""Both executors read the same graph: what they forecast agrees, and so does what is chosen."""

from __future__ import annotations

import json

import pytest
import world
from cases import LONG, ask

from tradewind import core
from tradewind.artifacts import predictor

PROMPTS = ["Hi", "Why is the sky blue?", LONG, "证明这个定理。", "def f(x):\n    return x + 1", "\N{WAVING HAND SIGN}" * 40]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt[:12])
@pytest.mark.parametrize("strategy", [name for name in world.STRATEGIES if name != "weighted"])
def test_forecasts_agree_to_one_in_ten_thousand(graph: bytes, strategy: str, prompt: str) -> None:
    url = "http://127.0.0.1:9"
    source = world.plan_source(url, url, predictor.digest_of(graph)).to_json()
    body = json.dumps(ask(strategy, prompt)).encode()
    native, other = (
        json.loads(core.Planner(source, [graph], executor).decide(body)) for executor in core.tables()["executors"]
    )
    assert [candidate["quality"] for candidate in other["candidates"]] == pytest.approx(
        [candidate["quality"] for candidate in native["candidates"]], abs=1e-4
    )
    assert (other["chosen"], other["ranking"]) == (native["chosen"], native["ranking"])
