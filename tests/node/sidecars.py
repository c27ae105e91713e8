"""Applications with a sidecar by one label: in a pod, in a Job, and in another namespace."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import binaries
import containers
import nodes
import rest
from installation import DEMO, DOCS, RESTRICTED
from rest import Object

from children import Child

if TYPE_CHECKING:
    from story import Story

APP = Path(__file__).with_name("app.py")
GUEST = "guest"


def sidecar(story: Story) -> None:
    """Before the application and after it; killed; and in a Job."""
    story.begin("A sidecar by one label")
    where = story.path("pods", "app", DEMO)
    started = time.monotonic()
    story.cluster.api.create(story.path("pods", "", DEMO), app_pod("app"))
    pod = story.cluster.api.until(where, nodes.is_ready, 60, "the application is Ready")
    story.tell("from the pod's creation until it is Ready, sidecar included", f"{time.monotonic() - started:.1f} s")
    assert [container["name"] for container in pod["spec"]["initContainers"]] == ["tradewind"]
    with Log(story, "app") as log:
        first = log.next()
        assert first == {"first": "answered"}, f"the application's first call: {first}"
        story.tell("the application's first call", "answered")
        containers.kill(story, pod, "tradewind")
        failing = log.next()
        mended = log.next()
        story.tell("kill -9 of the sidecar: the application's calls fail for", f"{mended['mended_after_s']:.1f} s")
        story.tell("calls that failed", f"{mended['failed']}, all of that time ({failing['failing']})")
        restarted_once = story.cluster.api.get(where)
        assert containers.restarts(restarted_once, "app") == 0, "the application was started again"
        started = time.monotonic()
        story.cluster.kubectl("--namespace", DEMO, "delete", "pod", "app", "--wait=false")
        last = log.next()
        story.cluster.api.gone(where, 60)
    story.tell("calls after the application's SIGTERM, while it goes on for 3 s", f"{last['after_sigterm']}, 0 failed")
    assert last["failed"] == mended["failed"], f"calls failed while the pod ended: {last}"
    assert last["after_sigterm"] > 0
    story.tell("until the pod is gone", f"{time.monotonic() - started:.1f} s")
    job(story)


def app_pod(name: str) -> Object:
    """An application with the label, in Pod Security `restricted`."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "app",
        "image": "ghcr.io/tradewind/tradewind-controller:0.1.0",
        "command": ["/venv/bin/python", "-c", APP.read_text()],
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"tradewind.dev/sidecar": "enabled"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 20,
            "nodeName": "node1",
            "containers": [container],
        },
    }


def job(story: Story) -> None:
    """The quick start's."""
    started = time.monotonic()
    manifest = (DOCS / "quickstart-sidecar.yaml").read_text()
    said = _job(story, manifest, DEMO)
    story.tell("the quick start's Job with a sidecar is complete after", f"{time.monotonic() - started:.1f} s")
    assert said.startswith(f"{DEMO}/chat/"), f"the Job said {said}"


def hop(story: Story) -> None:
    """A sidecar of another namespace, by a pool that it may use and whose keys it may not see."""
    story.begin("A sidecar with a pool of another namespace")
    api = story.cluster.api
    api.create(rest.path("namespaces"), {"metadata": {"name": GUEST, "labels": RESTRICTED}})
    api.merge(story.path("modelpools", "chat", DEMO), {"spec": {"allowedNamespaces": {"from": "All"}}})
    policy = story.path("routingpolicies", "default", GUEST)
    api.apply(policy, _policy(DEMO))
    story.programmed(policy, 1, 30)
    started = time.monotonic()
    said = _job(
        story, (DOCS / "quickstart-sidecar.yaml").read_text().replace(f"namespace: {DEMO}", f"namespace: {GUEST}"), GUEST
    )
    story.tell("a Job there is complete, over TLS through a gateway, after", f"{time.monotonic() - started:.1f} s")
    assert said.startswith(f"{DEMO}/chat/"), f"the Job said {said}"
    story.cluster.kubectl("delete", "namespace", GUEST, "--timeout=80s")


def _policy(of: str) -> Object:
    return {
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": "RoutingPolicy",
        "metadata": {"name": "default", "namespace": GUEST},
        "spec": {
            "poolRefs": [{"name": "chat", "namespace": of}],
            "match": {"models": ["auto"]},
            "strategy": {"type": "Utility", "utility": {"willingnessToPayUSD": "0.01"}},
        },
    }


def _job(story: Story, manifest: str, namespace: str) -> str:
    """Runs Job `ask`, and gives what its application said."""
    story.cluster.apply(manifest)
    where = story.path("jobs", "ask", namespace)
    story.cluster.api.until(
        where, lambda found: rest.condition(found, "Complete").get("status") == "True", 60, "Job is complete"
    )
    return story.cluster.kubectl("--namespace", namespace, "logs", "job/ask", "--container", "app").stdout


class Log:
    """A context manager: lines of an application's log, as they come."""

    def __init__(self, story: Story, pod: str) -> None:
        kubectl = (str(binaries.KUBECTL), "--kubeconfig", str(story.cluster.admin_kubeconfig))
        command = [*kubectl, "--namespace", DEMO, "logs", "--follow", pod, "--container", "app"]
        environment = {"KUBECACHEDIR": str(story.cluster.folder / "kubectl")}
        self._child = Child("log", command, story.cluster.folder / "follow.log", environment)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> Log:
        stdout = self._child.start(subprocess.PIPE).stdout
        assert stdout is not None
        self._stdout = stdout
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()

    def next(self, within_s: float = 60) -> dict[str, Any]:
        """The next line."""
        try:
            found: dict[str, Any] = json.loads(self._lines.get(timeout=within_s))
        except queue.Empty:
            raise AssertionError(f"the application said nothing within {within_s} s") from None
        return found

    def _read(self) -> None:
        with self._stdout:
            for line in self._stdout:
                self._lines.put(line)
