"""A gateway for tests of the app itself, before scripted and simulated upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import doors
import routing
from doors import Gateways
from tradewind import core
from tradewind.artifacts import predictor


@pytest.fixture
def gateway_to(graph: bytes) -> Iterator[Gateways]:
    """Builds gateways with a route `auto` to one model, `m`, at a URL; ends them."""
    with ExitStack() as ends:

        def build(url: str, **more: object) -> core.Gateway:
            model = routing.model("m", url)
            routes = (routing.route("auto", predictor.digest_of(graph), [model], "best", retry_attempts=0),)
            source = routing.source([model], routes).to_json()
            gateway = core.Gateway(source, [graph], settings={**doors.SETTINGS, **more})
            ends.callback(gateway.drain)
            return gateway

        yield build
