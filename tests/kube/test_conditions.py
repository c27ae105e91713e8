"""Every reason of every condition, brought about through kubectl and compared with the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pollers
import pytest
import rest
from cluster import Cluster, Namespace
from install import Install, installed
from pollers import Poller

PAGE = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text()

POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {name: chat}
spec:
  models:
  - name: small
    upstream: {url: "http://small.example/v1"}
    price: {inputPerMillion: "1", outputPerMillion: "2"}
    limits: {contextTokens: 1000, outputTokens: 100}
    quality: {prior: "0.5"}
"""
POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: default}
spec:
  poolRefs: [{name: chat}]
  strategy: {type: Best}
"""


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One controller."""
    with installed(cluster, tmp_path_factory.mktemp("install")) as made:
        made.add_controllers()
        made.start_controllers()
        yield made


@pytest.fixture(scope="module")
def gateway(made: Install) -> Iterator[Poller]:
    """One gateway, which does as it is told."""
    found = pollers.gateway(made, "gateway-0")
    found.until(lambda poller: poller.serial > 0)
    yield found
    found.end()


@pytest.fixture
def granted(made: Install, namespace: Namespace) -> Namespace:
    """A namespace whose Secrets may be read."""
    made.grant(namespace)
    return namespace


def until(namespace: Namespace, kind: str, name: str, condition: str, reason: str, within_s: float = 10) -> dict[str, Any]:
    """The condition, once it has a reason that the documentation knows, for the generation that the object has."""

    def holds(found: rest.Object | None) -> bool:
        row = rest.condition(found, condition) if found else {}
        return row.get("reason") == reason and row.get("observedGeneration") == (found or {})["metadata"]["generation"]

    found = namespace.api.until(namespace.path(kind, name), holds, within_s, f"{condition} {reason}")
    row = rest.condition(found, condition)
    assert f"| {row['status']} | `{reason}` |" in PAGE.split(f"## {condition}")[1].split("\n## ")[0]
    return row


def apply(namespace: Namespace, *documents: str) -> None:
    namespace.apply("---".join(documents))


def patch(namespace: Namespace, kind: str, name: str, spec: Any) -> None:
    namespace.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))


def with_upstream(upstream: str) -> str:
    return POOL.replace('{url: "http://small.example/v1"}', upstream)


def test_a_valid_pool_and_policy_are_ready(granted: Namespace, gateway: Poller) -> None:
    apply(granted, POOL, POLICY)
    for kind in ("modelpools", "routingpolicies"):
        done = granted.kubectl("wait", kind, "--all", "--for=condition=Ready", "--timeout=10s")
        assert "condition met" in done.stdout
    for condition in ("Accepted", "ResolvedRefs", "Programmed", "Ready"):
        until(granted, "modelpools", "chat", condition, condition)
        until(granted, "routingpolicies", "default", condition, condition)
    shown = granted.kubectl("get", "tradewind", "-o", "wide").stdout
    assert "1/1" in shown


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"match": {"when": "size(request.tols) == 0"}}, "InvalidExpression", "tools"),
        ({"strategy": {"type": "Pinned", "pinned": {"model": "medium"}}}, "InvalidStrategy", "medium"),
        ({"constraints": {"models": {"matchLabels": {"region": "moon"}}}}, "Invalid", "region: moon"),
    ],
)
def test_a_bad_policy_says_why_and_the_last_valid_one_stays(
    granted: Namespace, gateway: Poller, spec: Any, reason: str, words: str
) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    patch(granted, "routingpolicy", "default", spec)
    assert words in until(granted, "routingpolicies", "default", "Accepted", reason)["message"]
    until(granted, "routingpolicies", "default", "Programmed", "ServingPrevious")
    until(granted, "routingpolicies", "default", "Ready", "NotReady")
    assert words in granted.kubectl("describe", "routingpolicy", "default").stdout
    assert [route["id"] for route in gateway.plan["routes"] if route["id"].startswith(granted.name)]


def test_an_unknown_profile_of_a_new_pool(granted: Namespace) -> None:
    apply(granted, POOL.replace('{prior: "0.5"}', "{profile: no-such-model}"))
    assert "no-such-model" in until(granted, "modelpools", "chat", "Accepted", "UnknownProfile")["message"]
    until(granted, "modelpools", "chat", "Programmed", "NotAccepted")


def test_two_policies_with_one_alias(granted: Namespace, gateway: Poller) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    apply(granted, POLICY.replace("name: default", "name: younger"))
    message = until(granted, "routingpolicies", "younger", "Accepted", "Conflicted")["message"]
    assert f"`{granted.name}/default`" in message
    patch(granted, "routingpolicy", "younger", {"match": {"models": ["auto", "mine"]}})
    until(granted, "routingpolicies", "younger", "Accepted", "PartlyConflicted")
    patch(granted, "routingpolicy", "younger", {"priority": 10})
    until(granted, "routingpolicies", "default", "Accepted", "Conflicted")
    granted.kubectl("delete", "routingpolicy", "younger")
    until(granted, "routingpolicies", "default", "Ready", "Ready")


def test_pools_that_are_missing_or_closed(granted: Namespace, cluster: Cluster, gateway: Poller) -> None:
    apply(granted, POLICY)
    until(granted, "routingpolicies", "default", "ResolvedRefs", "PoolNotFound")
    until(granted, "routingpolicies", "default", "Programmed", "NotResolved")
    until(granted, "routingpolicies", "default", "Ready", "NoUsableModel")
    other = f"{granted.name}-tenant"
    cluster.kubectl("create", "namespace", other)
    try:
        tenant = Namespace(cluster, other)
        apply(granted, POOL)
        apply(tenant, POLICY.replace("{name: chat}", f"{{name: chat, namespace: {granted.name}}}"))
        until(tenant, "routingpolicies", "default", "ResolvedRefs", "RefNotPermitted")
        selector = {"from": "Selector", "selector": {"matchLabels": {"chat": "yes"}}}
        patch(granted, "modelpool", "chat", {"allowedNamespaces": selector})
        until(tenant, "routingpolicies", "default", "ResolvedRefs", "RefNotPermitted")
        cluster.kubectl("label", "namespace", other, "chat=yes")
        until(tenant, "routingpolicies", "default", "Ready", "Ready")
        cluster.kubectl("label", "namespace", other, "chat-")
        until(tenant, "routingpolicies", "default", "ResolvedRefs", "RefNotPermitted")
        assert not [route for route in gateway.plan["routes"] if route["id"].startswith(f"{other}/")]
    finally:
        cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_secrets_that_are_forbidden_missing_or_empty(made: Install, namespace: Namespace, gateway: Poller) -> None:
    upstream = '{url: "http://small.example/v1", credentials: {secretKeyRef: {name: keys, key: small}}}'
    apply(namespace, with_upstream(upstream), POLICY)
    message = until(namespace, "modelpools", "chat", "ResolvedRefs", "SecretForbidden")["message"]
    until(namespace, "modelpools", "chat", "Ready", "NoUsableModel")
    # The message has the very command that mends it.
    command = message[message.index("kubectl create") :].split()[1:]
    namespace.kubectl(*(word for word in command if word not in ("-n", namespace.name)))
    until(namespace, "modelpools", "chat", "ResolvedRefs", "SecretNotFound")
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=other=x")
    until(namespace, "modelpools", "chat", "ResolvedRefs", "SecretKeyNotFound")
    namespace.kubectl("patch", "secret", "keys", "-p", '{"stringData": {"small": "sk-very-secret"}}')
    until(namespace, "modelpools", "chat", "Ready", "Ready")
    gateway.until(lambda poller: "sk-very-secret" in poller.keys["credentials"].values())
    namespace.kubectl("delete", "secret", "keys")
    until(namespace, "modelpools", "chat", "ResolvedRefs", "SecretNotFound")
    until(namespace, "routingpolicies", "default", "Ready", "NoUsableModel")
    shown = namespace.kubectl("get", "tradewind,events", "-o", "yaml").stdout
    assert "sk-very-secret" not in shown + made.controllers[0].child.log.read_text()


def test_services_that_are_missing_lack_the_port_or_are_external(granted: Namespace, gateway: Poller) -> None:
    apply(granted, with_upstream("{service: {name: vllm, port: 8000}}"), POLICY)
    until(granted, "modelpools", "chat", "ResolvedRefs", "ServiceNotFound")
    granted.kubectl("create", "service", "clusterip", "vllm", "--tcp=9000")
    until(granted, "modelpools", "chat", "ResolvedRefs", "ServicePortNotFound")
    granted.kubectl("delete", "service", "vllm")
    granted.kubectl("create", "service", "externalname", "vllm", "--external-name=example.com")
    until(granted, "modelpools", "chat", "ResolvedRefs", "ServiceNotSupported")
    granted.kubectl("delete", "service", "vllm")
    granted.kubectl("create", "service", "clusterip", "vllm", "--tcp=8000")
    until(granted, "modelpools", "chat", "Ready", "Ready")


def test_profiles_of_a_config_map(made: Install, namespace: Namespace, gateway: Poller) -> None:
    apply(namespace, POOL.replace('{prior: "0.5"}', "{profileRef: {name: mine, key: small}}"), POLICY)
    until(namespace, "modelpools", "chat", "ResolvedRefs", "ProfileForbidden")
    made.grant(namespace)
    until(namespace, "modelpools", "chat", "ResolvedRefs", "ProfileNotFound")
    namespace.kubectl("create", "configmap", "mine", '--from-literal=small={"bias": 1.5}')
    until(namespace, "modelpools", "chat", "Ready", "Ready")


def test_a_predictor_that_cannot_be_fetched(granted: Namespace) -> None:
    apply(granted, POOL, POLICY)
    spec = {"predictor": {"url": "http://127.0.0.1:9/p.onnx", "sha256": "0" * 64}}
    patch(granted, "routingpolicy", "default", spec)
    until(granted, "routingpolicies", "default", "ResolvedRefs", "PredictorUnavailable")


def test_a_gateway_that_refuses_or_is_silent(granted: Namespace, gateway: Poller) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    gateway.refuse = lambda _: {"code": "missing_predictor", "message": "the disk is full"}
    patch(granted, "routingpolicy", "default", {"retry": {"attempts": 1}})
    message = until(granted, "routingpolicies", "default", "Programmed", "Rejected")["message"]
    assert "`gateway-0` refused the plan: missing_predictor: the disk is full" in message
    gateway.refuse = lambda _: None
    patch(granted, "routingpolicy", "default", {"retry": {"attempts": 3}})
    until(granted, "routingpolicies", "default", "Programmed", "Programmed")
    gateway.hold()
    patch(granted, "routingpolicy", "default", {"retry": {"attempts": 4}})
    assert "`gateway-0`" in until(granted, "routingpolicies", "default", "Programmed", "NotAcknowledged")["message"]
    gateway.go_on()
    until(granted, "routingpolicies", "default", "Programmed", "Programmed")
