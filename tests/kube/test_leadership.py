"""Two replicas of the controller: one leads, and what one that does not knows better is not believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import audit
import httpx
import pollers
import pytest
import teams
from cluster import Cluster
from install import Controller, Install, installed
from teams import Team
from traffic import Traffic

from simulators import Upstream, upstreams

LEASE = "tradewind-controller"
PLAN = "tradewind-plan"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture
def made(cluster: Cluster, tmp_path: Path) -> Iterator[Install]:
    """Two controllers and a gateway."""
    with installed(cluster, tmp_path) as made:
        made.add_controllers(2)
        made.start_controllers()
        (gateway,) = made.start_gateways()
        gateway.wait()
        yield made


@pytest.fixture
def team(made: Install, upstream: Upstream) -> Iterator[Team]:
    """A team whose policy is Ready."""
    with teams.team(made, upstream.url) as found:
        found.ready()
        yield found


def replicas(made: Install) -> tuple[Controller, Controller]:
    """The leader, and the other."""
    leader = holder(made)
    first, second = made.controllers
    return (first, second) if first.name == leader else (second, first)


def holder(made: Install) -> str:
    """Who has the lease; empty where nobody has."""
    lease = made.namespace.api.find(made.namespace.path("leases", LEASE)) or {"spec": {}}
    name: str = lease["spec"].get("holderIdentity") or ""
    return name


def leaders(made: Install) -> list[str]:
    """Those that run and say that they lead."""
    return [controller.name for controller in made.controllers if controller.child.alive and says_that_it_leads(controller)]


def says_that_it_leads(controller: Controller) -> bool:
    """It may end at any moment, where it has lost the lease."""
    try:
        return "\ntradewind_controller_leader 1.0" in controller.metrics()
    except httpx.TransportError:
        return False


def plan(made: Install) -> Any:
    """The plan's ConfigMap."""
    return made.namespace.api.get(made.namespace.path("configmaps", PLAN))


def serials(made: Install, since: str) -> list[int]:
    """Of all plans that were published after a version of the cluster."""
    where, selector = made.namespace.path("configmaps"), f"metadata.name={PLAN}"
    events = made.namespace.api.watch(where, 1, fieldSelector=selector, resourceVersion=since)
    return [int(found["data"]["serial"]) for _, found in events]


def in_order(found: list[int]) -> bool:
    """Whether each plan has a serial of its own, larger than those before."""
    return found == sorted(set(found))


def test_another_takes_over_within_fifteen_seconds_of_a_kill(made: Install, team: Team) -> None:
    leader, other = replicas(made)
    since = plan(made)["metadata"]["resourceVersion"]
    with Traffic(team, made.gateways):
        leader.kill()
        began = time.monotonic()
        team.take("second")
        team.until("Programmed", "Programmed", within_s=15)
        print(f"taken over and programmed after {time.monotonic() - began:.1f} s")  # noqa: T201
    assert holder(made) == other.name
    assert leaders(made) == [other.name]
    assert team.ask(made.gateways[0], "second").status_code == 200
    assert len(serials(made, since)) == 1
    # What comes back follows.
    leader.start()
    leader.wait()
    team.take("third")
    team.until("Programmed", "Programmed")
    assert leaders(made) == [other.name]


def test_one_that_is_told_to_end_gives_the_lease_back(made: Install, team: Team) -> None:
    leader, other = replicas(made)
    leader.stop()
    team.take("second")
    team.until("Programmed", "Programmed", within_s=8)
    assert holder(made) == other.name


@pytest.mark.parametrize("reverted", [False, True], ids=["the edit stays", "the edit is taken back"])
def test_a_plan_that_was_offered_by_one_who_died_gives_way_to_a_higher_serial(
    made: Install, team: Team, reverted: bool
) -> None:
    leader, other = replicas(made)
    canary = pollers.gateway(made, "a-canary", made.controllers.index(leader))
    try:
        canary.until(lambda poller: poller.serial > 0)
        before = int(plan(made)["data"]["serial"])

        def die(answer: pollers.Answer) -> None:
            if answer["serial"] > before and leader.child.alive:
                leader.child.kill()
                canary.turn_to(other)

        canary.refuse = die
        team.take("second")
        canary.until(lambda poller: poller.serial == before + 1)
        canary.refuse = lambda _: None
        # It routes by what nobody else does.
        assert int(plan(made)["data"]["serial"]) == before
        assert team.ask(made.gateways[0], "second").status_code == 404
        if reverted:
            team.take()
        team.until("Programmed", "Programmed", within_s=20)
        canary.until(lambda poller: poller.serial > before + 1, 20)
        healed = plan(made)["data"]
        assert int(healed["serial"]) == before + 2
        teams.until(lambda: made.gateways[0].plan()["sync"]["serial"] == canary.serial == before + 2)
        assert made.gateways[0].plan()["plan"] == healed["planId"]
        assert team.ask(made.gateways[0], "second").status_code == (404 if reverted else 200)
    finally:
        canary.end()


def test_a_deleted_lease_comes_back_and_one_leads(made: Install, team: Team) -> None:
    since = plan(made)["metadata"]["resourceVersion"]
    with Traffic(team, made.gateways):
        for number in range(3):
            made.namespace.kubectl("delete", "lease", LEASE)
            team.take(f"edit-{number}")
            team.until("Programmed", "Programmed", within_s=15)
            teams.until(lambda: len(leaders(made)) == 1 and leaders(made) == [holder(made)], 20, "one leads")
            for controller in made.controllers:
                if not controller.child.alive:
                    # It lost the lease and ended; its container starts again.
                    controller.kill()
                    controller.start()
                    controller.wait()
    assert in_order(serials(made, since))


def updates(made: Install, controller: Controller) -> list[int]:
    """Statuses of what a controller sent to publish."""
    return audit.statuses(made.cluster.audit_log, controller.name, made.namespace.name, "update", "configmaps")


def test_what_a_stopped_leader_was_about_to_publish_is_refused_when_it_goes_on(made: Install, team: Team) -> None:
    leader, other = replicas(made)
    canary = pollers.gateway(made, "a-canary", made.controllers.index(leader))
    try:
        canary.until(lambda poller: poller.serial > 0)
        found = plan(made)
        before, since = int(found["data"]["serial"]), found["metadata"]["resourceVersion"]

        def stop(answer: pollers.Answer) -> None:
            if answer["serial"] > before:
                leader.pause()

        canary.refuse = stop
        team.take("stale")
        # It acknowledges, to one that cannot hear.
        canary.until(lambda poller: poller.serial == before + 1)
        canary.refuse = lambda _: None
        team.take("fresh")
        teams.until(lambda: team.ask(made.gateways[0], "fresh").status_code == 200, 20, "another takes over")
        assert holder(made) == other.name
        accepted = updates(made, leader).count(200)
        leader.resume()
        teams.until(lambda: not leader.child.alive, 15, "it ends")
        assert "leads no longer" in leader.child.log.read_text()
        # The one who took the stale plan is led back.
        canary.turn_to(other)
        team.until("Programmed", "Programmed")
        assert team.ask(made.gateways[0], "fresh").status_code == 200
        assert team.ask(made.gateways[0], "stale").status_code == 404
        assert canary.serial == int(plan(made)["data"]["serial"]) > before + 1
        assert in_order(serials(made, since))
        # Whatever it still sent was refused; it may have ended before it sent anything.
        assert updates(made, leader).count(200) == accepted
    finally:
        canary.end()
