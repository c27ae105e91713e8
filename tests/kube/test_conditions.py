"""Every reason of every condition, brought about through kubectl and compared with the documentation."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pollers
import pytest
import rest
import yaml
from cluster import Cluster, Namespace
from install import Install, installed
from pollers import Poller

from tradewind.controller import conditions

SEEN: set[tuple[str, str]] = set()
"""Every condition with its reason that a test here has brought about."""
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
    SEEN.add((condition, reason))
    assert f"| {row['status']} | `{reason}` |" in PAGE.split(f"## {condition}")[1].split("\n## ")[0]
    return row


def apply(namespace: Namespace, *documents: str) -> None:
    namespace.apply("---".join(documents))


def patch(namespace: Namespace, kind: str, name: str, spec: Any) -> None:
    namespace.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))


def with_upstream(upstream: str) -> str:
    return POOL.replace('{url: "http://small.example/v1"}', upstream)


def test_without_a_gateway_nothing_is_programmed(granted: Namespace) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "modelpools", "chat", "Programmed", "NoDataPlane")
    until(granted, "routingpolicies", "default", "Programmed", "NoDataPlane")


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
        # The status says so at once; the plan follows it.
        gateway.until(lambda poller: not [r for r in poller.plan["routes"] if r["id"].startswith(f"{other}/")])
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


def test_a_plan_that_nobody_has_tried_yet_is_pending(made: Install, granted: Namespace, gateway: Poller) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    other = pollers.gateway(made, "gateway-1")
    other.until(lambda poller: poller.serial == gateway.serial)
    for poller in (gateway, other):
        poller.hold()
    # Written while two offers after each other go unanswered, and true no longer than that.
    row = transient(granted, "routingpolicies", "default", {"retry": {"attempts": 5}}, "Ready", "Waiting")
    assert row["status"] == "Unknown"
    for poller in (gateway, other):
        poller.go_on()
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    other.end()
    other.pod.delete()


def transient(namespace: Namespace, kind: str, name: str, spec: Any, condition: str, reason: str) -> dict[str, Any]:
    """A condition that does not last: every state of the object after an edit is looked at."""
    where = namespace.path(kind)
    version = namespace.api.get(where)["metadata"]["resourceVersion"]
    patch(namespace, kind, name, spec)
    for _, found in namespace.api.watch(where, 10, resourceVersion=version, fieldSelector=f"metadata.name={name}"):
        SEEN.update((row["type"], row["reason"]) for row in found.get("status", {}).get("conditions", ()))
        row = rest.condition(found, condition)
        if row.get("reason") == reason:
            return row
    raise AssertionError(f"{condition} was never {reason}")


def test_a_gateway_of_an_older_version_is_not_given_what_it_cannot_enforce(
    made: Install, granted: Namespace, gateway: Poller
) -> None:
    old = pollers.gateway(made, "gateway-old", schema=1, version="0.0.9")
    try:
        apply(granted, POOL, POLICY)
        until(granted, "routingpolicies", "default", "Ready", "Ready")
        old.until(lambda poller: f"{granted.name}/default" in [route["id"] for route in poller.plan.get("routes", ())])
        assert old.plan["schema"] == "tradewind.plan/v1"
        patch(granted, "routingpolicy", "default", {"match": {"when": "size(request.tools) == 0"}})
        message = until(granted, "routingpolicies", "default", "Programmed", "UnsupportedByDataPlane")["message"]
        assert "`gateway-old` cannot enforce `when`" in message
        assert f"{granted.name}/default" not in [route["id"] for route in old.plan["routes"]]
    finally:
        old.end()
        old.pod.delete()
    until(granted, "routingpolicies", "default", "Ready", "Ready")


def test_a_plan_that_no_config_map_holds(granted: Namespace, gateway: Poller) -> None:
    apply(granted, POOL, POLICY)
    until(granted, "routingpolicies", "default", "Ready", "Ready")
    for number in range(6):
        large = yaml.safe_load(POOL)
        large["metadata"]["name"] = f"large-{number}"
        model = large["spec"]["models"][0]
        noise = [{f"l{label}": f"x{secrets.token_urlsafe(45)}x" for label in range(32)} for _ in range(64)]
        large["spec"]["models"] = [{**model, "name": f"m{index}", "labels": labels} for index, labels in enumerate(noise)]
        granted.api.apply(granted.path("modelpools", large["metadata"]["name"]), large)
    until(granted, "modelpools", "large-5", "Programmed", "PlanTooLarge", 30)
    assert rest.condition(granted.api.get(granted.path("routingpolicies", "default")), "Ready")["status"] == "True"
    granted.kubectl("delete", "modelpool", *(f"large-{number}" for number in range(6)))
    patch(granted, "routingpolicy", "default", {"retry": {"attempts": 5}})
    until(granted, "routingpolicies", "default", "Ready", "Ready")


def test_every_documented_reason_was_brought_about(request: pytest.FixtureRequest) -> None:
    here = [item for item in request.session.items if item.path == Path(__file__)]
    if len(here) < len([name for name in globals() if name.startswith("test_")]):
        pytest.skip("only where all tests of this file run")
    assert {(reason.type, reason.name) for reason in conditions.TABLE} == SEEN
