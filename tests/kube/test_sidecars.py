"""Data planes in applications' pods: they get what is their namespace's, and reach the rest through a gateway."""

from __future__ import annotations

from collections.abc import Iterator

import cluster as control_plane
import httpx
import pods
import pollers
import pytest
from cluster import Cluster, Namespace
from install import Install, installed
from pods import Pod

from simulators import upstreams

POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: {name}}}
spec:
  allowedNamespaces: {{from: All}}
  models:
  - name: {model}
    upstream: {{url: "{url}", model: small, credentials: {{secretKeyRef: {{name: keys, key: small}}}}}}
    price: {{inputPerMillion: "0.123456789", outputPerMillion: "0.987654321"}}
    limits: {{contextTokens: 10000, outputTokens: 1000}}
    quality: {{prior: "0.5"}}
"""
POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: default}}
spec:
  poolRefs: [{{name: own}}, {{name: shared, namespace: {platform}}}]
  strategy: {{type: Best}}
"""


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One controller and one gateway, of whose TLS door sidecars are told."""
    (port,) = control_plane.free_ports(1)
    with installed(cluster, tmp_path_factory.mktemp("install"), gateway_url=f"https://127.0.0.1:{port}/v1") as made:
        made.add_controllers()
        made.start_controllers()
        gateway = made.add_gateway("--host", "127.0.0.1", tls_port=str(port))
        gateway.start()
        gateway.wait()
        yield made


@pytest.fixture
def platform(made: Install, cluster: Cluster) -> Iterator[Namespace]:
    """A namespace that shares a pool."""
    with control_plane.namespace(cluster, "platform") as found:
        made.grant(found)
        found.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-platform")
        yield found


@pytest.fixture
def team(made: Install, namespace: Namespace) -> Namespace:
    """An application's namespace."""
    made.grant(namespace)
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-team")
    pods.make_account(namespace, "app")
    return namespace


def test_a_sidecar_gets_its_namespace_s_policies_and_keys_and_no_other(
    made: Install, team: Namespace, platform: Namespace
) -> None:
    url = "http://127.0.0.1:9/v1"
    platform.apply(POOL.format(name="shared", model="theirs", url=url))
    team.apply(POOL.format(name="own", model="mine", url=url) + "---" + POLICY.format(platform=platform.name))
    sidecar = pollers.sidecar(made, team, "app-0")
    sidecar.until(lambda poller: bool(poller.plan.get("routes")))
    assert sidecar.identity == {"namespace": team.name, "role": "sidecar"}
    assert [route["id"] for route in sidecar.plan["routes"]] == [f"{team.name}/default"]
    foreign = f"{platform.name}/shared/theirs"
    upstreams = {model["id"]: model["upstream"] for model in sidecar.plan["models"]}
    assert upstreams.keys() == {f"{team.name}/own/mine", foreign}
    assert (upstreams[foreign]["model"], upstreams[foreign]["credential"]) == (foreign, "@pod")
    assert upstreams[foreign]["url"] == made.settings["gateway_url"]
    sidecar.until(lambda poller: poller.keys.get("credentials") == {f"{team.name}/keys/small": "sk-team"})
    assert not sidecar.keys.get("callers")
    sidecar.end()


def test_a_sidecar_that_asks_for_another_namespace_is_refused_and_counted(made: Install, team: Namespace) -> None:
    token = Pod.create(team, "nosy", "app").token("tradewind")
    controller = made.controllers[0]
    asked = {"schema": 3, "version": "0.1.0", "lineage": "", "serial": 0, "have": {"plan": "", "keys": "", "trust": ""}}
    context = pollers.trust(made)
    answer = httpx.post(
        f"{controller.url}/v1/sync?namespace=kube-system",
        json=asked,
        headers={"authorization": f"Bearer {token}"},
        verify=context,
    )
    assert answer.status_code == 403
    code = answer.json()["error"]["code"]
    assert f'tradewind_controller_sync_refused{{code="{code}"}} 1.0' in controller.metrics()


def test_an_app_calls_its_sidecar_which_reaches_a_foreign_pool_through_a_gateway(
    made: Install, team: Namespace, platform: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with upstreams(tmp_path_factory.mktemp("upstream"), small=("--api-key", "sk-platform")) as (upstream,):
        platform.apply(POOL.format(name="shared", model="theirs", url=upstream.url))
        team.apply(POLICY.format(platform=platform.name).replace("{name: own}, ", ""))
        team.kubectl("wait", "routingpolicies", "default", "--for=condition=Ready", "--timeout=20s")
        sidecar = made.add_sidecar(Pod.create(team, "app-1", "app"))
        sidecar.start()
        sidecar.wait()
        assert httpx.get(f"{sidecar.url('health')}/startupz").json()["plan"] == sidecar.plan()["plan"]
        (gateway,) = (found for found in made.gateways if "tls" in found.urls)
        assert gateway.url("tls") == made.settings["gateway_url"].removesuffix("/v1")
        context = pollers.trust(made)
        assert httpx.get(f"{gateway.url('tls')}/readyz", verify=context).status_code == 200
        answer = sidecar.ask("auto")
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-tradewind-model"] == f"{platform.name}/shared/theirs"
        assert len(upstream.lines()) == 1
        sidecar.end()
