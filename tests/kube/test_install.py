"""Controllers and gateways run as the processes of pods, with the rights and tokens that pods have."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import audit
import httpx
import install
import rest
from cluster import Cluster, Namespace
from install import Controller, Install
from pods import Pod
from rest import Object
from teams import PLAIN_POOL

import simulators

POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: route}
spec: {poolRefs: [{name: pool}], strategy: {type: Best}}
"""


def poll(made: Install, controller: Controller, token: str) -> tuple[int, Object]:
    """What a data plane with a token is told by a replica."""
    nothing = {"plan": None, "keys": None, "trust": None}
    body = {"schema": 3, "version": "0.1.0", "lineage": "", "serial": 0, "have": nothing}
    trust = ssl.create_default_context(cafile=made.trust_file)
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.post(f"{controller.url}/v1/sync", json=body, headers=headers, verify=trust, timeout=35)
    return answer.status_code, answer.json()


def test_replicas_know_a_gateway_by_its_token_and_say_what_they_think_of_a_pool(
    cluster: Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    with install.installed(cluster, tmp_path) as made:
        controllers = made.add_controllers(2)
        made.start_controllers()
        namespace.apply(PLAIN_POOL.format(url="http://127.0.0.1:1/v1"))
        where = namespace.path("modelpools", "pool")
        found = namespace.api.until(where, lambda pool: rest.condition(pool, "Programmed").get("reason") == "NoDataPlane", 20)
        assert rest.condition(found, "Accepted")["status"] == "True"

        pod = Pod.create(made.namespace, "gateway-0", "tradewind-gateway", install.GATEWAY_LABELS)
        for controller in controllers:
            status, told = poll(made, controller, pod.token(install.AUDIENCE))
            assert status == 200, told
            assert told["identity"] == {"namespace": made.namespace.name, "role": "gateway"}
        assert poll(made, controllers[0], pod.token("another"))[0] == 401

        refused = audit.forbidden(audit.uses(cluster.audit_log, made.user))
        assert {(use.verb, use.resource) for use in refused} <= {("list", "secrets"), ("list", "configmaps")}


def test_an_applied_policy_routes_the_calls_of_its_namespace_at_every_gateway(
    cluster: Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    with install.installed(cluster, tmp_path) as made, simulators.upstreams(tmp_path, small=()) as (small,):
        made.add_controllers()
        made.start_controllers()
        gateways = made.start_gateways(2)
        for gateway in gateways:
            gateway.wait()
        namespace.apply(PLAIN_POOL.format(url=small.url) + "---" + POLICY)
        namespace.kubectl("wait", "rpol/route", "mpool/pool", "--for=condition=Programmed", "--timeout=20s")
        key = Pod.create(namespace, "app").token(install.AUDIENCE)
        for gateway in gateways:
            assert gateway.plan()["routes"] == [f"{namespace.name}/route"]
            answer = gateway.ask("auto", key=key)
            assert answer.status_code == 200, answer.text
        assert len(small.lines()) == len(gateways)

        first = gateways[0]
        first.kill()
        where = made.namespace.path("pods", first.name)
        assert rest.condition(made.namespace.api.get(where), "Ready")["status"] == "False"
        first.start()
        first.wait()
        assert first.ask("auto", key=key).status_code == 200


def test_a_program_that_dies_is_ready_no_more(cluster: Cluster, tmp_path: Path) -> None:
    with install.installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        made.start_controllers()
        where = made.namespace.path("pods", controller.name)
        made.namespace.api.until(where, lambda pod: rest.condition(pod, "Ready").get("status") == "True")
        # Not by us: it is seen, as a kubelet would.
        controller.child.kill()
        made.namespace.api.until(where, lambda pod: rest.condition(pod, "Ready").get("status") == "False")


def test_kopf_runs_the_controller_too(cluster: Cluster, tmp_path: Path) -> None:
    with install.installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        kopf = Path(sys.executable).with_name("kopf")
        controller.child.command = [str(kopf), "run", "-m", "tradewind.controller", "--standalone", "-A"]
        made.start_controllers()
        pod = Pod.create(made.namespace, "gateway-0", "tradewind-gateway", install.GATEWAY_LABELS)
        assert poll(made, controller, pod.token(install.AUDIENCE))[0] == 200
        made.namespace.api.until(made.namespace.path("configmaps", "tradewind-plan"), bool, 20)
        assert controller.child.stop() == 0, controller.child.tail()
