"""The charts as Helm renders them, without a cluster."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import generate
import helm
import hypothesis.strategies as st
import invariants
import kubernetes_validate
import pytest
import yaml
from helm import CHART, CRDS, INJECTION, METRICS, MONITORS, Object, RefusedError
from hypothesis import HealthCheck, Phase, given, settings

import tradewind.settings

pytestmark = pytest.mark.kube

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
EVERYTHING = (INJECTION, METRICS, *MONITORS, "tradewind.dev/v1alpha1/ModelPool")
OPERATOR = "monitoring.coreos.com/v1"
"""Kinds that no Kubernetes release has the schema of."""


def nested(name: str, value: Any) -> dict[str, Any]:
    """`nested("a.b", 1)` is `{"a": {"b": 1}}`."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(found.get(name), dict)
            found[name] = merged(found[name], value) if both else copy.deepcopy(value)
    return found


@pytest.mark.parametrize("chart", [CHART, CRDS], ids=lambda chart: chart.name)
def test_helm_lints_it(chart: Path) -> None:
    helm.run("lint", "--strict", "--quiet", chart)


def test_definitions_are_those_of_crds_but_for_one_annotation() -> None:
    text = helm.run("template", "tradewind-crds", CRDS)
    rendered = {part.splitlines()[0]: part.split("\n", 1)[1].rstrip("\n") for part in text.split("---\n# Source: ")[1:]}
    for file in (CRDS.parents[1] / "crds").iterdir():
        text = rendered.pop(f"tradewind-crds/templates/{file.name}")
        assert text.count(generate.KEEP) == 1
        assert text.replace(generate.KEEP, "") == file.read_text().rstrip("\n")
    assert rendered == {}


# Values.


def sections(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of the maps whose keys are known."""
    schema = generate.resolved(schema, SCHEMA)
    if schema.get("additionalProperties") is False:
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from sections(inner, f"{path}.{name}".strip("."))


@pytest.mark.parametrize("path", list(sections(SCHEMA)), ids=lambda path: path or "values")
def test_a_misspelt_value_is_refused(path: str) -> None:
    with pytest.raises(RefusedError, match=rf"'/?{path.replace('.', '/')}': additional properties 'tpyo' not allowed"):
        helm.template(values=nested(f"{path}.tpyo".strip("."), 1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (nested("gateway.settings.port", 4000), "additional properties 'port' not allowed"),
        (nested("controller.settings.plan_name", "mine"), "additional properties 'plan_name' not allowed"),
        (nested("gateway.settings.log_level", "loud"), "must be one of 'error', 'warning', 'info', 'debug'"),
        (nested("gateway.settings.workers", -1), "minimum"),
        (nested("gateway.kind", "StatefulSet"), "must be one of 'Deployment', 'DaemonSet'"),
        (nested("gateway.image.digest", "latest"), "does not match pattern"),
        (nested("gateway.podLabels", {"app.kubernetes.io/name": "mine"}), "app.kubernetes.io/name"),
        ({"tls": {"existingSecret": "mine"}}, "tls.existingSecret and tls.existingGatewaySecret belong together"),
        ({"gateway": {"kind": "DaemonSet", "autoscaling": {"enabled": True}}}, "gateway.autoscaling.enabled is for"),
        ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}}, "minReplicas is 9, more than"),
        (nested("gateway.settings.executor", "onnxruntime"), "needs gateway.shim"),
    ],
    ids=lambda value: "" if isinstance(value, str) else json.dumps(value),
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        helm.template(values=values)


def test_the_chart_of_the_definitions_has_no_values() -> None:
    with pytest.raises(RefusedError, match="additional properties 'keep' not allowed"):
        helm.template(CRDS, {"keep": True})


# Where another value is needed for one to have an effect, it stands beside it.
LOAD_BALANCER = nested("gateway.service.type", "LoadBalancer")
SCALED = nested("gateway.autoscaling.enabled", True)
LIMITED = nested("networkPolicy.egress.enabled", True)
PEERS = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
PLACES: dict[str, Any] = {
    "settings": {"log_level": "debug"},
    "resources": {"requests": {"cpu": "1500m"}},
    "podLabels": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
    "replicas": 5,
    "image.repository": "mine",
    "image.tag": "mine",
    "image.digest": f"sha256:{'0' * 64}",
}
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "image.registry": ("example.com", {}),
    "image.pullPolicy": ("Always", {}),
    "image.pullSecrets": ([{"name": "mine"}], {}),
    "listen": ("::", {}),
    **{f"{component}.{name}": (value, {}) for component in ("controller", "gateway") for name, value in PLACES.items()},
    "gateway.kind": ("DaemonSet", {}),
    "gateway.shim": (True, {}),
    "gateway.preStopSeconds": (0, {}),
    "gateway.lingerSeconds": (10, {}),
    "gateway.drainSeconds": (600, {}),
    "gateway.ledger.enabled": (True, {}),
    "gateway.ledger.volume": ({"emptyDir": None, "hostPath": {"path": "/ledger"}}, nested("gateway.ledger.enabled", True)),
    "gateway.autoscaling.enabled": (True, {}),
    "gateway.autoscaling.minReplicas": (3, SCALED),
    "gateway.autoscaling.maxReplicas": (30, SCALED),
    "gateway.autoscaling.callsInFlight": (9, SCALED),
    "gateway.autoscaling.cpuUtilization": (9, SCALED),
    "gateway.service.type": ("NodePort", {}),
    "gateway.service.annotations": ({"a": "b"}, {}),
    "gateway.service.loadBalancerClass": ("example.com/mine", LOAD_BALANCER),
    "gateway.service.externalTrafficPolicy": ("Local", LOAD_BALANCER),
    "gateway.service.internalTrafficPolicy": ("Local", {}),
    "injection.enabled": (False, {}),
    "injection.namespaceSelector": ({"matchLabels": {"a": "b"}}, {}),
    "injection.resources": ({"limits": {"memory": "1Gi"}}, {}),
    "injection.settings": ({"log_level": "debug"}, {}),
    "tests.namespace": ("team-a", {}),
    "secretNamespaces": (["team-a"], {}),
    "tls.existingSecret": ("mine", nested("tls.existingGatewaySecret", "gateways")),
    "tls.existingGatewaySecret": ("mine", nested("tls.existingSecret", "controllers")),
    "networkPolicy.enabled": (False, {}),
    "networkPolicy.callers": (PEERS, {}),
    "networkPolicy.metrics": (PEERS, {}),
    "networkPolicy.egress.enabled": (True, {}),
    "networkPolicy.egress.upstreams": ([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}], LIMITED),
    "podMonitor.enabled": (False, {}),
    "podMonitor.labels": ({"a": "b"}, {}),
    "podMonitor.interval": ("5s", {}),
    "dashboards.enabled": (False, {}),
    "dashboards.labels": ({"a": "b"}, {}),
    "alerts.enabled": (False, {}),
    "alerts.labels": ({"a": "b"}, {}),
}
NAMES = [value.name for value in generate.values((CHART / "values.yaml").read_text(), SCHEMA)]


def checked(values: dict[str, Any], apis: tuple[str, ...] = EVERYTHING, release: str = "tradewind") -> list[Object]:
    """What is rendered, held to the invariants and to the schema of its kind."""
    documents = helm.template(values=values, apis=apis, release=release)
    invariants.check(documents)
    for found in documents:
        if found["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(found, "1.37", strict=True)
    return documents


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_an_effect(name: str) -> None:
    other, beside = OTHERS[name]
    # A change of CPU is seen without the metrics' API only, that of calls with it only.
    apis = tuple(api for api in EVERYTHING if api != METRICS) if name.endswith("cpuUtilization") else EVERYTHING
    default = checked(beside, apis) if not name.startswith("tls.") else checked({}, apis)
    assert checked(merged(beside, nested(name, other)), apis) != default


def settings_maps(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any settings that the schema permits."""
    known: dict[str, Any] = SCHEMA["$defs"][kind]["properties"]
    plain = {name: strategy(shape) for name, shape in known.items() if name != "executor"}
    return st.fixed_dictionaries({}, optional=plain)


def strategy(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a setting."""
    if "enum" in shape:
        return st.sampled_from(shape["enum"])
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(0, 2**40),
        "boolean": st.booleans(),
        "array": st.lists(st.sampled_from(["10.0.0.0/8", "127.0.0.1"]), max_size=2),
    }
    return kinds[shape["type"]]


def changes(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A value's other one, with what it needs."""
    other, beside = OTHERS[name]
    return st.just(merged(beside, nested(name, other)))


# Without shrinking, for each example runs Helm.
@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    changed=st.lists(st.sampled_from(NAMES).flatmap(changes), max_size=8).map(lambda parts: merged(*parts)),
    data_plane=settings_maps("dataPlaneSettings"),
    controller=settings_maps("controllerSettings"),
    apis=st.sets(st.sampled_from(EVERYTHING)).map(tuple),
    release=st.sampled_from(["tradewind", "my-tradewind", "router"]),
)
def test_whatever_the_values_the_invariants_hold(
    changed: dict[str, Any],
    data_plane: dict[str, Any],
    controller: dict[str, Any],
    apis: tuple[str, ...],
    release: str,
) -> None:
    values = merged(changed, {"gateway": {"settings": data_plane}, "controller": {"settings": controller}})
    gateway = values["gateway"]
    if gateway.get("kind") == "DaemonSet":
        gateway.pop("autoscaling", None)
    documents = checked(values, apis, release)
    given = {component: container(documents, component) for component in ("gateway", "controller")}
    read = {**invariants.variables(given["controller"]), **invariants.variables(given["gateway"])}
    # Both programs refuse what they do not know, or cannot read.
    tradewind.settings.from_environment(read)
    tradewind.settings.controller_from_environment(read)
    for component, prefix, wanted in (
        ("gateway", "TRADEWIND_", data_plane),
        ("controller", "TRADEWIND_CONTROLLER_", controller),
    ):
        shown = invariants.variables(given[component])
        for name, value in wanted.items():
            assert shown[prefix + name.upper()] == plain(value)


def container(documents: list[Object], component: str) -> Object:
    """The container of a workload."""
    (found,) = [pod for _, pod in workloads(documents) if pod["metadata"]["labels"]["app.kubernetes.io/component"] == component]
    only: Object = found["spec"]["containers"][0]
    return only


def workloads(documents: list[Object]) -> Iterator[tuple[str, Object]]:
    """Of the release itself."""
    return invariants.pods([found for found in documents if not helm.hook(found)])


def plain(value: Any) -> str:
    """As a variable holds it."""
    if isinstance(value, list):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


# What the release is called, and what it names.


def test_objects_are_called_after_the_release_and_lie_in_its_namespace() -> None:
    for release, fullname in (("tradewind", "tradewind"), ("my-tradewind", "my-tradewind"), ("router", "router-tradewind")):
        for found in helm.template(release=release, apis=EVERYTHING):
            where = found["metadata"].get("namespace")
            if where is None:
                assert found["metadata"]["name"].startswith("tradewind-")
            elif not helm.hook(found):
                assert where == helm.NAMESPACE
                assert found["metadata"]["name"].startswith(fullname)
            assert "kube-prometheus" not in json.dumps(found)


def test_what_is_rendered_does_not_change_from_render_to_render() -> None:
    assert helm.template(apis=EVERYTHING) == helm.template(apis=EVERYTHING)


@pytest.mark.parametrize(
    ("values", "images"),
    [
        ({}, ["ghcr.io/tradewind/tradewind-controller:0.1.0", "ghcr.io/tradewind/tradewind-gateway:0.1.0"]),
        ({"gateway": {"shim": True}}, ["ghcr.io/tradewind/tradewind-controller:0.1.0"] * 2),
        (
            {"image": {"registry": ""}, "gateway": {"image": {"tag": "9", "digest": f"sha256:{'a' * 64}"}}},
            ["tradewind-controller:0.1.0", f"tradewind-gateway@sha256:{'a' * 64}"],
        ),
    ],
)
def test_images(values: dict[str, Any], images: list[str]) -> None:
    found = [pod["spec"]["containers"][0]["image"] for _, pod in workloads(helm.template(values=values))]
    assert sorted(found) == images


@pytest.mark.parametrize(("cpu", "workers"), [("100m", "1"), ("1", "1"), ("1500m", "2"), (2, "2"), ("2.5", "3"), (None, "1")])
def test_a_gateway_has_as_many_workers_as_it_requests_cpus(cpu: Any, workers: str) -> None:
    found = container(helm.template(values=nested("gateway.resources.requests.cpu", cpu)), "gateway")
    assert invariants.variables(found)["TRADEWIND_WORKERS"] == workers


def test_a_number_of_workers_that_is_given_stands() -> None:
    found = container(helm.template(values=nested("gateway.settings.workers", 7)), "gateway")
    assert invariants.variables(found)["TRADEWIND_WORKERS"] == "7"


@pytest.mark.parametrize(
    ("apis", "kind"), [((), "Resource"), ((METRICS,), "Pods"), (("custom.metrics.k8s.io/v1beta1",), "Pods")]
)
def test_gateways_are_scaled_by_what_the_cluster_measures(apis: tuple[str, ...], kind: str) -> None:
    (found,) = invariants.of_kind(helm.template(values=SCALED, apis=apis), "HorizontalPodAutoscaler")
    assert [metric["type"] for metric in found["spec"]["metrics"]] == [kind]


def test_sidecars_are_scraped_where_they_show_metrics() -> None:
    (found,) = [
        found
        for found in invariants.of_kind(helm.template(apis=MONITORS), "PodMonitor")
        if "namespaceSelector" in found["spec"]
    ]
    sidecar = yaml.safe_load((CHART / "files" / "sidecar.yaml").read_text())
    ports = {port["name"]: port["containerPort"] for port in sidecar["container"]["ports"]}
    (endpoint,) = found["spec"]["podMetricsEndpoints"]
    assert str(ports[endpoint["port"]]) == sidecar["settings"]["health_listen"].rpartition(":")[2]
    assert found["spec"]["selector"] == {"matchLabels": {"tradewind.dev/sidecar": "enabled"}}


def test_secrets_of_others_may_be_read_by_name_only() -> None:
    values = {"tls": {"existingSecret": "controllers", "existingGatewaySecret": "gateways"}}
    (role,) = invariants.of_kind(helm.template(values=values), "Role")
    named = [
        rule.get("resourceNames", [])
        for rule in role["rules"]
        if "secrets" in rule["resources"] and rule["verbs"] != ["create"]
    ]
    assert list(itertools.chain(*named)) == ["tradewind-ca", "controllers", "gateways"]


def test_the_version_of_the_chart_is_that_of_the_package() -> None:
    from tradewind import core

    for chart in (CHART, CRDS):
        assert yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"] == core.version()
