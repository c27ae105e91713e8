"""A gateway with keys behind both doors, before one simulator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest
from place import Place

import doors
import routing
from tradewind import core
from tradewind.artifacts import plan, predictor

KEY = "sk-of-a-client"


@pytest.fixture(scope="session")
def opened(graph: bytes) -> Iterator[doors.Doors]:
    with core.Simulator(models=routing.SIMULATED) as simulator:
        models = [routing.model(name, f"{simulator.url}/v1", like=name) for name in routing.PRICES]
        digest = predictor.digest_of(graph)
        utility = {"type": "utility", "utility": {"willingness_to_pay_usd": 0.0001}}
        capped = plan.Constraints(max_request_nanousd=0)
        routes = (
            routing.route("auto", digest, models, utility),
            routing.route("capped", digest, models, "best", constraints=capped),
        )
        source = routing.source(models, routes).to_json()
        keys = {"keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenant": "default"}]}
        with doors.opened(source, [graph], keys=json.dumps(keys).encode()) as both:
            yield both


@pytest.fixture(params=doors.NAMES)
def place(request: pytest.FixtureRequest, opened: doors.Doors) -> Place:
    """Each door in turn."""
    return Place(f"{opened.url(request.param)}/v1", KEY)
