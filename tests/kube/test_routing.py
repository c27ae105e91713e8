"""From `kubectl apply` to an answered call: through real gateways, for tenants with keys, and whatever is said is probed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from cluster import Cluster, Namespace
from install import Gateway, Install, installed

from simulators import COMMAND, Upstream, upstreams
from tradewind.artifacts import schemas

CALLERS = """
apiVersion: v1
kind: Secret
metadata: {{name: callers, labels: {{tradewind.dev/caller-keys: "true", team: blue}}}}
stringData: {{app: "{key}"}}
"""
POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: chat}}
spec:
  models:
  - name: small
    upstream: {{url: "{url}", credentials: {{secretKeyRef: {{name: keys, key: small}}}}}}
    price: {{inputPerMillion: "0.123456789", outputPerMillion: "0.987654321"}}
    limits: {{contextTokens: 10000, outputTokens: 1000}}
    capabilities: [Tools]
    quality: {{prior: "0.5"}}
"""
POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: {name}}}
spec:
  poolRefs: [{{name: chat}}]
  match: {{models: ["{alias}"]}}
  strategy: {{type: Best}}
"""


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One controller and two gateways."""
    with installed(cluster, tmp_path_factory.mktemp("install")) as made:
        made.add_controllers()
        made.start_controllers()
        for gateway in made.start_gateways(2):
            gateway.wait()
        yield made


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture
def team(made: Install, namespace: Namespace, upstream: Upstream) -> Namespace:
    """A namespace with a pool, a policy, an upstream's key and a caller's key `sk-<namespace>`."""
    made.grant(namespace)
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-upstream")
    namespace.apply(CALLERS.format(key=f"sk-{namespace.name}"))
    namespace.apply(POOL.format(url=upstream.url) + "---" + POLICY.format(name="default", alias="auto"))
    ready(namespace, "default")
    return namespace


def ready(namespace: Namespace, policy: str) -> None:
    namespace.kubectl("wait", "routingpolicies", policy, "--for=condition=Ready", "--timeout=20s")


def ask(
    gateway: Gateway, namespace: Namespace, model: str = "auto", where: str = "/v1", key: str | None = None
) -> httpx.Response:
    return gateway.ask(model, where, key if key is not None else f"sk-{namespace.name}")


def test_what_is_ready_is_routed_by_every_gateway(made: Install, team: Namespace, upstream: Upstream) -> None:
    before = len(upstream.lines())
    answers = [ask(gateway, team) for gateway in made.gateways]
    assert [(answer.status_code, answer.headers["x-tradewind-model"]) for answer in answers] == [
        (200, f"{team.name}/chat/small")
    ] * 2, answers[0].text
    assert len(upstream.lines()) == before + 2
    assert len({answer.headers["x-tradewind-plan"] for answer in answers}) == 1


def test_a_new_policy_is_routed_as_soon_as_it_is_ready(made: Install, team: Namespace) -> None:
    assert ask(made.gateways[0], team, "fast").status_code == 404
    team.apply(POLICY.format(name="fast", alias="fast"))
    ready(team, "fast")
    assert [ask(gateway, team, "fast").status_code for gateway in made.gateways] == [200, 200]
    team.kubectl("delete", "routingpolicy", "fast")
    for gateway in made.gateways:
        until(lambda gateway=gateway: ask(gateway, team, "fast").status_code == 404)


def test_tenants_are_told_apart_by_their_keys(made: Install, team: Namespace) -> None:
    gateway = made.gateways[0]
    assert ask(gateway, team, key="").status_code == 401
    assert ask(gateway, team, key="sk-wrong").status_code == 401
    assert ask(gateway, team, where="/ns/somewhere-else/v1").status_code == 403
    assert ask(gateway, team, where=f"/ns/{team.name}/v1").status_code == 200


def test_another_namespace_s_policy_takes_the_callers_that_it_admits(made: Install, team: Namespace, cluster: Cluster) -> None:
    other = Namespace(cluster, f"{team.name}-guest")
    cluster.kubectl("create", "namespace", other.name)
    try:
        made.grant(other)
        other.apply(CALLERS.format(key="sk-guest"))
        # Secrets are followed where there is a pool or a policy.
        other.apply(POLICY.format(name="default", alias="auto").replace("chat", "nothing"))
        gateway = made.gateways[0]
        where = f"/ns/{team.name}/v1"
        until(lambda: ask(gateway, other, where=where, key="sk-guest").status_code == 403)
        patch(team, {"callers": {"from": "Selector", "selector": {"matchLabels": {"guest": "yes"}}}})
        cluster.kubectl("label", "namespace", other.name, "guest=yes")
        until(lambda: ask(gateway, other, where=where, key="sk-guest").status_code == 200)
        cluster.kubectl("label", "namespace", other.name, "guest-")
        until(lambda: ask(gateway, other, where=where, key="sk-guest").status_code == 403)
    finally:
        cluster.kubectl("delete", "namespace", other.name, "--wait=false")


def test_a_service_account_s_token_is_a_caller(made: Install, team: Namespace) -> None:
    team.kubectl("create", "serviceaccount", "app")
    token = team.kubectl("create", "token", "app", "--audience=tradewind").stdout.strip()
    assert ask(made.gateways[0], team, key=token).status_code == 200
    foreign = team.kubectl("create", "token", "app", "--audience=somebody-else").stdout.strip()
    assert ask(made.gateways[0], team, key=foreign).status_code == 401


def test_a_rotated_upstream_key_reaches_calls_in_less_than_a_second(made: Install, team: Namespace) -> None:
    """By the digest of the keys that sessions report."""
    before = digests(made)
    team.kubectl("patch", "secret", "keys", "-p", json.dumps({"stringData": {"small": "sk-rotated"}}))
    until(lambda: len(digests(made)) == 1 and digests(made) != before, within_s=1)
    assert [ask(gateway, team).status_code for gateway in made.gateways] == [200, 200]


def test_a_condition_chooses_among_policies(made: Install, team: Namespace) -> None:
    tools = POLICY.format(name="tools", alias="auto") + "  priority: 5\n"
    tools = tools.replace('models: ["auto"]', 'models: ["auto"], when: "size(request.tools) > 0"')
    team.apply(tools)
    ready(team, "tools")
    gateway = made.gateways[0]
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    routes = [decide(gateway, team, {}), decide(gateway, team, {"tools": [tool]})]
    assert [route["route"] for route in routes] == [f"{team.name}/default", f"{team.name}/tools"]


def test_a_bad_edit_removes_no_working_route(made: Install, team: Namespace) -> None:
    patch(team, {"match": {"when": "request.nothing"}})
    team.kubectl("wait", "routingpolicies", "default", "--for=condition=Accepted=False", "--timeout=10s")
    assert [ask(gateway, team).status_code for gateway in made.gateways] == [200, 200]


def test_status_at_a_glance_and_its_probe(made: Install, team: Namespace) -> None:
    found = glance(made, "--probe")
    assert [(row["pod"], row["ready"], row["current"]) for row in found["pods"]] == [
        (gateway.name, True, True) for gateway in made.gateways
    ]
    assert {row["routes_by"] for row in found["pods"]} == {found["plan"]["id"]}
    assert found["leader"] == "controller-0"
    assert [row["conditions"]["Ready"]["status"] for row in found["pools"] if row["namespace"] == team.name] == ["True"]


def until(holds: Callable[[], bool], within_s: float = 10) -> None:
    """Asks until it holds; what is asked takes its time, so nobody sleeps."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"not within {within_s} s"


def glance(made: Install, *flags: str) -> Any:
    """`tradewind kube status`."""
    command = [COMMAND, "kube", "status", "--namespace", made.namespace.name, "--controller", made.controllers[0].metrics_url]
    environment = {"KUBECONFIG": str(made.cluster.admin_kubeconfig), "PATH": ""}
    done = subprocess.run([*command, *flags, "--json"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, schemas.read("kube_status"))
    return document


def decide(gateway: Gateway, team: Namespace, more: dict[str, Any]) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"authorization": f"Bearer sk-{team.name}"}
    return httpx.post(f"{gateway.url()}/v1/decide", json=body, headers=headers).raise_for_status().json()


def digests(made: Install) -> set[str]:
    """What the gateways have of keys."""
    rows = httpx.get(f"{made.controllers[0].metrics_url}/sessions").json()["sessions"]
    return {row["keys"] for row in rows if row["role"] == "gateway"}


def patch(namespace: Namespace, spec: Any) -> None:
    namespace.kubectl("patch", "routingpolicy", "default", "--type=merge", "-p", json.dumps({"spec": spec}))
