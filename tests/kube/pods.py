"""Pods without a kubelet: real objects with real tokens, whose status a test sets as a kubelet would."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import rest
from cluster import Cluster, Namespace
from rest import Api, Object, RefusedError

NODE = "node-0"
_numbers = itertools.count(1)


def make_node(cluster: Cluster, name: str = NODE) -> None:
    """A Ready node that runs nothing."""
    cluster.api.apply(rest.path("nodes", name=name), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "lastHeartbeatTime": now(),
        "lastTransitionTime": now(),
    }
    status = {"conditions": [ready], "capacity": room, "allocatable": room}
    cluster.api.merge(rest.path("nodes", name=name, subresource="status"), {"status": status})
    # A new node is tainted as not ready, and who would take that back does not run.
    cluster.api.merge(rest.path("nodes", name=name), {"spec": {"taints": None}})


def make_account(namespace: Namespace, name: str) -> None:
    """A ServiceAccount."""
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    namespace.api.apply(namespace.path("serviceaccounts", name), body)


@dataclass(frozen=True)
class Pod:
    """A pod on the node, running nothing by itself. Its address is a loopback one, which pods may have (EndpointSlices not)."""

    namespace: Namespace
    name: str
    account: str
    uid: str
    ip: str

    @classmethod
    def create(cls, namespace: Namespace, name: str, account: str = "default", labels: Mapping[str, str] | None = None) -> Pod:
        """Creates it, pending. Its ServiceAccount must be there; `default`, which the cluster makes, is awaited."""
        number = next(_numbers)
        if account == "default":
            namespace.api.until(namespace.path("serviceaccounts", account), bool)
        body = {
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {
                "nodeName": NODE,
                "serviceAccountName": account,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "none"}],
            },
        }
        found = namespace.api.create(namespace.path("pods"), body)
        return cls(namespace, name, account, found["metadata"]["uid"], f"127.88.{number >> 8}.{number & 255}")

    def annotate(self, **annotations: str) -> None:
        """Adds annotations of ours."""
        found = {f"tradewind.dev/{name}": value for name, value in annotations.items()}
        self.namespace.api.merge(self.namespace.path("pods", self.name), {"metadata": {"annotations": found}})

    def ready(self, yes: bool = True) -> None:
        """Runs, and is Ready or not."""
        word = str(yes)
        conditions = [
            {"type": kind, "status": word if kind.endswith("Ready") else "True", "lastTransitionTime": now()}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ]
        container = {"name": "main", "image": "none", "imageID": "", "ready": yes, "restartCount": 0, "started": True}
        status = {
            "phase": "Running",
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "startTime": now(),
            "conditions": conditions,
            "containerStatuses": [{**container, "state": {"running": {"startedAt": now()}}}],
        }
        self.namespace.api.merge(self.namespace.path("pods", self.name, "status"), {"status": status})

    def token(self, audience: str = "", seconds: int = 3600) -> str:
        """A token of its ServiceAccount that ends with the pod, for an audience (the API server's where empty)."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": self.name, "uid": self.uid}
        asked: Object = {"boundObjectRef": bound, "expirationSeconds": seconds}
        if audience:
            asked["audiences"] = [audience]
        where = self.namespace.path("serviceaccounts", self.account, "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": asked}
        token: str = self.namespace.api.create(where, body)["status"]["token"]
        return token

    def delete(self) -> None:
        """At once, as nobody has to stop anything."""
        self.namespace.api.delete(self.namespace.path("pods", self.name))


class Probe:
    """What a kubelet does with `/readyz`: asks it again and again from outside, and tells when the answer turns.

    The first 200 is looked for every 20 ms; then only `failures` silent or bad answers in a row, one each `period_s`, count.
    A process that ended by itself is seen at once.
    """

    def __init__(
        self, url: str, alive: Callable[[], bool], turned: Callable[[bool], None], period_s: float = 5, failures: int = 3
    ) -> None:
        self._url = url
        self._alive = alive
        self._turned = turned
        self._period_s = period_s
        self._failures = failures
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._ready = False
        self._thread = threading.Thread(target=self._run, name=f"probe of {url}", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Asks no more."""
        self._stop.set()
        self._thread.join()

    def wait(self, within_s: float) -> bool:
        """Whether the first 200 came, and was told, within a time. Ends early where the process does."""
        self._settled.wait(within_s)
        return self._ready

    def _run(self) -> None:
        told, bad, next_at = False, 0, 0.0
        with httpx.Client(timeout=1) as client:
            while not self._stop.wait(0.02):
                ended = not self._alive()
                if not ended and time.monotonic() < next_at:
                    continue
                good = not ended and _answers(client, self._url)
                bad = 0 if good else bad + 1
                next_at = time.monotonic() + self._period_s if told else 0.0
                if told != good and (good or ended or bad >= self._failures) and self._tell(good):
                    told = good
                if ended:
                    self._settled.set()
                if ended and not told:
                    return

    def _tell(self, good: bool) -> bool:
        try:
            self._turned(good)
        except (httpx.TransportError, RefusedError):
            # The API server is away: a kubelet tries again too.
            return False
        if good:
            self._ready = True
            self._settled.set()
        return True


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def now() -> str:
    """As Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def review(api: Api, token: str, audience: str) -> Object:
    """The status of a TokenReview."""
    spec = {"token": token, "audiences": [audience]}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    status: Object = api.create(rest.path("tokenreviews"), body)["status"]
    return status
