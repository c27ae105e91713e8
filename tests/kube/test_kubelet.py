"""What the other tests take a kubelet for: start order, mounts, probes, restarts and ends of processes that are pods."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import kubelet
import pytest
import rest
from cluster import Cluster, Namespace
from kubelet import Kubelet
from rest import Object
from services import Proxy, Services

import children

PROGRAMS = {"python": [sys.executable]}
SERVER = """
import http.server, os, pathlib, sys, time
def log(word):
    with open("/var/lib/shared/log", "a") as file: file.write(f"{sys.argv[1]} {word}\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        file = pathlib.Path(self.path)
        self.send_response(200 if file.exists() else 404)
        self.end_headers()
        self.wfile.write(file.read_bytes() if file.is_file() else b"")
    def log_message(self, *_): pass
import signal
signal.signal(signal.SIGTERM, lambda *_: (log("ends"), sys.exit(0)))
log("starts")
if len(sys.argv) > 3: sys.exit(0)
http.server.ThreadingHTTPServer(("0.0.0.0".replace("0.0.0.0", os.environ["POD_IP"]), int(sys.argv[2])), Handler).serve_forever()
"""


def container(name: str, port: int, *more: str, **fields: object) -> Object:
    variable = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "name": name,
        "image": "registry.example/python:1",
        "args": ["-c", SERVER, name, str(port), *more],
        "env": [variable],
        "ports": [{"name": "http", "containerPort": port}],
        "volumeMounts": [{"name": "shared", "mountPath": "/var/lib/shared"}],
        **fields,
    }


def probe(path: str, **fields: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, **fields}


SHARED: Object = {"name": "shared", "emptyDir": {}}


def template(*containers: Object, **fields: object) -> Object:
    return {"metadata": {"labels": {"app": "one"}}, "spec": {"containers": list(containers), "volumes": [SHARED], **fields}}


def deploy(place: Namespace, pod: Object) -> None:
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "one"}}, "template": pod}
    place.api.create(place.path("deployments"), {"metadata": {"name": "one"}, "spec": spec})


@pytest.fixture
def place(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> Iterator[tuple[Namespace, Kubelet, Services]]:
    """A namespace whose pods run."""
    if why := kubelet.missing():
        pytest.skip(f"processes cannot have mounts of their own: {why}")
    namespace.api.until(namespace.path("serviceaccounts", "default"), bool)
    with (
        Services(cluster, namespace.name, tmp_path) as services,
        children.folder(room=0) as memory,
        Kubelet(cluster, namespace.name, tmp_path, memory, PROGRAMS, services.hosts) as made,
    ):
        yield namespace, made, services


def only_pod(place: Namespace, *, ready: bool = True) -> Object:
    """The pod, once there is one and it is ready or not."""
    for kind, found in place.api.watch(place.path("pods"), 30):
        if kind != "DELETED" and rest.condition(found, "Ready").get("status") == str(ready):
            return found
    raise AssertionError("no such pod within 30 s")


def log(made: Kubelet, pod: Object) -> list[str]:
    return (made.folder / pod["metadata"]["name"] / "shared" / "log").read_text().splitlines()


def test_a_pod_waits_for_its_config_map_and_is_reached_when_it_is_ready(place: tuple[Namespace, Kubelet, Services]) -> None:
    namespace, _, services = place
    shared = {"name": "shared", "mountPath": "/var/lib/shared"}
    mounts = [shared, {"name": "config", "mountPath": "/run/config", "readOnly": True}]
    config = {"name": "config", "configMap": {"name": "late"}}
    one = container("one", 8000, readinessProbe=probe("/var/lib/shared/open"), volumeMounts=mounts)
    deploy(namespace, template(one, volumes=[SHARED, config]))
    spec = {"selector": {"app": "one"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    namespace.api.create(namespace.path("services"), {"metadata": {"name": "one"}, "spec": spec})
    pod = only_pod(namespace, ready=False)
    where = namespace.path("pods", pod["metadata"]["name"])
    assert pod["status"]["phase"] == "Pending"
    namespace.kubectl("create", "configmap", "late", "--from-literal=word=hello")
    namespace.api.until(where, lambda found: found is not None and found["status"]["phase"] == "Running", 20)
    with Proxy(services, "one", "http") as proxy:
        with pytest.raises(httpx.TransportError):
            httpx.get(proxy.url)
        assert proxy.unserved == 1
        # Its readiness is what it finds in its own folders.
        (place[1].folder / pod["metadata"]["name"] / "shared" / "open").touch()
        only_pod(namespace)
        turned = kubelet.threading.Event()
        services.changes.append(lambda: turned.set() if services.of("one") and services.of("one")[0].ready else None)
        assert turned.wait(10)
        assert httpx.get(f"{proxy.url}/run/config/word").text == "hello"
        token = httpx.get(f"{proxy.url}/var/run/secrets/kubernetes.io/serviceaccount/token").text
        assert token.count(".") == 2


def test_a_container_that_dies_or_is_not_well_is_started_again(place: tuple[Namespace, Kubelet, Services]) -> None:
    namespace, made, _ = place
    well = probe("/var/lib/shared/well", failureThreshold=1)
    deploy(namespace, template(container("one", 8000, startupProbe=probe("/var/lib/shared/log"), livenessProbe=well)))
    pod = only_pod(namespace)
    where = namespace.path("pods", pod["metadata"]["name"])

    def status(found: Object | None) -> Object:
        (row,) = (found or {})["status"]["containerStatuses"]
        return dict(row)

    # Not well: it is asked to end, and starts again at once.
    namespace.api.until(where, lambda found: status(found)["restartCount"] == 1, 20)
    (made.folder / pod["metadata"]["name"] / "shared" / "well").touch()
    namespace.api.until(where, lambda found: bool(status(found)["ready"]), 20)
    assert log(made, pod) == ["one starts", "one ends", "one starts"]

    made.container(pod["metadata"]["name"], "one").kill()
    again = namespace.api.until(where, lambda found: "waiting" in status(found)["state"], 20)
    assert status(again)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert rest.condition(again, "Ready")["status"] == "False"


def test_a_sidecar_starts_first_and_stops_last(place: tuple[Namespace, Kubelet, Services]) -> None:
    namespace, made, _ = place
    sidecar = container("sidecar", 8001, restartPolicy="Always", startupProbe=probe("/var/lib/shared/log"))
    init = container("init", 8002, "once")
    one = container("one", 8000, lifecycle={"preStop": {"sleep": {"seconds": 1}}}, readinessProbe=probe("/var/lib/shared/log"))
    deploy(namespace, template(one, initContainers=[sidecar, init], terminationGracePeriodSeconds=20))
    pod = only_pod(namespace)
    assert log(made, pod) == ["sidecar starts", "init starts", "one starts"]
    namespace.api.merge(namespace.path("deployments", "one"), {"spec": {"replicas": 0}})
    namespace.api.gone(namespace.path("pods", pod["metadata"]["name"]))
    assert log(made, pod)[3:] == ["one ends", "sidecar ends"]


def test_a_job_with_a_sidecar_completes(place: tuple[Namespace, Kubelet, Services]) -> None:
    namespace, _, _ = place
    pod = template(container("one", 8000, "once"), initContainers=[container("sidecar", 8001, restartPolicy="Always")])
    pod["spec"]["restartPolicy"] = "Never"
    namespace.api.create(namespace.path("jobs"), {"metadata": {"name": "one"}, "spec": {"template": pod}})
    job = namespace.path("jobs", "one")
    namespace.api.until(job, lambda found: rest.condition(found, "Complete").get("status") == "True", 30)


UNPLAYED = {
    "image registry.example/nothing:1; there are python": {"image": "registry.example/nothing:1"},
    "readinessProbe of container one": {"readinessProbe": {"tcpSocket": {"port": 8000}}},
    "preStop of container one": {"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}},
}


@pytest.mark.parametrize("said", UNPLAYED)
def test_what_is_not_played_is_a_fault(cluster: Cluster, namespace: Namespace, tmp_path: Path, said: str) -> None:
    if why := kubelet.missing():
        pytest.skip(f"processes cannot have mounts of their own: {why}")
    namespace.api.until(namespace.path("serviceaccounts", "default"), bool)
    hosts = tmp_path / "hosts"
    hosts.touch()
    made = Kubelet(cluster, namespace.name, tmp_path, tmp_path, PROGRAMS, hosts)
    with pytest.raises(AssertionError, match=re.escape(said)), made:  # noqa: PT012
        deploy(namespace, template({**container("one", 8000), **UNPLAYED[said]}))
        only_pod(namespace, ready=False)
