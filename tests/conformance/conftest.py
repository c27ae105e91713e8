"""A world for each executor, and the two doors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import world
from world import World

import doors
from tradewind import core


@pytest.fixture(scope="session", params=core.tables()["executors"])
def executor_world(request: pytest.FixtureRequest, graph: bytes) -> Iterator[World]:
    """The world with an executor; every test runs with each."""
    with world.opened(graph, request.param) as opened:
        yield opened


@pytest.fixture(params=doors.NAMES)
def door(request: pytest.FixtureRequest) -> str:
    """A door; every test that asks for it runs through both."""
    name: str = request.param
    return name
