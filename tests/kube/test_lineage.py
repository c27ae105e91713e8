"""What the cluster forgets, deletes or tells late: plans go on, and nothing is kept that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rest
import teams
from cluster import Cluster
from install import Gateway, Install, installed
from rest import Object
from teams import POLICY, Team
from traffic import Traffic

from simulators import Upstream, upstreams

PLAN = "tradewind-plan"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture
def made(cluster: Cluster, tmp_path: Path) -> Iterator[Install]:
    """Two controllers, which make no complete lists by the clock, and two gateways."""
    with installed(cluster, tmp_path, resync_s="3600") as made:
        made.add_controllers(2)
        made.start_controllers()
        for gateway in made.start_gateways(2):
            gateway.wait()
        yield made


@pytest.fixture
def team(made: Install, upstream: Upstream) -> Iterator[Team]:
    """A team whose policy is Ready."""
    with teams.team(made, upstream.url) as found:
        found.ready()
        yield found


def published(made: Install) -> Object:
    """The plan's ConfigMap."""
    return made.namespace.api.get(made.namespace.path("configmaps", PLAN))


def converged(made: Install) -> bool:
    """Whether every gateway routes by what is published."""
    found = published(made)
    wanted = (found["metadata"]["uid"], int(found["data"]["serial"]), found["data"]["planId"])
    return all(routes_by(gateway.plan()) == wanted for gateway in made.gateways)


def routes_by(plan: Any) -> tuple[str, int, str]:
    return plan["sync"]["lineage"], plan["sync"]["serial"], plan["plan"]


def test_a_deleted_plan_begins_a_new_lineage_and_no_call_fails(made: Install, team: Team) -> None:
    old = published(made)
    with Traffic(team, made.gateways):
        made.namespace.kubectl("delete", "configmap", PLAN)
        where = made.namespace.path("configmaps", PLAN)
        made.namespace.api.until(
            where, lambda found: found is not None and "planId" in found["data"] and found["data"]["serial"] != "0"
        )
        teams.until(lambda: converged(made), 15)
        new = published(made)
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        assert new["data"]["planId"] == old["data"]["planId"]
        team.ready()
        team.take("second")
        team.until("Programmed", "Programmed")
        teams.until(lambda: converged(made))
    assert [team.ask(gateway, "second").status_code for gateway in made.gateways] == [200, 200]


def answers(team: Team, gateway: Gateway) -> list[int]:
    return [team.ask(gateway, model).status_code for model in ("auto", "edit-2", "forgotten")]


def test_a_restored_cluster_gets_a_serial_that_nobody_has_seen(made: Install, team: Team, cluster: Cluster) -> None:
    snapshot = cluster.snapshot()
    team.add_policy("forgotten")
    team.until("Programmed", "Programmed", "forgotten")
    for number in range(3):
        team.take(f"edit-{number}")
        team.until("Programmed", "Programmed")
    seen = int(published(made)["data"]["serial"])
    with Traffic(team, made.gateways):
        cluster.restore(snapshot)
        teams.until(lambda: int(published(made)["data"]["serial"]) > seen and converged(made), 30, "a higher serial")
        # The plan that was in service goes on under the new serial until everything was listed again.
        for gateway in made.gateways:
            teams.until(lambda gateway=gateway: answers(team, gateway) == [200, 404, 404], 15, "what was forgotten is gone")
        team.ready()
        # Edits are seen as soon as before.
        team.take("after")
        team.until("Programmed", "Programmed", within_s=10)
        team.add_policy("new")
        team.until("Programmed", "Programmed", "new", within_s=10)
    assert [team.ask(gateway, "after").status_code for gateway in made.gateways] == [200, 200]


def test_a_deletion_that_no_event_told_of_is_not_lost(made: Install, team: Team, cluster: Cluster) -> None:
    team.add_policy("second")
    team.until("Programmed", "Programmed", "second")
    for controller in made.controllers:
        controller.pause()
    team.namespace.kubectl("delete", "routingpolicy", "second")
    # Its watches may go on from no version that it knows: 410, and kopf tells of no deletion.
    cluster.restart(cluster.apiserver, kill=True)
    for controller in made.controllers:
        controller.resume()
    for gateway in made.gateways:
        teams.until(lambda gateway=gateway: team.ask(gateway, "second").status_code == 404, 20)  # type: ignore[misc]
    assert [team.ask(gateway).status_code for gateway in made.gateways] == [200, 200]
    running = [controller for controller in made.controllers if controller.child.alive]
    assert running
    team.take("third")
    team.until("Programmed", "Programmed")


def test_the_api_server_starts_again_and_nobody_notices(made: Install, team: Team, cluster: Cluster) -> None:
    with Traffic(team, made.gateways):
        for kill in (True, False):
            cluster.restart(cluster.apiserver, kill=kill)
            team.take(f"edit-{kill}")
            team.until("Programmed", "Programmed", within_s=20)
    # A leader that cannot renew its lease in time ends; another goes on.
    ended = [controller for controller in made.controllers if not controller.child.alive]
    assert len(ended) < len(made.controllers)
    assert all("leads no longer" in controller.child.log.read_text() for controller in ended)


@pytest.mark.parametrize("seen", [True, False], ids=["its deletion is seen", "only the new one is seen"])
def test_an_object_made_anew_has_nothing_of_the_old_one(made: Install, team: Team, seen: bool) -> None:
    """Both have generation 1; the new one is wrong, so it has no valid form at all."""
    team.add_policy("again")
    team.until("Programmed", "Programmed", "again")
    old = team.find("again")
    if not seen:
        for controller in made.controllers:
            controller.pause()
    team.namespace.kubectl("delete", "routingpolicy", "again")
    team.namespace.apply(
        POLICY.format(name="again", alias="again").replace('models: ["again"]', 'models: ["again"], when: "nothing"')
    )
    if not seen:
        for controller in made.controllers:
            controller.resume()
    team.until("Accepted", "InvalidExpression", "again")
    team.until("Programmed", "NotAccepted", "again")
    new = team.find("again")
    assert (new["metadata"]["generation"], old["metadata"]["generation"]) == (1, 1)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert rest.condition(new, "Ready")["status"] == "False"
    assert [team.ask(gateway, "again").status_code for gateway in made.gateways] == [404, 404]
    team.edit({"match": {"when": "request.stream == false"}}, "again")
    team.until("Programmed", "Programmed", "again")
    assert [team.ask(gateway, "again").status_code for gateway in made.gateways] == [200, 200]
