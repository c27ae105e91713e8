"""The pieces that the other tests here stand on: a real API server, pods without a kubelet, tokens, rights."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import audit
import binaries
import install
import pods
import pytest
import rest
import yaml
from cluster import Cluster, Namespace
from pods import Pod
from rest import Api, RefusedError

READER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [list, watch]}
- {apiGroups: [""], resources: [configmaps], resourceNames: [mine], verbs: [get]}
- {apiGroups: [""], resources: [pods], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: NAMESPACE}]
"""


@pytest.fixture
def pod(cluster: Cluster, namespace: Namespace) -> Pod:
    """A pod on a Ready node."""
    pods.make_node(cluster)
    pods.make_account(namespace, "app")
    return Pod.create(namespace, "gateway-0", "app", {"app": "gateway"})


def test_the_source_is_formatted_and_names_the_version() -> None:
    if not binaries.go_is_missing():
        done = subprocess.run(["gofmt", "-l", str(binaries.CONTROL_PLANE.source)], capture_output=True, text=True, check=True)
        assert done.stdout == ""
    assert f"k8s.io/kubernetes v{binaries.KUBERNETES}" in (binaries.CONTROL_PLANE.source / "go.mod").read_text()


def test_server_and_kubectl_are_of_the_same_version(cluster: Cluster) -> None:
    told = yaml.safe_load(cluster.kubectl("version", "--output=json").stdout)
    assert told["serverVersion"]["gitVersion"] == told["clientVersion"]["gitVersion"] == f"v{binaries.KUBERNETES}"


def test_a_pod_becomes_ready_by_its_status(pod: Pod, namespace: Namespace) -> None:
    pod.ready()
    namespace.kubectl("wait", "pod/gateway-0", "--for=condition=Ready", "--timeout=10s")
    pod.ready(False)
    found = namespace.api.get(namespace.path("pods", pod.name))
    assert rest.condition(found, "Ready")["status"] == "False"
    assert found["status"]["podIP"] == pod.ip
    pod.delete()
    namespace.api.gone(namespace.path("pods", pod.name))


def test_a_token_names_its_pod_to_its_audience_only(pod: Pod, namespace: Namespace) -> None:
    token = pod.token("tradewind")
    told = pods.review(namespace.api, token, "tradewind")
    assert told["authenticated"]
    assert told["user"]["username"] == f"system:serviceaccount:{namespace.name}:app"
    extra = told["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == [pod.name]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod.uid]
    assert extra["authentication.kubernetes.io/node-name"] == [pods.NODE]
    assert not pods.review(namespace.api, token, "somebody else").get("authenticated")
    assert not pods.review(namespace.api, token[:-4] + "AAAA", "tradewind").get("authenticated")
    with pytest.raises(RefusedError, match="401"):
        api_as(namespace.cluster, token)


def api_as(cluster: Cluster, token: str) -> None:
    """A request with a token that is for another audience."""
    api = Api(cluster.url, cluster.certificate, token)
    try:
        api.get("/api/v1/namespaces")
    finally:
        api.close()


def test_objects_outlive_the_api_server_and_etcd(cluster: Cluster, namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "kept")
    for part, kill in ((cluster.apiserver, True), (cluster.apiserver, False), (cluster.etcd, True), (cluster.manager, True)):
        before = part.pid
        cluster.restart(part, kill=kill)
        assert part.pid != before
        assert namespace.kubectl("get", "configmap/kept", "--output=name").stdout == "configmap/kept\n"


def test_a_snapshot_forgets_what_came_after_it(cluster: Cluster, namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "before")
    snapshot = cluster.snapshot()
    namespace.kubectl("create", "configmap", "after")
    cluster.restore(snapshot)
    assert "before" in namespace.kubectl("get", "configmaps", "--output=name").stdout
    assert "after" not in namespace.kubectl("get", "configmaps", "--output=name").stdout
    # The controllers work on: they fill a new namespace.
    namespace.kubectl("create", "serviceaccount", "new")
    namespace.api.delete(namespace.path("configmaps", "kube-root-ca.crt"))
    namespace.api.until(namespace.path("configmaps", "kube-root-ca.crt"), bool)


def test_waiting_ends_with_the_event_and_fails_with_what_was_there(namespace: Namespace) -> None:
    where = namespace.path("configmaps", "late")
    with pytest.raises(AssertionError, match="not within"):
        namespace.api.until(where, bool, 0.2)
    namespace.kubectl("create", "configmap", "late", "--from-literal=key=value")
    assert namespace.api.until(where, bool)["data"] == {"key": "value"}
    with pytest.raises(AssertionError, match='"key": "value"'):
        namespace.api.until(where, lambda found: found is None, 0.2)
    namespace.kubectl("delete", "configmap", "late", "--wait=false")
    namespace.api.gone(where)


def test_the_audit_log_tells_what_was_granted_for_nothing_and_what_was_refused(cluster: Cluster, namespace: Namespace) -> None:
    roles = READER.replace("NAMESPACE", namespace.name)
    cluster.apply(roles)
    pods.make_node(cluster)
    pods.make_account(namespace, "reader")
    api = Api(cluster.url, cluster.certificate, Pod.create(namespace, "reader", "reader").token())
    try:
        api.find(namespace.path("configmaps", "mine"))
        list(api.watch(namespace.path("configmaps"), 0.1, fieldSelector="metadata.name=mine"))
        with pytest.raises(RefusedError, match="403"):
            api.get(namespace.path("secrets"))
        api.get(namespace.path("configmaps"))
        api.get("/version")
    finally:
        api.close()
    used = audit.uses(cluster.audit_log, f"system:serviceaccount:{namespace.name}:reader")
    assert ("watch", "mine") in {(use.verb, use.name) for use in used}
    grants = audit.granted(yaml.safe_load_all(roles), f"{namespace.name}/reader")
    assert {(grant.verb, grant.resource) for grant in audit.unused(grants, used)} == {("list", "pods")}
    assert [(use.verb, use.resource) for use in audit.forbidden(used)] == [("list", "secrets")]


def test_the_roles_of_an_install_are_accepted_and_give_no_secret_of_other_namespaces(
    cluster: Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    with install.installed(cluster, tmp_path) as made:
        account = made.user
        asked = ("auth", "can-i", "--as", account)
        assert cluster.kubectl(*asked, "list", "modelpools.tradewind.dev", "--all-namespaces").stdout == "yes\n"
        read = (*asked, "list", "secrets", "--namespace", namespace.name)
        assert cluster.kubectl(*read, check=False).stdout == "no\n"
        made.grant(namespace)
        assert cluster.kubectl(*read).stdout == "yes\n"
        made.revoke(namespace)
        assert cluster.kubectl(*read, check=False).stdout == "no\n"


def test_all_processes_end_with_the_test_run(tmp_path: Path) -> None:
    folder = str(Path(__file__).parents[1])
    code = (
        f"import os, sys; sys.path.insert(0, {folder!r}); from pathlib import Path; from children import Child; "
        "child = Child('sleeper', ['sleep', '600'], Path('log')); child.start(); "
        "running = Path(f'/proc/{child.pid}/comm')\nwhile running.read_text() != 'sleep\\n': pass\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    with suppress(ProcessLookupError):
        ending = os.pidfd_open(int(done.stdout))
        assert select.select([ending], [], [], 5)[0], "it lives on"
        os.close(ending)
