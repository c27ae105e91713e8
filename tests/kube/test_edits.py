"""Edits under load lose no call, and what is deleted leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator

import pytest
import teams
from cluster import Cluster
from install import Install, installed
from teams import Team
from traffic import Traffic

from simulators import Upstream, upstreams

SECONDS = 60 if os.environ.get("CI") else 20
WRONG = [
    ({"match": {"when": "request.nothing > 0"}}, {"match": {"when": None}}),
    ({"strategy": {"type": "Pinned", "pinned": {"model": "nobody"}}}, {"strategy": {"type": "Best", "pinned": None}}),
    ({"constraints": {"models": {"matchLabels": {"region": "moon"}}}}, {"constraints": None}),
]
"""Edits that cannot be used, and what takes them back."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Two controllers and two gateways."""
    with installed(cluster, tmp_path_factory.mktemp("install")) as made:
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


def test_edits_under_load_lose_no_call(made: Install, team: Team) -> None:
    """Prices, aliases, other policies that come and go, and edits that cannot be used at all."""
    (model,) = team.find("chat", "modelpools")["spec"]["models"]
    unknown = model | {"quality": {"profile": "no-such-model"}}
    until = time.monotonic() + SECONDS
    with Traffic(team, made.gateways, callers=2) as traffic:
        for number in itertools.count(1):
            price = model["price"] | {"inputPerMillion": f"0.{number}"}
            team.edit({"models": [model | {"price": price}]}, "chat", "modelpools")
            team.take(f"edit-{number}")
            team.add_policy(f"other-{number % 3}")
            wrong, right = WRONG[number % len(WRONG)]
            team.edit(wrong)
            team.edit({"models": [unknown]}, "chat", "modelpools")
            team.until("Programmed", "ServingPrevious")
            team.until("Programmed", "ServingPrevious", "chat", "modelpools")
            team.edit(right)
            team.edit({"models": [model]}, "chat", "modelpools")
            team.ready()
            if number % 3 == 0:
                team.namespace.kubectl("delete", "routingpolicy", "other-0", "other-1", "other-2")
            if time.monotonic() > until:
                break
    print(f"{traffic.calls} calls, {number} rounds of edits")  # noqa: T201
    assert traffic.calls > 100
    assert number > 1


def test_controllers_that_die_and_start_again_lose_no_call(made: Install, team: Team) -> None:
    """One that has just started knows no Secret yet: it takes no key away for that."""
    with Traffic(team, made.gateways):
        for controller in made.controllers:
            controller.kill()
        for controller in made.controllers:
            controller.start()
        for controller in made.controllers:
            controller.wait()
        team.take("second")
        team.until("Programmed", "Programmed", within_s=30)
    assert [team.ask(gateway, "second").status_code for gateway in made.gateways] == [200, 200]


def test_what_is_deleted_leaves_nothing_behind(made: Install, upstream: Upstream, cluster: Cluster) -> None:
    with teams.team(made, upstream.url) as team:
        team.ready()
        for kind, name in (("modelpools", "chat"), ("routingpolicies", "default")):
            metadata = team.find(name, kind)["metadata"]
            assert {"finalizers", "ownerReferences"} & set(metadata) == set()
            assert not [key for key in metadata.get("annotations", {}) if "kopf" in key or "tradewind" in key]
            assert {entry["manager"] for entry in metadata["managedFields"]} == {"kubectl", "tradewind-controller"}
        cluster.kubectl("delete", "tradewind", "--all", "--all-namespaces", "--timeout=20s")
        assert cluster.kubectl("get", "tradewind", "-A", "-o", "name").stdout == ""
        for gateway in made.gateways:
            teams.until(lambda gateway=gateway: gateway.plan()["routes"] == [] == gateway.plan()["models"])  # type: ignore[misc]
            teams.until(lambda gateway=gateway: "sk-upstream" not in keys(made, gateway.name))  # type: ignore[misc]
        team.namespace.kubectl("delete", "secrets,rolebindings", "--all")
        left = team.namespace.kubectl("get", "all,secrets,configmaps,roles,rolebindings,leases", "-o", "name").stdout.split()
        assert left == ["configmap/kube-root-ca.crt"]
    own = made.namespace.kubectl("get", "configmaps,secrets,leases", "-o", "name").stdout.split()
    assert set(own) == {
        "configmap/kube-root-ca.crt",
        "configmap/tradewind-plan",
        "configmap/tradewind-trust",
        "secret/tradewind-ca",
        "lease.coordination.k8s.io/tradewind-controller",
    }


def keys(made: Install, name: str) -> str:
    """What a gateway keeps in memory."""
    return (made.memory / name / "keys.json").read_text()
