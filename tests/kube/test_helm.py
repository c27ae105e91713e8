"""The charts on a real API server: installed, changed, rolled back and removed, beside a controller that runs as they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cluster as control_plane
import helm
import pytest
import rest
import teams
import yaml
from cluster import Cluster, Namespace
from helm import CHART, CRDS, NAMESPACE, Object, RefusedError

from children import Child
from simulators import COMMAND

POOL = teams.PLAIN_POOL.format(url="http://127.0.0.1:1/v1")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NOISE = ("events", "events.events.k8s.io", "endpointslices.discovery.k8s.io", "componentstatuses")
"""What comes and goes by itself."""


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """A control plane that knows nothing of us: what belongs to no namespace can be there once only."""
    control_plane.skip_where_absent()
    with control_plane.started() as found:
        yield found


@pytest.fixture
def place(bare: Cluster) -> Iterator[Namespace]:
    """The release's namespace, which enforces Pod Security `restricted`; gone in the end."""
    bare.api.create(rest.path("namespaces"), {"metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
    found = Namespace(bare, NAMESPACE)
    for resource, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        bare.api.until(found.path(resource, name), bool, 30, "what the cluster makes in each namespace")
    yield found
    bare.api.delete(rest.path("namespaces", name=NAMESPACE))
    bare.api.gone(rest.path("namespaces", name=NAMESPACE), 60)


def act(place: Namespace, verb: str, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
    """`helm install tradewind …` in the namespace, with the admin's rights."""
    where = ("--namespace", place.name)
    return helm.run(verb, *arguments, *where, values=values, kubeconfig=place.cluster.admin_kubeconfig)


def define(place: Namespace) -> None:
    """The definitions, by their chart, and waits until they are served."""
    act(place, "install", "tradewind-crds", CRDS)
    for name in ("modelpools", "routingpolicies"):
        where = rest.path("customresourcedefinitions", name=f"{name}.tradewind.dev")
        place.api.until(where, lambda found: rest.condition(found, "Established").get("status") == "True")


def undefine(place: Namespace) -> None:
    """As the notes of their chart say."""
    place.kubectl("delete", "crd", "modelpools.tradewind.dev", "routingpolicies.tradewind.dev")


def everything(cluster: Cluster) -> set[tuple[str, str, str]]:
    """(resource, namespace, name) of all that the API server can list, but for what comes and goes by itself."""
    groups = cluster.api.get("/apis")["groups"]
    versions = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    found = set()
    for version in versions:
        group = version.split("/")[2] if version.startswith("/apis") else ""
        for resource in looked(cluster, version).get("resources", ()):
            name = f"{resource['name']}.{group}".rstrip(".")
            if "list" in resource["verbs"] and name not in NOISE:
                items = looked(cluster, f"{version}/{resource['name']}").get("items", ())
                found |= {(name, item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items}
    return found


def looked(cluster: Cluster, where: str) -> Object:
    """What is there; nothing where it goes meanwhile, as kinds do with their definition."""
    while True:
        try:
            return cluster.api.find(where) or {}
        except rest.RefusedError as refused:
            # "storage is (re)initializing": a definition has just come or gone.
            if refused.code != 429:
                raise
            time.sleep(0.1)


def rendered(place: Namespace, values: dict[str, Any] | None = None) -> list[Object]:
    """What GitOps would apply: the chart, rendered for what this cluster has."""
    groups = place.cluster.kubectl("api-versions").stdout.split()
    kinds = ["admissionregistration.k8s.io/v1/MutatingAdmissionPolicy", "tradewind.dev/v1alpha1/ModelPool"]
    documents = helm.template(values=values, apis=[*groups, *kinds], namespace=place.name)
    return [found for found in documents if not helm.hook(found)]


def live(place: Namespace, documents: list[Object]) -> dict[tuple[str, str], Object]:
    """What the API server holds of rendered objects."""
    text = place.kubectl("get", "--filename=-", "--output=json", input=yaml.safe_dump_all(documents)).stdout
    return {(found["kind"], found["metadata"]["name"]): found for found in json.loads(text)["items"]}


def versions(place: Namespace, documents: list[Object]) -> dict[tuple[str, str], str]:
    """Any write changes them. Workloads and budgets have a status that others write: of those, the generation."""
    found = live(place, documents)
    return {key: str(part["metadata"].get("generation", part["metadata"]["resourceVersion"])) for key, part in found.items()}


@contextmanager
def controller(place: Namespace, folder: Path) -> Iterator[Child]:
    """The program of the controller's Deployment with the variables that it has there, apart from where it listens."""
    found = place.api.get(place.path("deployments", "tradewind-controller"))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    fields = {"metadata.namespace": place.name, "metadata.name": "tradewind-controller-0"}
    environment = {
        entry["name"]: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }
    listen, metrics = control_plane.free_ports(2)
    environment |= {
        "TRADEWIND_CONTROLLER_LISTEN": f"127.0.0.1:{listen}",
        "TRADEWIND_CONTROLLER_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "TRADEWIND_CONTROLLER_PREDICTOR_CACHE": str(folder / "predictors"),
    }
    token = place.kubectl("create", "token", found["spec"]["template"]["spec"]["serviceAccountName"]).stdout.strip()
    environment["KUBECONFIG"] = str(place.cluster.kubeconfig("tradewind-controller", token))
    child = Child("controller", [COMMAND, *container["args"]], folder / "controller.log", environment)
    child.start()
    try:
        place.api.until(place.path("configmaps", "tradewind-plan"), bool, 30, "the controller publishes a plan")
        yield child
    finally:
        if child.alive:
            child.stop()


def newer(folder: Path) -> Path:
    """The chart as its next version will be."""
    chart = folder / "tradewind"
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    file.write_text(file.read_text().replace("ersion: 0.1.0", "ersion: 0.2.0"))
    return chart


def images(place: Namespace) -> set[str]:
    """Of the gateways and the controllers."""
    names = ("tradewind-gateway", "tradewind-controller")
    found = [place.api.get(place.path("deployments", name)) for name in names]
    return {entry["spec"]["template"]["spec"]["containers"][0]["image"].rsplit(":")[-1] for entry in found}


def test_a_release_is_installed_changed_rolled_back_and_leaves_nothing(bare: Cluster, place: Namespace, tmp_path: Path) -> None:
    before = everything(bare)
    for turn in ("first", "second"):
        folder = tmp_path / turn
        folder.mkdir()
        define(place)
        assert "WARNING" not in act(place, "install", "tradewind", CHART)
        documents = rendered(place)
        installed = versions(place, documents)
        with controller(place, folder):
            authority = place.api.get(place.path("secrets", "tradewind-ca"))["data"]
            with control_plane.namespace(bare) as team:
                team.apply(POOL)
                where = team.path("modelpools", "pool")
                team.api.until(where, lambda pool: rest.condition(pool, "Accepted").get("status") == "True", 20)
            bare.api.gone(rest.path("namespaces", name=team.name))

            # Nothing that the chart renders is written by anybody else, and nothing is rendered anew.
            act(place, "upgrade", "tradewind", CHART)
            assert versions(place, documents) == installed

            act(place, "upgrade", "tradewind", CHART, values={"gateway": {"drainSeconds": 60}})
            changed = place.api.get(place.path("deployments", "tradewind-gateway"))["spec"]["template"]["spec"]
            assert changed["terminationGracePeriodSeconds"] == 5 + 2 + 60 + 5
            act(place, "upgrade", "tradewind", newer(folder))
            assert images(place) == {"0.2.0"}
            act(place, "rollback", "tradewind", "1")
            assert images(place) == {"0.1.0"}
            assert live(place, documents).keys() == installed.keys()

            # Another manager of the same fields: the first time it becomes one, then nothing is written.
            generations = versions(place, [found for found in documents if found["kind"] in ("Deployment", "NetworkPolicy")])
            place.apply(yaml.safe_dump_all(documents))
            again = versions(place, documents)
            assert generations.items() <= again.items()
            place.apply(yaml.safe_dump_all(documents))
            assert versions(place, documents) == again
            act(place, "upgrade", "tradewind", CHART)
            assert versions(place, documents) == again

            assert place.api.get(place.path("secrets", "tradewind-ca"))["data"] == authority
        act(place, "uninstall", "tradewind", "--wait")
        act(place, "uninstall", "tradewind-crds")
        assert place.api.get(rest.path("customresourcedefinitions", name="modelpools.tradewind.dev"))
        undefine(place)
        left(place, before)


def left(place: Namespace, before: set[tuple[str, str, str]]) -> None:
    """Waits until nothing is: what the release's objects own, the garbage collector takes."""
    until = time.monotonic() + 60
    while remains := everything(place.cluster) - before:
        assert time.monotonic() < until, remains
        # All kinds are looked at, and no watch tells of all kinds.
        time.sleep(0.2)


def test_another_release_in_the_cluster_is_refused(bare: Cluster, place: Namespace) -> None:
    said = act(place, "install", "tradewind", CHART)
    assert "WARNING: the custom resources are not defined here" in said
    assert "Pods labelled `tradewind.dev/sidecar: enabled` get a sidecar" in said
    with control_plane.namespace(bare) as elsewhere:
        with pytest.raises(RefusedError, match=r'ClusterRole "tradewind-controller" .*cannot be imported'):
            act(elsewhere, "install", "another", CHART)
        assert elsewhere.kubectl("get", "deployments,services", "--output=name").stdout == ""
    act(place, "uninstall", "tradewind", "--wait")


def test_helm_tests_a_release_with_rights_that_go_with_the_test(bare: Cluster, place: Namespace, tmp_path: Path) -> None:
    define(place)
    act(place, "install", "tradewind", CHART)
    with controller(place, tmp_path), ThreadPoolExecutor() as pool:
        place.api.until(rest.path("leases", place.name, "tradewind-controller"), bool, 20)
        before = everything(bare)
        # Without a kubelet, what it found is told by the phase of its pod alone.
        running = pool.submit(act, place, "test", "tradewind", "--timeout=60s")
        where = place.path("pods", "tradewind-test")
        pod = place.api.until(where, bool, 30, "the pod of the test")
        token = place.kubectl("create", "token", "tradewind-test").stdout.strip()
        environment = {"KUBECONFIG": str(bare.kubeconfig("tradewind-test", token)), "PATH": ""}
        arguments = pod["spec"]["containers"][0]["args"]
        assert [part for part in arguments if part.startswith("--injection=")] == ["--injection=default"]
        # Of the gateways, which do not run here, it finds that they do not answer.
        reached = [part for part in arguments if not part.startswith(("--trust=", "--token="))]
        done = subprocess.run([COMMAND, *reached, "--json", "--within=5"], env=environment, capture_output=True, text=True)
        checks = {check["name"]: check["problem"] for check in json.loads(done.stdout)["checks"]}
        assert checks.pop("sidecar in default") == ""
        assert len(checks) == 4
        assert all(checks.values())
        assert done.returncode == 1
        place.api.merge(f"{where}/status", {"status": {"phase": "Succeeded"}})
        assert "Phase:          Succeeded" in running.result(60)
        left(place, before)
    act(place, "uninstall", "tradewind", "--wait")
    act(place, "uninstall", "tradewind-crds")
    undefine(place)


def test_definitions_outlive_their_chart_with_what_is_made_of_them(bare: Cluster, place: Namespace) -> None:
    define(place)
    place.apply(POOL)
    act(place, "uninstall", "tradewind-crds")
    assert place.api.get(place.path("modelpools", "pool"))
    # And are taken over by the next install.
    define(place)
    act(place, "uninstall", "tradewind-crds")
    undefine(place)
    assert bare.kubectl("get", "modelpools", check=False).returncode != 0


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"gateway": {"shim": True, "ledger": {"enabled": True}}},
        {"gateway": {"kind": "DaemonSet", "service": {"type": "NodePort", "internalTrafficPolicy": "Local"}}},
        {"gateway": {"autoscaling": {"enabled": True}, "preStopSeconds": 0}, "networkPolicy": {"egress": {"enabled": True}}},
        {"tls": {"existingSecret": "a", "existingGatewaySecret": "b"}, "secretNamespaces": ["default"], "listen": "::"},
    ],
    ids=json.dumps,
)
def test_an_api_server_takes_what_is_rendered_and_its_pods_pass_restricted(
    bare: Cluster, place: Namespace, values: dict[str, Any]
) -> None:
    documents = rendered(place, values)
    dry = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    said = bare.kubectl(*dry, input=yaml.safe_dump_all(documents))
    assert len(said.stdout.splitlines()) == len(documents)
    accounts = [found for found in documents if found["kind"] == "ServiceAccount"]
    place.apply(yaml.safe_dump_all(accounts))
    for found in documents:
        if found["kind"] in ("Deployment", "DaemonSet"):
            pod = found["spec"]["template"]
            body = {**pod, "metadata": {**pod["metadata"], "name": "try"}}
            made = place.api.create(place.path("pods"), body, dryRun="All", fieldValidation="Strict")
            assert made["metadata"]["labels"] == pod["metadata"]["labels"]
