"""What the controller makes for itself goes with its ServiceAccount, as an install is removed; definitions that are older than
the controller are refused by name.
"""

from __future__ import annotations

from pathlib import Path

import pods
from cluster import CRDS, Cluster, Namespace
from install import Install, installed
from rest import Object

from tradewind.resources import crds

OURS = (("configmaps", "tradewind-plan"), ("configmaps", "tradewind-trust"), ("secrets", "tradewind-ca"))
LEASE = ("leases", "tradewind-controller")
ACCOUNT = "tradewind-controller"


def found(made: Install, resource: str, name: str) -> Object:
    return made.namespace.api.until(made.namespace.path(resource, name), bool, 20)


def test_what_it_makes_goes_with_its_account_and_a_new_install_begins_anew(cluster: Cluster, tmp_path: Path) -> None:
    with installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        made.start_controllers()
        account = made.namespace.path("serviceaccounts", ACCOUNT)
        uid = made.namespace.api.get(account)["metadata"]["uid"]
        before = {each: found(made, *each) for each in (*OURS, LEASE)}
        for owned in before.values():
            owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": ACCOUNT, "uid": uid}
            assert owned["metadata"]["ownerReferences"] == [owner]

        # A restart finds what is there.
        controller.stop()
        controller.start()
        controller.wait()
        assert found(made, "secrets", "tradewind-ca")["data"] == before["secrets", "tradewind-ca"]["data"]

        controller.end()
        made.namespace.api.delete(account)
        for each in (*OURS, LEASE):
            made.namespace.api.until(made.namespace.path(*each), lambda body: body is None, 60)


def test_what_another_account_owned_is_taken_over_before_it_is_collected(cluster: Cluster, tmp_path: Path) -> None:
    with installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        made.start_controllers()
        found(made, "configmaps", "tradewind-plan")
        controller.stop()
        for each in OURS:
            # As an earlier version left them.
            made.namespace.api.merge(made.namespace.path(*each), {"metadata": {"ownerReferences": None}})
        authority = found(made, "secrets", "tradewind-ca")["data"]
        controller.start()
        controller.wait()
        for each in OURS:
            owned = made.namespace.api.until(
                made.namespace.path(*each), lambda body: bool(body["metadata"].get("ownerReferences")), 20
            )
            assert [owner["name"] for owner in owned["metadata"]["ownerReferences"]] == [ACCOUNT]
        assert found(made, "secrets", "tradewind-ca")["data"] == authority


def test_an_account_of_another_namespace_owns_nothing(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> None:
    """An owner that is not beside it would be taken for gone, and what it owns with it."""
    with installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        pods.make_account(namespace, ACCOUNT)
        subject = f"--serviceaccount={namespace.name}:{ACCOUNT}"
        made.namespace.kubectl("create", "rolebinding", "elsewhere", f"--role={ACCOUNT}", subject)
        cluster.kubectl("create", "clusterrolebinding", namespace.name, f"--clusterrole={ACCOUNT}", subject)
        token = namespace.kubectl("create", "token", ACCOUNT).stdout.strip()
        cluster.kubeconfig(controller.kubeconfig.stem, token)
        made.start_controllers()
        for each in (*OURS, LEASE):
            assert "ownerReferences" not in found(made, *each)["metadata"]
        cluster.kubectl("delete", "clusterrolebinding", namespace.name)


def test_definitions_that_are_older_or_missing_are_refused_by_name(cluster: Cluster, tmp_path: Path) -> None:
    name = f"modelpools.{crds.GROUP}"
    where = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    with installed(cluster, tmp_path) as made:
        (controller,) = made.add_controllers()
        try:
            cluster.api.merge(where, {"metadata": {"annotations": {crds.REVISION_ANNOTATION: None}}})
            controller.child.start().wait(60)
            said = controller.child.tail()
            assert f"`{name}` is of revision 0, older than {crds.REVISION}" in said
            assert "helm upgrade --install tradewind-crds" in said
            assert f"`routingpolicies.{crds.GROUP}`" not in said

            cluster.api.merge(where, {"metadata": {"annotations": {crds.REVISION_ANNOTATION: str(crds.REVISION + 1)}}})
            controller.start()
            controller.wait()
        finally:
            cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
