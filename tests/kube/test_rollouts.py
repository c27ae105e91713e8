"""The chart is upgraded and rolled back while callers call: the pods are processes, and no call is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster as control_plane
import helm
import kubelet
import pytest
import rest
import teams
from cluster import Cluster, Namespace
from kubelet import Kubelet
from load import Load
from rest import Object
from services import Proxy, Services

import children
import rust_gateway
import simulators
from simulators import COMMAND, Upstream
from tradewind.resources import crds

PROGRAMS = {"tradewind-gateway": [str(rust_gateway.BINARY)], "tradewind-controller": [COMMAND]}
KEY = "sk-caller"
CALLERS = {"unary": 6, "streamed": 4}
ROLLED_S = 150
"""Seconds for all pods to be others, and the old ones gone."""


@dataclass(frozen=True)
class Platform:
    """An install by the chart, whose pods run, and a team whose calls it routes to a simulated model."""

    place: Namespace
    team: Namespace
    kubelet: Kubelet
    proxy: Proxy
    upstream: Upstream
    values: dict[str, Any]

    def helm(self, verb: str, *arguments: str | Path, **values: Any) -> None:
        """`helm upgrade tradewind …`, with these values beside those of the install."""
        given = _merged(self.values, values) if verb != "rollback" else None
        admin = self.place.cluster.admin_kubeconfig
        helm.run(verb, "tradewind", *arguments, f"--namespace={self.place.name}", values=given, kubeconfig=admin)

    def pods(self, component: str) -> dict[str, Object]:
        """By uid."""
        found = self.place.api.call("GET", self.place.path("pods"), labelSelector=f"app.kubernetes.io/component={component}")
        return {pod["metadata"]["uid"]: pod for pod in found["items"]}

    def rolled(self, component: str, before: dict[str, Object], count: int) -> None:
        """Waits until the pods of before are gone, and there are so many others, all Ready."""
        for pod in before.values():
            self.place.api.gone(self.place.path("pods", pod["metadata"]["name"]), ROLLED_S)
        now = self.pods(component)
        assert len(now) == count
        for pod in now.values():
            where = self.place.path("pods", pod["metadata"]["name"])
            self.place.api.until(where, lambda found: rest.condition(found, "Ready").get("status") == "True", ROLLED_S)

    def programmed(self) -> None:
        """Waits until the team's present policy is what every gateway routes by."""
        self.team.kubectl("wait", "rpol/default", "--for=condition=Programmed", "--timeout=40s")

    def edit(self, *aliases: str) -> None:
        """The team's policy takes other aliases too; waits until every gateway knows."""
        match = {"models": ["auto", *aliases]}
        where = self.team.path("routingpolicies", "default")
        generation = self.team.api.merge(where, {"spec": {"match": match}})["metadata"]["generation"]

        def known(found: Object | None) -> bool:
            row = rest.condition(found, "Programmed")
            return row.get("status") == "True" and row.get("observedGeneration") == generation

        self.team.api.until(where, known, 40)

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Callers through the Service. In the end none has lost a call, and the model has answered as many as they say."""
        before = len(self.upstream.lines())
        with Load(self.proxy.url, KEY, **CALLERS) as load:
            load.more(10)
            yield load
            load.more(10)
        lines = self.upstream.lines()[before:]
        said = f"{load}; {len(lines)} answers of the model, {self.proxy.unserved} connections not served"
        assert not load.lost, said
        assert len(lines) == sum(load.answered.values()), said
        assert self.proxy.unserved == 0, said


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """A control plane of its own: what the chart makes for the whole cluster can be there once only."""
    control_plane.skip_where_absent()
    if why := kubelet.missing():
        pytest.skip(f"processes cannot have mounts of their own: {why}")
    with control_plane.started() as found:
        helm.run("install", "tradewind-crds", helm.CRDS, kubeconfig=found.admin_kubeconfig)
        for kind in crds.KINDS:
            where = rest.path("customresourcedefinitions", name=f"{kind.plural}.{crds.GROUP}")
            found.api.until(where, lambda body: rest.condition(body, "Established").get("status") == "True")
        yield found


@contextmanager
def installed(cluster: Cluster, folder: Path, **values: Any) -> Iterator[Platform]:
    """`helm install`, until calls are routed; removed in the end."""
    with ExitStack() as stack:
        memory = stack.enter_context(children.folder(room=0))
        (upstream,) = stack.enter_context(simulators.upstreams(folder, small=("--token-rate", "20")))
        team = stack.enter_context(control_plane.namespace(cluster, "team"))
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        place = stack.enter_context(control_plane.namespace(cluster, "install", restricted))
        team.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-upstream")
        services = stack.enter_context(Services(cluster, place.name, folder))
        made = stack.enter_context(Kubelet(cluster, place.name, folder, memory, PROGRAMS, services.hosts))
        # Models are on this machine, where no model of a tenant should be.
        ours = {"secretNamespaces": [team.name], "gateway": {"settings": {"allow_upstreams": ["127.0.0.0/8"]}}}
        proxy = stack.enter_context(Proxy(services, "tradewind-gateway", "http"))
        platform = Platform(place, team, made, proxy, upstream, _merged(ours, values))
        platform.helm("install", helm.CHART, "--wait", "--timeout=90s")
        stack.callback(helm.run, "uninstall", "tradewind", f"--namespace={place.name}", kubeconfig=cluster.admin_kubeconfig)
        team.apply(teams.documents(KEY, upstream.url))
        platform.programmed()
        yield platform


SHAPES: dict[str, tuple[dict[str, Any], int]] = {
    "Deployment": ({}, 2),
    "DaemonSet": ({"kind": "DaemonSet"}, 1),
    "both doors": ({"shim": True}, 2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_gateways_are_upgraded_and_rolled_back_without_a_lost_call(bare: Cluster, tmp_path: Path, shape: str) -> None:
    gateway, count = SHAPES[shape]
    with installed(bare, tmp_path, gateway=gateway) as platform, platform.load() as load:
        before = platform.pods("gateway")
        assert len(before) == count
        other = {"podAnnotations": {"example.com/revision": "2"}, "settings": {"log_level": "debug"}}
        platform.helm("upgrade", helm.CHART, gateway=other)
        platform.rolled("gateway", before, count)
        load.more(20)

        before = platform.pods("gateway")
        platform.helm("rollback")
        platform.rolled("gateway", before, count)
        platform.edit("second")


def test_controllers_are_upgraded_without_a_lost_call_and_the_next_edit_arrives(bare: Cluster, tmp_path: Path) -> None:
    with installed(bare, tmp_path) as platform, platform.load() as load:
        gateways = platform.pods("gateway")
        before = platform.pods("controller")
        platform.helm("upgrade", helm.CHART, controller={"image": {"tag": "0.1.1"}})
        platform.rolled("controller", before, 2)
        platform.edit("second")
        load.more(20)
        assert platform.pods("gateway").keys() == gateways.keys()

        # Older definitions: the first new controller ends, and says why; the old ones go on.
        name = f"modelpools.{crds.GROUP}"
        where = rest.path("customresourcedefinitions", name=name)
        before = platform.pods("controller")
        bare.api.merge(where, {"metadata": {"annotations": {crds.REVISION_ANNOTATION: None}}})
        platform.helm("upgrade", helm.CHART, controller={"image": {"tag": "0.1.2"}})
        new = refused(platform, before)
        log = platform.kubelet.container(new["metadata"]["name"], "controller").child
        assert log is not None
        assert f"`{name}` is of revision 0" in log.tail()
        platform.edit("third")
        assert before.keys() < platform.pods("controller").keys()
        helm.run("upgrade", "tradewind-crds", helm.CRDS, "--force-conflicts", kubeconfig=bare.admin_kubeconfig)
        bare.api.until(where, lambda body: crds.REVISION_ANNOTATION in (body or {})["metadata"].get("annotations", {}))
        platform.rolled("controller", before, 2)


def refused(platform: Platform, before: dict[str, Object]) -> Object:
    """The first other controller, once it has ended twice."""
    for kind, found in platform.place.api.watch(platform.place.path("pods"), 60):
        ours = found["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
        if kind != "DELETED" and ours and found["metadata"]["uid"] not in before:
            (status,) = found.get("status", {}).get("containerStatuses") or [{}]
            if status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff":
                return found
    raise AssertionError("no new controller ended within 60 s")


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Values of Helm: the second's win, mapping by mapping."""
    both = {**first, **second}
    for name in first.keys() & second.keys():
        if isinstance(first[name], dict) and isinstance(second[name], dict):
            both[name] = _merged(first[name], second[name])
    return both
