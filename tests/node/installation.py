"""Tradewind comes into the cluster by Helm, answers, and leaves nothing behind."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm
import rest
import yaml
from nodes import Nodes
from rest import Object

if TYPE_CHECKING:
    from story import Story

DOCS = Path(__file__).parents[2] / "docs"
SYSTEM = helm.NAMESPACE
DEMO = "demo"
GATEWAY, CONTROLLER = "tradewind-gateway", "tradewind-controller"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
VALUES: dict[str, Any] = {
    # Two nodes share the cores of one machine, and one of them has to carry everything while the other is drained.
    "gateway": {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}, "settings": {"workers": 1}},
    "secretNamespaces": [DEMO],
    "tests": {"namespace": DEMO},
}


def install(story: Story) -> None:
    """By Helm."""
    story.begin("Install")
    api = story.cluster.api
    for name in (SYSTEM, DEMO):
        api.create(rest.path("namespaces"), {"metadata": {"name": name, "labels": RESTRICTED}})
    secret = {
        "metadata": {"name": "callers", "labels": {"tradewind.dev/caller-keys": "true"}},
        "data": {"app": base64.b64encode(story.key.encode()).decode()},
    }
    api.create(story.path("secrets", "", DEMO), secret)
    started = time.monotonic()
    story.helm("install", "tradewind-crds", helm.CRDS)
    story.helm("install", "tradewind", helm.CHART, "--wait", "--timeout", "90s", values=VALUES)
    for name in (CONTROLLER, GATEWAY):
        story.cluster.available(SYSTEM, name)
    story.tell("helm install, until 2 controllers and 2 gateways are Ready", f"{time.monotonic() - started:.1f} s")
    where = {pod["spec"]["nodeName"] for pod in story.pods("gateway")}
    assert len(where) == 2, f"gateways are all on {where}"
    story.tell("gateways spread over nodes", "2 of 2")


def first_answer(story: Story) -> None:
    """From `kubectl apply` to an answer, with the quick start's manifests."""
    story.begin("A pool and a policy")
    documents = list(yaml.safe_load_all((DOCS / "quickstart.yaml").read_text()))
    routing = [document for document in documents if document["apiVersion"].startswith("tradewind.dev")]
    models = [document for document in documents if document not in routing and document["kind"] != "Namespace"]
    for document in models:
        if document["kind"] == "Deployment":
            # Models are elsewhere: they survive what happens to the second node.
            document["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "node1"}
    story.cluster.apply(yaml.safe_dump_all(models))
    story.cluster.available(DEMO, "models")
    address = story.cluster.api.get(story.path("services", "models", DEMO))["spec"]["clusterIP"]
    for node in story.cluster.nodes:
        # Else the first call fails, and the model rests for a second.
        node.reaches(address, 8000)
    url = story.url
    started = time.monotonic()
    story.cluster.apply(yaml.safe_dump_all(routing))
    applied = time.monotonic()
    answer = story.answered(url)
    story.tell("kubectl apply", f"{applied - started:.2f} s")
    story.tell("from then to a routed answer through the Service", f"{1000 * (time.monotonic() - applied):.0f} ms")
    story.programmed(story.path("routingpolicies", "default", DEMO), 1, 30)
    story.tell("to Programmed, as a watch tells", f"{1000 * (time.monotonic() - applied):.0f} ms")
    model = answer.headers["x-tradewind-model"]
    assert model.startswith(f"{DEMO}/chat/"), f"answered by {model}"
    took = [story.edit() for _ in range(5)]
    story.tell("an edit of the policy until every gateway has acknowledged it, median of 5", f"{1000 * sorted(took)[2]:.0f} ms")


def helm_test(story: Story) -> None:
    """As the chart's notes say."""
    story.begin("helm test")
    started = time.monotonic()
    said = story.helm("test", "tradewind", "--timeout", "80s")
    # Helm is content where a chart has no test.
    assert "TEST SUITE" in said, f"no test ran: {said}"
    story.tell("passed after", f"{time.monotonic() - started:.1f} s")


def uninstall(story: Story, before: frozenset[str]) -> None:
    """Nothing of it is left in the cluster."""
    story.begin("Uninstall")
    started = time.monotonic()
    story.cluster.kubectl("delete", "namespace", DEMO, "--timeout=80s")
    story.helm("uninstall", "tradewind", "--wait")
    story.helm("uninstall", "tradewind-crds")
    story.cluster.kubectl("delete", "crd", "modelpools.tradewind.dev", "routingpolicies.tradewind.dev", "--timeout=60s")
    # What every namespace has, and the namespace itself, which `helm install --create-namespace` leaves too.
    before |= {f"{kind}/{SYSTEM}/{name}" for kind, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"))}
    _nothing_beside(story.cluster, before | {f"namespaces//{SYSTEM}"})
    story.tell("helm uninstall, until nothing is left but the namespace", f"{time.monotonic() - started:.1f} s")
    story.cluster.kubectl("delete", "namespace", SYSTEM, "--timeout=80s")
    _nothing_beside(story.cluster, before)
    story.tell("left in the cluster", "nothing")


def _nothing_beside(cluster: Nodes, known: frozenset[str], within_s: float = 60) -> None:
    until = time.monotonic() + within_s
    while left := inventory(cluster) - known:
        assert time.monotonic() < until, f"left in the cluster: {', '.join(sorted(left))}"
        # The garbage collector works in its own time.
        time.sleep(0.5)


def inventory(cluster: Nodes) -> frozenset[str]:
    """`resource/namespace/name` of all objects, but for what comes and goes by itself."""
    groups = cluster.api.get("/apis")["groups"]
    found = set()
    for version in ("/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)):
        for resource in (cluster.api.find(version) or {}).get("resources", ()):
            if "list" in resource["verbs"] and resource["name"] not in ("events", "leases", "componentstatuses"):
                items = (cluster.api.find(f"{version}/{resource['name']}") or {}).get("items", ())
                names = [(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items if not _copy(item)]
                found |= {f"{resource['name']}/{namespace}/{name}" for namespace, name in names}
    return frozenset(found)


def _copy(item: Object) -> bool:
    """Whether it is one of a workload's pods: the workload is in the inventory, and a drain changes its pods' names."""
    return any(owner["kind"] == "ReplicaSet" for owner in item["metadata"].get("ownerReferences", ()))
