"""What must hold of everything that the chart renders, whatever the values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from helm import Object

WORKLOADS = ("Deployment", "DaemonSet")


def pods(documents: list[Object]) -> Iterator[tuple[str, Object]]:
    """(name, pod template) of workloads, and pods themselves."""
    for found in documents:
        if found["kind"] in WORKLOADS:
            yield found["metadata"]["name"], found["spec"]["template"]
        elif found["kind"] == "Pod":
            yield found["metadata"]["name"], found


def of_kind(documents: list[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [found for found in documents if found["kind"] in kinds]


def variables(container: Object) -> dict[str, str]:
    """Those with a value of their own."""
    return {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}


def check(documents: list[Object]) -> None:
    """All of them."""
    names = [(found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in documents]
    assert len(names) == len(set(names)), names
    # What the controller makes itself, and what would differ in each render.
    assert not of_kind(documents, "Secret", "Lease")
    assert not {name for kind, _, name in names if kind == "ConfigMap" and name.endswith(("-plan", "-trust"))}
    for name, pod in pods(documents):
        restricted(name, pod["spec"])
        consistent(name, pod["spec"])
    reaches(documents)
    scales(documents)


def restricted(name: str, spec: Object) -> None:
    """Pod Security `restricted`, and a root that cannot be written."""
    assert spec["securityContext"]["runAsNonRoot"] is True, name
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        allowed = container["securityContext"]
        assert allowed["allowPrivilegeEscalation"] is False, name
        assert allowed["readOnlyRootFilesystem"] is True, name
        assert allowed["capabilities"] == {"drop": ["ALL"]}, name
        assert not any("hostPort" in port for port in container.get("ports", ())), name


def consistent(name: str, spec: Object) -> None:
    """Mounts, ports and times agree with each other."""
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    (container,) = spec["containers"]
    mounts = container.get("volumeMounts", [])
    assert {mount["name"] for mount in mounts} == volumes, name
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts), name
    ports = {port["name"] for port in container.get("ports", ())}
    assert len({port["containerPort"] for port in container.get("ports", ())}) == len(ports), name
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in container:
            assert container[probe]["httpGet"]["port"] in ports, name
    # A Service that is called as our programs would give them variables that they do not know.
    assert spec["enableServiceLinks"] is False, name
    given = variables(container)
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed = sleep + int(given.get("TRADEWIND_LINGER_S", "0")) + int(given.get("TRADEWIND_DRAIN_S", "0"))
    assert needed < spec.get("terminationGracePeriodSeconds", 30), name
    assert len(container.get("env", ())) == len({entry["name"] for entry in container.get("env", ())}), name


def reaches(documents: list[Object]) -> None:
    """Selectors and ports by name find pods that the chart makes."""
    templates = [pod for found in of_kind(documents, *WORKLOADS) for pod in [found["spec"]["template"]]]
    for found in of_kind(documents, *WORKLOADS):
        assert within(found["spec"]["selector"]["matchLabels"], labels(found["spec"]["template"]))
        assert sum(within(found["spec"]["selector"]["matchLabels"], labels(pod)) for pod in templates) == 1
        for spread in found["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            assert within(spread["labelSelector"]["matchLabels"], labels(found["spec"]["template"]))
            # The scheduler heeds none of the constraints for a node that lacks the label of one.
            assert spread["topologyKey"] == "kubernetes.io/hostname", "not each node has that label"
    for found in of_kind(documents, "Service"):
        (pod,) = [pod for pod in templates if within(found["spec"]["selector"], labels(pod))]
        assert {port["targetPort"] for port in found["spec"]["ports"]} <= ports(pod)
    for found in of_kind(documents, "PodDisruptionBudget"):
        assert [pod for pod in templates if within(found["spec"]["selector"]["matchLabels"], labels(pod))]
    for found in of_kind(documents, "NetworkPolicy"):
        (pod,) = [pod for pod in templates if within(found["spec"]["podSelector"]["matchLabels"], labels(pod))]
        opened = {port["port"] for rule in found["spec"]["ingress"] for port in rule["ports"]}
        assert opened == ports(pod)
        assert ("Egress" in found["spec"]["policyTypes"]) == ("egress" in found["spec"])
    for found in of_kind(documents, "PodMonitor"):
        if "namespaceSelector" in found["spec"]:
            continue
        (pod,) = [pod for pod in templates if within(found["spec"]["selector"]["matchLabels"], labels(pod))]
        assert {endpoint["port"] for endpoint in found["spec"]["podMetricsEndpoints"]} <= ports(pod)


def scales(documents: list[Object]) -> None:
    """Who decides on the number of gateways is one."""
    workloads = {(found["kind"], found["metadata"]["name"]): found["spec"] for found in of_kind(documents, *WORKLOADS)}
    scaled = set()
    for found in of_kind(documents, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        scaled.add((target["kind"], target["name"]))
        assert "replicas" not in workloads[target["kind"], target["name"]]
    for key, spec in workloads.items():
        assert ("replicas" in spec) == (key[0] == "Deployment" and key not in scaled)


def labels(pod: Object) -> Mapping[str, str]:
    """Of a pod template."""
    found: Mapping[str, str] = pod["metadata"]["labels"]
    return found


def ports(pod: Object) -> set[Any]:
    """Names of a pod template's ports."""
    return {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", ())}


def within(some: Mapping[str, str], all: Mapping[str, str]) -> bool:
    """Whether all of some labels are there."""
    return some.items() <= all.items()
