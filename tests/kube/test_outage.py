"""Gateways start and serve while the API server and the controller are away."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import teams
from cluster import Cluster
from install import Install, installed
from teams import Team
from traffic import Traffic

from simulators import Upstream, upstreams


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture
def made(cluster: Cluster, tmp_path: Path) -> Iterator[Install]:
    """A controller, and gateways that keep a plan as soon as they serve it."""
    with installed(cluster, tmp_path) as made:
        made.add_controllers()
        made.start_controllers()
        for gateway in made.start_gateways(2, plan_cache_after_s="0"):
            gateway.wait()
        yield made


@pytest.fixture
def team(made: Install, upstream: Upstream) -> Iterator[Team]:
    """A team whose policy is Ready."""
    with teams.team(made, upstream.url) as found:
        found.ready()
        yield found


def test_what_served_well_serves_on_and_starts_again_with_nobody_to_ask(made: Install, team: Team, cluster: Cluster) -> None:
    first, second = made.gateways
    kept = first.folder / "plans" / "current.plan"
    teams.until(lambda: f"{team.name}/default" in kept.read_text(), what="the plan is kept")
    with Traffic(team, [second]):
        made.controllers[0].end()
        cluster.apiserver.kill()
        try:
            first.end()
            first.start()
            assert teams.until(lambda: httpx.get(first.readiness_url()).status_code == 200, 5) < 5
            answer = team.ask(first)
            assert (answer.status_code, answer.headers["x-tradewind-model"]) == (200, f"{team.name}/chat/small")
            assert first.plan()["plan"] == second.plan()["plan"]
            assert {row["state"] for row in first.plan()["sync"]["controllers"]} == {"disconnected"}
        finally:
            cluster.apiserver.start()
            cluster.ready()
        made.controllers[0].start()
        made.controllers[0].wait()
        first.wait()
        team.take("second")
        team.until("Programmed", "Programmed", within_s=30)
    assert [team.ask(gateway, "second").status_code for gateway in made.gateways] == [200, 200]


def test_a_new_gateway_begins_with_the_published_plan_while_no_controller_answers(made: Install, team: Team) -> None:
    """Keys come from a controller alone: until then it is not Ready, and calls are told to try again."""
    found = made.namespace.api.get(made.namespace.path("configmaps", "tradewind-plan"))
    mounted = made.folder / "mounted"
    mounted.mkdir()
    (mounted / "plan.json.gz").write_bytes(base64.b64decode(found["binaryData"]["plan.json.gz"]))
    (controller,) = made.controllers
    controller.kill()
    new = made.add_gateway("--bootstrap-plan", str(mounted))
    new.start()
    assert new.plan()["plan"] == found["data"]["planId"]
    assert new.plan()["routes"] == [f"{team.name}/default"]
    assert httpx.get(new.readiness_url()).json()["error"]["code"] == "identity_unavailable"
    refused = team.ask(new)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "identity_unavailable")
    controller.start()
    controller.wait()
    teams.until(lambda: team.ask(new).status_code == 200, 20, "keys come")
    assert httpx.get(new.readiness_url()).status_code == 200
    team.take("second")
    team.until("Programmed", "Programmed", within_s=30)
    assert team.ask(new, "second").status_code == 200


def test_a_gateway_without_plan_and_controller_is_not_ready(made: Install) -> None:
    made.controllers[0].kill()
    new = made.add_gateway()
    new.start()
    assert httpx.get(new.readiness_url()).status_code == 503
    made.controllers[0].start()
    made.controllers[0].wait()
    new.wait()
