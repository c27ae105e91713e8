"""What is taken back is gone at once: grants, Secrets, keys, rights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import cluster as control_plane
import pytest
import teams
from cluster import Cluster
from install import Install, installed
from teams import POLICY, Team

from simulators import Upstream, upstreams


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """A controller that looks often, and two gateways."""
    with installed(cluster, tmp_path_factory.mktemp("install"), resync_s="3") as made:
        made.add_controllers()
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


def statuses(team: Team, model: str = "auto") -> list[int]:
    """How each gateway answers."""
    return [team.ask(gateway, model).status_code for gateway in team.made.gateways]


def kept(made: Install) -> str:
    """The credentials that gateways keep in memory."""
    return "".join((made.memory / gateway.name / "keys.json").read_text() for gateway in made.gateways)


def test_a_pool_that_is_shared_no_longer_is_used_no_longer(made: Install, team: Team, cluster: Cluster) -> None:
    with control_plane.namespace(cluster, "guest") as namespace:
        guest = Team(made, namespace)
        made.grant(namespace)
        namespace.apply(teams.CALLERS.format(key=guest.key))
        namespace.apply(
            POLICY.format(name="default", alias="auto").replace("{name: chat}", f"{{name: chat, namespace: {team.name}}}")
        )
        guest.until("ResolvedRefs", "RefNotPermitted")
        team.edit({"allowedNamespaces": {"from": "All"}}, "chat", "modelpools")
        guest.until("Ready", "Ready")
        assert statuses(guest) == [200, 200]
        team.edit({"allowedNamespaces": {"from": "Same"}}, "chat", "modelpools")
        began = time.monotonic()
        teams.until(lambda: 200 not in statuses(guest), 2, "no call is routed")
        print(f"a grant is revoked within {time.monotonic() - began:.2f} s")  # noqa: T201
        guest.until("ResolvedRefs", "RefNotPermitted")
        guest.until("Ready", "NoUsableModel")
        assert statuses(team) == [200, 200]


def test_a_deleted_secret_takes_its_models_and_its_value_away(made: Install, team: Team) -> None:
    value = f"sk-upstream-{team.name}"
    team.namespace.kubectl("patch", "secret", "keys", "-p", json.dumps({"stringData": {"small": value}}))
    teams.until(lambda: value in kept(made))
    team.namespace.kubectl("delete", "secret", "keys")
    teams.until(lambda: value not in kept(made), 2, "no gateway keeps the value")
    team.until("ResolvedRefs", "SecretNotFound", "chat", "modelpools")
    team.until("Ready", "NoUsableModel")
    assert 200 not in statuses(team)
    team.namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-new")
    team.ready()
    assert statuses(team) == [200, 200]


def test_a_deleted_caller_s_key_is_refused_within_a_second(made: Install, team: Team) -> None:
    team.namespace.kubectl("delete", "secret", "callers")
    teams.until(lambda: statuses(team) == [401, 401], 1, "the key is refused")
    team.namespace.apply(teams.CALLERS.format(key=team.key))
    teams.until(lambda: statuses(team) == [200, 200], 2, "the key is known")


def test_a_revoked_rolebinding_is_noticed_with_the_complete_lists(made: Install, team: Team) -> None:
    made.revoke(team.namespace)
    message = team.until("ResolvedRefs", "SecretForbidden", "chat", "modelpools", within_s=15)
    assert "kubectl create rolebinding" in message
    teams.until(lambda: statuses(team) == [401, 401], 5, "its callers' keys are not read any more")
    made.grant(team.namespace)
    team.ready()
    teams.until(lambda: statuses(team) == [200, 200])
