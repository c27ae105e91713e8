"""Sidecars by label: what the API server makes of a pod, and what it refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import cluster as control_plane
import helm
import pytest
import rest
import teams
import yaml
from cluster import Cluster, Namespace
from rest import Object, RefusedError

from tradewind import injection

LABEL = "tradewind.dev/sidecar"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
OURS = {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:4000/v1"}


class Injection:
    """The chart's policies, for an install in a namespace of its own."""

    def __init__(self, home: Namespace) -> None:
        self.home = home

    def documents(self, apis: tuple[str, ...] = (helm.INJECTION,), **values: Any) -> list[Object]:
        """What the chart renders of them."""
        found = helm.template(values={"injection": values}, apis=apis, namespace=self.home.name)
        return [each for each in found if "AdmissionPolicy" in each["kind"]]

    def apply(self, **values: Any) -> None:
        """Applies them."""
        self.home.cluster.apply(yaml.safe_dump_all(self.documents(**values)))

    def trust(self, text: str = PEM) -> None:
        """The bundle, as the controller writes it."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tradewind-trust"}, "data": {"ca.crt": text}}
        self.home.api.apply(self.home.path("configmaps", "tradewind-trust"), body)

    def remove(self) -> None:
        """Deletes them."""
        for document in self.documents():
            self.home.cluster.kubectl("delete", document["kind"], document["metadata"]["name"], "--ignore-not-found")


@pytest.fixture(scope="module")
def chart(cluster: Cluster) -> Iterator[Injection]:
    """In force: the API server takes policies and their parameters in its own time."""
    with control_plane.namespace(cluster, "install") as home, control_plane.namespace(cluster, "first") as first:
        made = Injection(home)
        made.trust()
        made.apply()
        try:
            in_force(first)
            yield made
        finally:
            made.remove()


@pytest.fixture
def app(chart: Injection, namespace: Namespace) -> Namespace:
    """An application's namespace, which demands `restricted` of its pods."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace.api.merge(rest.path("namespaces", name=namespace.name), {"metadata": {"labels": enforce}})
    namespace.api.until(namespace.path("serviceaccounts", "default"), bool)
    return namespace


def in_force(namespace: Namespace) -> None:
    """Waits until pods are injected and others refused."""
    namespace.api.until(namespace.path("serviceaccounts", "default"), bool)

    def holds() -> bool:
        try:
            create(namespace, pod(label="neither"))
            return False
        except RefusedError:
            return inits(namespace) == ["tradewind"]

    teams.until(holds, 20, "the policies are in force")


def inits(namespace: Namespace) -> list[str] | None:
    """Init containers that a labelled pod gets; None where it is refused, as while one policy is in force before the other."""
    try:
        return names(create(namespace, pod())["spec"].get("initContainers", []))
    except RefusedError:
        return None


def pod(*containers: Object, label: str = "enabled", **spec: Any) -> Object:
    """A pod that keeps to `restricted`."""
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {"containers": [{"name": "main", "image": "app"}, *containers], **copy.deepcopy(spec)}
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container.update({"image": "app", "securityContext": secure})
    spec["securityContext"] = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    labels = {LABEL: label} if label else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "labels": labels}, "spec": spec}


def create(namespace: Namespace, body: Object, dry: bool = True) -> Object:
    """What becomes of it."""
    return namespace.api.create(namespace.path("pods"), body, **({"dryRun": "All"} if dry else {}))


def refusal(namespace: Namespace, body: Object) -> str:
    """Why it is refused."""
    with pytest.raises(RefusedError) as refused:
        create(namespace, body)
    return str(refused.value)


def names(entries: list[Object]) -> list[str]:
    """Of containers or volumes."""
    return [entry["name"] for entry in entries]


def without_account(spec: Object) -> Object:
    """A pod's spec without the random name that the volume of its API token has."""
    text = json.dumps(spec)
    for volume in spec["volumes"]:
        text = text.replace(volume["name"], "kube-api-access") if volume["name"].startswith("kube-api-access") else text
    found: Object = json.loads(text)
    return {**found, "volumes": sorted(found["volumes"], key=lambda volume: volume["name"])}


@pytest.mark.parametrize("dry", [True, False])
def test_a_labelled_pod_gets_the_sidecar_before_all_others_and_its_address_where_there_is_none(
    app: Namespace, dry: bool
) -> None:
    own = {"name": "OPENAI_BASE_URL", "value": "https://mine/v1"}
    other = {"name": "A", "value": "b"}
    inits = [{"name": "first"}, {"name": "second", "env": [own], "restartPolicy": "Always"}]
    body = pod({"name": "other", "env": [own]}, {"name": "third", "env": [other]}, initContainers=inits)
    spec = create(app, body, dry)["spec"]
    assert names(spec["initContainers"]) == ["tradewind", "first", "second"]
    assert names(spec["containers"]) == ["main", "other", "third"]
    assert [container["env"] for container in spec["initContainers"][1:]] == [[OURS], [own]]
    assert [container["env"] for container in spec["containers"]] == [[OURS], [own], [other, OURS]]
    assert spec["initContainers"][0]["restartPolicy"] == "Always"


def test_the_sidecar_has_the_bundle_and_no_token_of_the_api_server(app: Namespace) -> None:
    spec = create(app, pod())["spec"]
    (sidecar,) = spec["initContainers"]
    assert {"name": "TRADEWIND_CONTROLLER_TRUST_PEM", "value": PEM} in sidecar["env"]
    mounts = {mount["mountPath"]: mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounts["/var/run/secrets/kubernetes.io/serviceaccount"] == "tradewind-state"
    assert not [name for name in mounts.values() if name.startswith("kube-api-access")]
    assert [name for name in names(spec["volumes"]) if name.startswith("kube-api-access")]


def test_a_pod_that_has_no_token_mounted_gets_a_sidecar_too(app: Namespace) -> None:
    spec = create(app, pod(automountServiceAccountToken=False))["spec"]
    assert names(spec["volumes"]) == ["tradewind-token", "tradewind-keys", "tradewind-state"]


@pytest.mark.parametrize("label", ["", "disabled"])
def test_pods_that_ask_for_none_stay_as_they_are(app: Namespace, label: str) -> None:
    spec = create(app, pod(label=label))["spec"]
    assert "initContainers" not in spec
    assert "env" not in spec["containers"][0]


REFUSED = [
    ({"label": "on"}, "tradewind.dev/sidecar is `on`; expected `enabled` or `disabled`"),
    ({"hostNetwork": True}, "spec.hostNetwork"),
    ({"os": {"name": "windows"}}, "spec.os.name"),
    ({"volumes": [{"name": "tradewind-keys", "emptyDir": {}}]}, "volume tradewind-keys"),
    ({"initContainers": [{"name": "tradewind"}]}, "init container tradewind"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[next(iter(given)) for given, _ in REFUSED])
def test_a_pod_that_cannot_have_a_sidecar_is_refused_with_the_reason(
    chart: Injection, namespace: Namespace, given: Any, said: str
) -> None:
    body = pod(**given)
    if "os" in given:
        del body["spec"]["securityContext"], body["spec"]["containers"][0]["securityContext"]
    namespace.api.until(namespace.path("serviceaccounts", "default"), bool)
    assert said in refusal(namespace, body)


@pytest.mark.parametrize("port", injection.PORTS)
def test_a_pod_that_has_the_sidecar_s_ports_or_its_name_is_refused(app: Namespace, port: int) -> None:
    assert "for container busy" in refusal(app, pod({"name": "busy", "ports": [{"containerPort": port}]}))
    assert "container tradewind" in refusal(app, pod({"name": "tradewind"}))


def test_without_the_controller_s_bundle_labelled_pods_are_refused_and_others_not(chart: Injection, app: Namespace) -> None:
    where = chart.home.path("configmaps", "tradewind-trust")
    chart.home.api.delete(where)

    def refused() -> bool:
        try:
            create(app, pod())
            return False
        except RefusedError as error:
            return f"ConfigMap {chart.home.name}/tradewind-trust" in str(error)

    try:
        teams.until(refused, 10, "the missing ConfigMap is named")
        create(app, pod(label=""))
        # The other half of a bundle that is not there: nothing in it.
        chart.home.api.apply(where, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tradewind-trust"}})
        assert f"`ca.crt` of ConfigMap {chart.home.name}/tradewind-trust" in refusal(app, pod())
    finally:
        chart.trust()
        in_force(app)


def test_a_new_bundle_is_in_pods_made_after_it(chart: Injection, app: Namespace) -> None:
    chart.trust(PEM * 2)
    try:
        teams.until(lambda: PEM * 2 in {each.get("value") for each in create(app, pod())["spec"]["initContainers"][0]["env"]})
    finally:
        chart.trust()


def test_kube_system_and_the_install_s_own_namespace_are_left_alone(chart: Injection) -> None:
    for namespace in (Namespace(chart.home.cluster, "kube-system"), chart.home):
        namespace.api.until(namespace.path("serviceaccounts", "default"), bool)
        assert "initContainers" not in create(namespace, pod())["spec"]


def test_a_pod_of_a_node_s_own_files_is_left_alone(app: Namespace) -> None:
    body = pod(nodeName="node-0")
    body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "initContainers" not in create(app, body)["spec"]


@pytest.mark.parametrize(
    ("kind", "where", "spec"),
    [
        ("Deployment", "deployments", {"selector": {"matchLabels": {"app": "x"}}}),
        ("Job", "jobs", {}),
    ],
)
def test_pods_of_controllers_get_their_sidecar(app: Namespace, kind: str, where: str, spec: Any) -> None:
    template = pod(restartPolicy="Never") if kind == "Job" else pod()
    template["metadata"]["labels"]["app"] = "x"
    body = {"metadata": {"name": "app"}, "spec": {**spec, "template": {key: template[key] for key in ("metadata", "spec")}}}
    app.api.create(app.path(where), body)
    found = next(found for _, found in app.api.watch(app.path("pods"), 20))
    assert names(found["spec"]["initContainers"]) == ["tradewind"]


def test_what_another_policy_adds_afterwards_brings_no_second_sidecar(chart: Injection, app: Namespace) -> None:
    seen = "string(object.spec.?initContainers.orValue([]).size())"
    add = f'JSONPatch{{op: "add", path: "/metadata/annotations", value: {{"seen": {seen}}}}}'
    name = "zz-later.example.com"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": chart.documents()[0]["spec"]["matchConstraints"],
            "reinvocationPolicy": "IfNeeded",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{add}]"}}],
        },
    }
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}}
    try:
        app.cluster.apply(yaml.safe_dump_all([policy, binding]))
        teams.until(lambda: create(app, pod())["metadata"].get("annotations") == {"seen": "1"})
        assert names(create(app, pod())["spec"]["initContainers"]) == ["tradewind"]
    finally:
        app.cluster.kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", name)


def test_the_command_makes_of_a_pod_what_the_policy_does(chart: Injection, app: Namespace) -> None:
    inits = [{"name": "first"}, {"name": "second", "env": [OURS]}]
    body = pod({"name": "other"}, initContainers=inits, volumes=[{"name": "files", "emptyDir": {}}])
    added = injection.sidecar(
        "ghcr.io/tradewind/tradewind-gateway:0.1.0", f"https://tradewind-controller.{chart.home.name}.svc:8443", PEM, {}
    )
    text, count = injection.inject(json.dumps(body), "app.yaml", added)
    injected = yaml.safe_load(text)
    by_command, by_policy = (create(app, each)["spec"] for each in (injected, body))
    assert count == 1
    assert names(injected["spec"]["initContainers"]) == ["tradewind", "first", "second"]
    assert without_account(by_command) == without_account(by_policy)


def test_without_the_mutating_policy_no_labelled_pod_goes_on_without_a_sidecar(chart: Injection, app: Namespace) -> None:
    mutating = next(each for each in chart.documents() if each["kind"] == "MutatingAdmissionPolicyBinding")
    app.cluster.kubectl("delete", mutating["kind"], mutating["metadata"]["name"])

    def refused() -> bool:
        try:
            create(app, pod())
            return False
        except RefusedError as error:
            return "MutatingAdmissionPolicy tradewind-sidecar" in str(error)

    try:
        teams.until(refused, 10, "the pod is refused")
        added = injection.sidecar("image", "https://controller:8443", None, {})
        create(app, yaml.safe_load(injection.inject(json.dumps(pod()), "app.yaml", added)[0]))
    finally:
        chart.apply()
        in_force(app)


def test_a_cluster_that_cannot_inject_gets_the_refusal_alone_which_names_the_command(chart: Injection) -> None:
    found = chart.documents(apis=())
    assert [each["kind"] for each in found] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    assert "tradewind inject -f FILE" in found[0]["spec"]["validations"][-1]["message"]
    assert chart.documents(enabled=False) == []


def test_the_values_select_namespaces_and_shape_the_sidecar(chart: Injection, app: Namespace) -> None:
    chosen = {"matchLabels": {"team": "blue"}, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}
    resources = {"requests": {"cpu": "1"}}
    values = {"namespaceSelector": chosen, "resources": resources, "settings": {"workers": 3, "max_body_bytes": 10485760}}
    where = rest.path("namespaces", name=app.name)
    try:
        chart.apply(**values)
        teams.until(lambda: inits(app) == [], 10, "the namespace is not chosen")
        app.api.merge(where, {"metadata": {"labels": {"team": "blue"}}})
        teams.until(lambda: inits(app) == ["tradewind"], 10, "the namespace is chosen")
        (sidecar,) = create(app, pod())["spec"]["initContainers"]
        assert sidecar["resources"] == {"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
        variables = {variable["name"]: variable["value"] for variable in sidecar["env"]}
        assert (variables["TRADEWIND_WORKERS"], variables["TRADEWIND_MAX_BODY_BYTES"]) == ("3", "10485760")
    finally:
        chart.apply()
        in_force(app)


def test_the_bundle_is_copied_by_the_command_that_is_told(chart: Injection, app: Namespace) -> None:
    bundle = chart.home.kubectl("get", "configmap", "tradewind-trust", "-o", "jsonpath={.data.ca\\.crt}").stdout
    app.kubectl("create", "configmap", injection.TRUST, "--from-file=ca.crt=/dev/stdin", input=bundle)
    assert app.api.get(app.path("configmaps", injection.TRUST))["data"] == {"ca.crt": PEM}
