"""What Tradewind does in a real Kubernetes, step by step: each step asserts, and gives figures."""

from __future__ import annotations

import base64
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import binaries
import helm
import httpx
import nodes
import rest
import yaml
from nodes import Nodes
from rest import Object

from children import Child

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
SYSTEM = helm.NAMESPACE
DEMO = "demo"
GUEST = "guest"
GATEWAY, CONTROLLER = "tradewind-gateway", "tradewind-controller"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
VALUES: dict[str, Any] = {
    # Two nodes share the cores of one machine, and one of them has to carry everything while the other is drained.
    "gateway": {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}, "settings": {"workers": 1}},
    "secretNamespaces": [DEMO],
    "tests": {"namespace": DEMO},
}
OUTAGE_S = 5.0
"""How long something stays away that nobody but us brings back."""


@dataclass(frozen=True)
class Row:
    """A figure of a step."""

    step: str
    what: str
    figure: str


@dataclass
class Story:
    """What is needed to tell it, and what has been told."""

    cluster: Nodes
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    edits: int = 0
    step: str = ""

    def begin(self, step: str) -> None:
        """Another step."""
        self.step = step
        self.say(f"— {step}")

    def tell(self, what: str, figure: str) -> None:
        """A figure of the step."""
        self.rows.append(Row(self.step, what, figure))
        self.say(f"    {what}: {figure}")

    def path(self, resource: str, name: str = "", namespace: str = SYSTEM) -> str:
        """Of a resource."""
        return rest.path(resource, namespace, name)

    def helm(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """Runs Helm in the install's namespace."""
        where = ("--namespace", SYSTEM)
        return helm.run(*arguments, *where, values=values, kubeconfig=self.cluster.admin_kubeconfig)

    def pods(self, component: str) -> list[Object]:
        """Pods of the install that are not being deleted."""
        selector = f"app.kubernetes.io/component={component}"
        found = self.cluster.api.call("GET", self.path("pods"), labelSelector=selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def gateways_available(self, within_s: float = 120) -> None:
        """Waits for all gateways."""
        self.cluster.available(SYSTEM, GATEWAY, within_s)

    @property
    def url(self) -> str:
        """Of the gateways' Service."""
        return f"http://{self.cluster.api.get(self.path('services', GATEWAY))['spec']['clusterIP']}/v1"

    def ask(self, url: str = "") -> httpx.Response:
        """A call that a policy routes."""
        body = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.post(f"{url or self.url}/chat/completions", json=body, headers=headers, timeout=10)

    def answered(self, url: str = "", within_s: float = 30) -> httpx.Response:
        """Asks until there is an answer."""
        url = url or self.url
        until = time.monotonic() + within_s
        last = ""
        while time.monotonic() < until:
            try:
                answer = self.ask(url)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if answer.status_code == 200:
                    return answer
                last = f"{answer.status_code} {answer.text}"
            time.sleep(0.02)
        raise AssertionError(f"no answer within {within_s} s; last: {last}")

    def edit(self, within_s: float = 60) -> float:
        """Edits the policy, waits until it is Programmed, and gives the seconds that took."""
        self.edits += 1
        where = self.path("routingpolicies", "default", DEMO)
        started = time.monotonic()
        spec = {"strategy": {"type": "Utility", "utility": {"willingnessToPayUSD": f"0.0{15 + self.edits}"}}}
        edited = self.cluster.api.merge(where, {"spec": spec})
        self.programmed(where, edited["metadata"]["generation"], within_s)
        return time.monotonic() - started

    def programmed(self, where: str, generation: int, within_s: float) -> None:
        """Waits until a generation of a resource is acknowledged by every Ready gateway."""

        def holds(found: Object | None) -> bool:
            condition = rest.condition(found, "Programmed")
            return condition.get("status") == "True" and condition.get("observedGeneration") == generation

        self.cluster.api.until(where, holds, within_s, f"{where} is Programmed")


@dataclass(frozen=True)
class Result:
    """What `load.py` counted."""

    calls: int
    failed: int
    lost: int
    failing_s: float
    median_ms: float
    p99_ms: float
    failures: dict[str, int]

    def __str__(self) -> str:
        text = f"{self.calls} calls, {self.lost} lost"
        if self.failed:
            kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.failures.items()))
            text += f"; {self.failed} attempts failed within {self.failing_s:.1f} s ({kinds}) and were tried again"
        return text


class Load:
    """A context manager: callers with kept connections, in the network of the first node."""

    def __init__(self, story: Story, workers: int = 8) -> None:
        command = [sys.executable, str(HERE / "load.py"), story.url, str(workers)]
        log = story.cluster.folder / "load.log"
        self._child = Child("load", command, log, {"LOAD_KEY": story.key})
        self.result: Result

    def __enter__(self) -> Load:
        process = self._child.start(subprocess.PIPE)
        assert process.stdout is not None
        self._stdout = process.stdout
        assert self._stdout.readline() == b"began\n", self._child.tail()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.signal(signal.SIGTERM)
        with self._stdout:
            self.result = Result(**json.loads(self._stdout.readline()))


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


def rolling_update(story: Story) -> None:
    """Under load."""
    story.begin("Rolling update of gateways")
    with Load(story) as load:
        started = time.monotonic()
        values = {**VALUES, "gateway": {**VALUES["gateway"], "podAnnotations": {"example.com/restarted": "1"}}}
        story.helm("upgrade", "tradewind", helm.CHART, values=values)
        story.gateways_available()
        took = time.monotonic() - started
        gone(story, "gateway", 2)
    story.tell("helm upgrade, until all are new", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"a rolling update lost calls: {load.result}"


def drain(story: Story) -> None:
    """Of the second node, under load."""
    story.begin("Drain of a node")
    second = story.cluster.nodes[1]
    with Load(story) as load:
        started = time.monotonic()
        story.cluster.kubectl("drain", second.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=80s")
        took = time.monotonic() - started
        story.gateways_available()
    story.tell("kubectl drain", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"a drain lost calls: {load.result}"
    story.cluster.kubectl("uncordon", second.name)
    spread(story)


def gone(story: Story, component: str, remain: int, within_s: float = 90) -> None:
    """Waits until no pod of a component but so many is there, those that are being deleted included."""
    selector = f"app.kubernetes.io/component={component}"
    until = time.monotonic() + within_s
    while len(story.cluster.api.call("GET", story.path("pods"), labelSelector=selector)["items"]) > remain:
        assert time.monotonic() < until, f"more than {remain} pods of {component} after {within_s} s"
        time.sleep(0.2)


def spread(story: Story) -> None:
    """One gateway on each node again."""
    for name in (CONTROLLER, GATEWAY):
        story.cluster.kubectl("--namespace", SYSTEM, "rollout", "restart", f"deployment/{name}")
    for name in (CONTROLLER, GATEWAY):
        story.cluster.available(SYSTEM, name, 120)
    gone(story, "gateway", 2)
    gone(story, "controller", 2)
    where = sorted(pod["spec"]["nodeName"] for pod in story.pods("gateway"))
    assert where == ["node1", "node2"], f"gateways are on {where}"


def kill(story: Story, pod: Object, container: str) -> None:
    """kill -9 of a container's processes."""
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"]["containerStatuses"]
    identity = next(status["containerID"] for status in statuses if status["name"] == container).removeprefix("containerd://")
    node = next(node for node in story.cluster.nodes if node.name == pod["spec"]["nodeName"])
    found = node.processes(identity)
    assert found, f"no process of {pod['metadata']['name']}/{container}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def restarted(story: Story, pod: Object, container: str, within_s: float = 60) -> float:
    """Waits until a container that was killed is started again, and gives the seconds that took."""
    before = _restarts(pod, container)
    where = story.path("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
    started = time.monotonic()
    story.cluster.api.until(where, lambda found: _restarts(found, container) > before and nodes.is_ready(found), within_s)
    return time.monotonic() - started


def _restarts(pod: Object | None, container: str) -> int:
    status = (pod or {}).get("status", {})
    statuses = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return next((each["restartCount"] for each in statuses if each["name"] == container), 0)


def kill_gateway(story: Story) -> None:
    """One of two, under load."""
    story.begin("kill -9 of a gateway")
    victim = story.pods("gateway")[0]
    with Load(story) as load:
        kill(story, victim, "gateway")
        took = restarted(story, victim, "gateway")
    story.tell("until its pod is Ready again", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.lost == 0, f"lost though tried again: {load.result}"


def kill_controller(story: Story) -> None:
    """The leader, under load."""
    story.begin("kill -9 of the leading controller")
    lease = story.cluster.api.get(story.path("leases", CONTROLLER))
    victim = next(pod for pod in story.pods("controller") if pod["metadata"]["name"] == lease["spec"]["holderIdentity"])
    with Load(story) as load:
        kill(story, victim, "controller")
        took = story.edit()
        restarted(story, victim, "controller", 90)
    story.tell("an edit made at that moment is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.lost == 0, f"calls were lost without the controller: {load.result}"


def kill_kubelet(story: Story) -> None:
    """Of the second node, under load."""
    story.begin("kill -9 of a kubelet")
    node = story.cluster.nodes[1]
    before = _all_restarts(story)
    with Load(story) as load:
        kubelet = node.services["kubelet"]
        kubelet.kill()
        time.sleep(OUTAGE_S)
        kubelet.start()
        story.cluster.ready_node(node)
        took = story.edit()
    story.tell(f"away for {OUTAGE_S:.0f} s; an edit after that is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.lost == 0, f"calls were lost without a kubelet: {load.result}"
    assert _all_restarts(story) == before, "containers were started again"


def kill_api_server(story: Story) -> None:
    """Under load."""
    story.begin("kill -9 of the API server")
    before = _all_restarts(story)
    with Load(story) as load:
        story.cluster.apiserver.kill()
        time.sleep(OUTAGE_S)
        story.cluster.apiserver.start()
        story.cluster.ready()
        took = story.edit()
    story.tell(f"away for {OUTAGE_S:.0f} s; an edit after that is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.lost == 0, f"calls were lost without the API server: {load.result}"
    assert _all_restarts(story) == before, "containers were started again"


def _all_restarts(story: Story) -> dict[str, int]:
    pods = (*story.pods("gateway"), *story.pods("controller"))
    return {pod["metadata"]["name"]: _restarts(pod, pod["spec"]["containers"][0]["name"]) for pod in pods}


def kill_node(story: Story) -> None:
    """The second, with a gateway on it, under load; then it comes back."""
    story.begin("Death of a node")
    node = story.cluster.nodes[1]
    where = rest.path("nodes", name=node.name)
    with Load(story) as load:
        started = time.monotonic()
        node.kill()
        story.cluster.api.until(where, lambda found: not nodes.is_ready(found), 60, "the node is NotReady")
        took = time.monotonic() - started
        took_edit = story.edit()
    story.tell("until it is NotReady (grace period of 12 s; Kubernetes' default is 50)", f"{took:.1f} s")
    story.tell("an edit after that is Programmed after", f"{took_edit:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    with Load(story) as load:
        started = time.monotonic()
        node.up()
        node.plug_in()
        node.start_runtime([])
        node.start_kubelet()
        story.cluster.ready_node(node)
        story.gateways_available()
        took = time.monotonic() - started
    story.tell("switched on again, until all gateways are Ready", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"calls failed when the node came back: {load.result}"
    spread(story)


def bootstrap(story: Story) -> None:
    """A new gateway while no controller is there."""
    story.begin("A new gateway without a controller")
    api = story.cluster.api
    controllers = _scale_controllers(story, 0)
    gone(story, "controller", 0)
    victim = story.pods("gateway")[0]["metadata"]["name"]
    known = {pod["metadata"]["uid"] for pod in story.pods("gateway")}
    with Load(story) as load:
        started = time.monotonic()
        api.delete(story.path("pods", victim))
        fresh = _fresh(story, known)
        took = time.monotonic() - started
        gone(story, "gateway", 2)
        time.sleep(OUTAGE_S)
    where = story.path("pods", fresh["metadata"]["name"])
    address = api.get(where)["status"]["podIP"]
    plan = httpx.get(f"http://{address}:4002/plan").raise_for_status().json()
    assert plan["source"].startswith("/var/run/tradewind/plan"), f"its plan is of {plan['source']}"
    story.tell("until it serves the plan that is mounted from the ConfigMap", f"{took:.1f} s")
    # Callers' keys are in no ConfigMap: nobody can be known to it yet.
    answer = httpx.get(f"http://{address}:4002/readyz")
    code = answer.json()["error"]["code"]
    assert (answer.status_code, code) == (503, "identity_unavailable"), f"it answered {answer.status_code} {answer.text}"
    assert not nodes.is_ready(api.get(where)), "it is Ready, and knows no caller"
    story.tell("its `/readyz`", f"{answer.status_code} `{code}`")
    story.tell(f"calls meanwhile, and for {OUTAGE_S:.0f} s after, by the other", str(load.result))
    assert load.result.lost == 0, f"calls were lost to a gateway that knows no callers: {load.result}"
    _scale_controllers(story, controllers)
    story.cluster.available(SYSTEM, CONTROLLER, 90)
    story.gateways_available()
    story.tell("controllers are back; an edit is Programmed after", f"{story.edit():.1f} s")


def _fresh(story: Story, known: set[str], within_s: float = 30) -> Object:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for pod in story.pods("gateway"):
            started = any(container.get("started") for container in pod.get("status", {}).get("containerStatuses", ()))
            if pod["metadata"]["uid"] not in known and started:
                return pod
        time.sleep(0.05)
    raise AssertionError(f"no new gateway has started within {within_s} s")


def _scale_controllers(story: Story, replicas: int) -> int:
    """Another number of controllers. Gives what it was."""
    where = story.path("deployments", CONTROLLER)
    was: int = story.cluster.api.get(where)["spec"]["replicas"]
    story.cluster.api.merge(where, {"spec": {"replicas": replicas}})
    return was


def app_pod(name: str) -> Object:
    """An application with the label, in Pod Security `restricted`."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "app",
        "image": "ghcr.io/tradewind/tradewind-controller:0.1.0",
        "command": ["/venv/bin/python", "-c", (HERE / "app.py").read_text()],
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
        kill(story, pod, "tradewind")
        failing = log.next()
        mended = log.next()
        story.tell("kill -9 of the sidecar: the application's calls fail for", f"{mended['mended_after_s']:.1f} s")
        story.tell("calls that failed", f"{mended['failed']}, all of that time ({failing['failing']})")
        restarted_once = story.cluster.api.get(where)
        assert _restarts(restarted_once, "app") == 0, "the application was started again"
        started = time.monotonic()
        story.cluster.kubectl("--namespace", DEMO, "delete", "pod", "app", "--wait=false")
        last = log.next()
        story.cluster.api.gone(where, 60)
    story.tell("calls after the application's SIGTERM, while it goes on for 3 s", f"{last['after_sigterm']}, 0 failed")
    assert last["failed"] == mended["failed"], f"calls failed while the pod ended: {last}"
    assert last["after_sigterm"] > 0
    story.tell("until the pod is gone", f"{time.monotonic() - started:.1f} s")
    job(story)


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


def tell(cluster: Nodes, say: Callable[[str], None]) -> list[Row]:
    """All steps. Raises AssertionError with the reason where one does not hold."""
    story = Story(cluster, say)
    try:
        _tell(story)
    except (AssertionError, helm.RefusedError, rest.RefusedError, httpx.TransportError) as error:
        raise AssertionError(f"{story.step}: {error}\n\n{_state(story)}") from error
    return story.rows


def _tell(story: Story) -> None:
    before = inventory(story.cluster)
    for step in (
        install,
        first_answer,
        sidecar,
        hop,
        rolling_update,
        drain,
        kill_gateway,
        kill_controller,
        kill_node,
        kill_kubelet,
        bootstrap,
        kill_api_server,
        helm_test,
    ):
        step(story)
    uninstall(story, before)


def _state(story: Story) -> str:
    """What somebody who looks for the reason would ask first."""
    asked = (
        ("get", "nodes,pods", "--all-namespaces", "--output=wide"),
        ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
        *(("logs", "--namespace", SYSTEM, f"deployment/{name}", "--tail=20", "--all-pods") for name in (CONTROLLER, GATEWAY)),
        ("logs", "--namespace", DEMO, "--selector=tradewind.dev/sidecar=enabled", "--container=tradewind", "--tail=20"),
    )
    said = [story.cluster.kubectl(*arguments, check=False) for arguments in asked]
    return "\n".join(part[-6000:] for done in said for part in (done.stdout, done.stderr))
