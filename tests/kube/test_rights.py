"""The controller asks for nothing that it may not, and is granted nothing that it does not need."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import audit
import httpx
import install
import pytest
import teams
from cluster import Cluster, Namespace
from install import Controller, Gateway, Install, installed
from teams import Team

from simulators import Upstream, upstreams


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


def test_its_roles_are_all_that_it_uses(cluster: Cluster, namespace: Namespace, tmp_path: Path, upstream: Upstream) -> None:
    """Through everything that it does: apply, break, repair, delete; a renewal of the authority; another leader."""
    with installed(cluster, tmp_path, resync_s="2", certificates_s="1") as made:
        controllers = made.add_controllers(2)
        made.start_controllers()
        for gateway in made.start_gateways(1):
            gateway.wait()
        with teams.team(made, upstream.url) as team:
            team.ready()
            team.edit({"match": {"when": "request.nothing"}})
            team.until("Accepted", "InvalidExpression")
            team.edit({"match": {"when": None}})
            team.until("Ready", "Ready")
            profile = {"name": "mine", "key": "small"}
            with_profile = team.find("chat", "modelpools")["spec"]["models"][0] | {"quality": {"profileRef": profile}}
            team.edit({"models": [with_profile]}, "chat", "modelpools")
            team.until("ResolvedRefs", "ProfileNotFound", "chat", "modelpools")
            team.namespace.kubectl("create", "configmap", "mine", '--from-literal=small={"bias": 1.5}')
            team.ready()
            # In a namespace that nobody has opened.
            namespace.apply(teams.POOL.format(url=upstream.url))
            Team(made, namespace).until("ResolvedRefs", "SecretForbidden", "chat", "modelpools")
            renew(made)
            for controller in controllers:
                controller.stop()
                controller.start()
                controller.wait()
            team.take("second")
            team.until("Programmed", "Programmed", within_s=30)
            team.namespace.kubectl("delete", "tradewind", "--all")
            teams.until(lambda: team.ask(made.gateways[0]).status_code != 200)
        for controller in controllers:
            controller.stop()

    used = audit.uses(cluster.audit_log, made.user)
    closed = audit.forbidden(used)
    assert {(use.verb, use.resource) for use in closed} == {("list", "secrets")}
    assert namespace.name in {use.namespace for use in closed}
    assert team.name not in {use.namespace for use in closed}
    grants = audit.granted(install.rbac(made.namespace.name), f"{made.namespace.name}/tradewind-controller")
    assert grants
    assert audit.unused(grants, used) == []
    # What a namespace permits by the RoleBinding of its own.
    permitted = {(use.verb, use.resource) for use in used if use.allowed and use.namespace == team.name}
    reader = {(verb, resource) for verb in ("list", "watch") for resource in ("secrets", "configmaps")}
    assert {row for row in permitted if row[1] in ("secrets", "configmaps")} == reader


def renew(made: Install) -> None:
    """The authority ends soon: a new root comes, takes over when everybody trusts it, and the old one leaves."""
    where = made.namespace.path("secrets", "tradewind-ca")
    before = made.namespace.api.get(where)["data"]
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat().encode()
    made.namespace.api.merge(where, {"data": {"until": base64.b64encode(soon).decode()}})

    def renewed(found: Any) -> bool:
        parts = found["data"]
        return parts["tls.crt"] != before["tls.crt"] and "old.crt" not in parts and "next.crt" not in parts

    after = made.namespace.api.until(where, renewed, 40, "three steps")["data"]
    root = base64.b64decode(after["tls.crt"]).decode()
    shown = made.namespace.path("configmaps", "tradewind-trust")
    made.namespace.api.until(shown, lambda found: found is not None and found["data"]["ca.crt"] == root, 20)
    # Sessions go on, by certificates of the new one, and gateways trust it alone.
    for gateway in made.gateways:
        teams.until(lambda gateway=gateway: connected(gateway) == len(made.controllers), 20)  # type: ignore[misc]
    made.trust_file.write_text(root)
    for controller in made.controllers:
        teams.until(lambda controller=controller: trusts(made, controller), 20)  # type: ignore[misc]


def connected(gateway: Gateway) -> int:
    return sum(row["state"] == "connected" for row in gateway.plan()["sync"]["controllers"])


def trusts(made: Install, controller: Controller) -> bool:
    """Whether the certificate of a replica is of the root in `trust_file`."""
    try:
        httpx.get(controller.url, verify=ssl.create_default_context(cafile=made.trust_file))
    except httpx.ConnectError:
        return False
    return True
