"""An install of Tradewind: a namespace with controllers and gateways, which are real processes that stand for pods."""

from __future__ import annotations

import copy
import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cluster as control_plane
import helm
import httpx
import pods
import yaml
from cluster import Cluster, Namespace
from pods import Pod, Probe
from rest import Object

import children
import rust_gateway
from children import Child
from simulators import COMMAND

READER = "tradewind-read-secrets"
AUDIENCE = "tradewind"
GATEWAY_LABELS = {"app.kubernetes.io/name": "tradewind", "app.kubernetes.io/component": "gateway"}


class Program:
    """A process that is the container of a pod: the pod is Ready while its readiness URL answers."""

    def __init__(self, pod: Pod, child: Child, probe_period_s: float) -> None:
        self.pod = pod
        self.child = child
        self._probe_period_s = probe_period_s
        self._probe: Probe | None = None

    @property
    def name(self) -> str:
        """Of its pod."""
        return self.pod.name

    def start(self) -> None:
        """Starts the process; its pod becomes Ready by itself. Also after `kill` or `stop`, as a container in the same pod."""
        self.child.start()
        self._probe_at(self.readiness_url())

    def readiness_url(self) -> str:
        """What a kubelet would ask."""
        raise NotImplementedError

    def wait(self, within_s: float = 30) -> None:
        """Waits until the pod is Ready."""
        assert self._probe is not None, f"{self.name} was not started"
        assert self._probe.wait(within_s), f"{self.name} is not ready within {within_s} s\n{self.child.tail()}"

    def pause(self) -> None:
        """SIGSTOP: it says nothing more. The pod stays Ready as long as a kubelet would leave it so."""
        self.child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.child.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; a kubelet sees that at once, so the pod is no longer Ready."""
        self._no_probe()
        self.child.kill()
        self.pod.ready(False)

    def stop(self) -> None:
        """SIGTERM, waits; the pod is no longer Ready."""
        self._no_probe()
        self.child.stop()
        self.pod.ready(False)

    def delete(self) -> None:
        """Kills the process and deletes the pod: what a scale-in looks like from outside."""
        self.end()
        self.pod.delete()

    def end(self) -> None:
        """Kills the process for good."""
        self._no_probe()
        self.child.kill()

    def _probe_at(self, url: str) -> None:
        self._probe = Probe(url, lambda: self.child.alive, self.pod.ready, self._probe_period_s)
        self._probe.start()

    def _no_probe(self) -> None:
        if self._probe is not None:
            self._probe.stop()
            self._probe = None


class Controller(Program):
    """`tradewind controller`, one replica, with the token of its own ServiceAccount."""

    def __init__(self, install: Install, name: str) -> None:
        pod = Pod.create(install.namespace, name, "tradewind-controller")
        listen, metrics = control_plane.free_ports(2)
        self.url = f"https://127.0.0.1:{listen}"
        self.metrics_url = f"http://127.0.0.1:{metrics}"
        self.kubeconfig = install.cluster.kubeconfig(f"{install.namespace.name}-{name}", pod.token())
        settings = {
            "namespace": install.namespace.name,
            "identity": name,
            "listen": f"127.0.0.1:{listen}",
            "metrics_listen": f"127.0.0.1:{metrics}",
            "names": "127.0.0.1",
            **install.settings,
        }
        environment = {f"TRADEWIND_CONTROLLER_{setting.upper()}": value for setting, value in settings.items()}
        environment["KUBECONFIG"] = str(self.kubeconfig)
        super().__init__(pod, Child(name, [COMMAND, "controller"], install.folder / f"{name}.log", environment), 5)

    def readiness_url(self) -> str:
        """Its own."""
        return f"{self.metrics_url}/readyz"

    def metrics(self) -> str:
        """`/metrics`."""
        return httpx.get(f"{self.metrics_url}/metrics").raise_for_status().text


class Gateway(Program):
    """`tradewind serve`, fed by the controllers, with the token of its pod in a file."""

    def __init__(
        self, install: Install, name: str, flags: tuple[str, ...], probe_period_s: float, pod: Pod | None = None
    ) -> None:
        pod = pod or Pod.create(install.namespace, name, "tradewind-gateway", GATEWAY_LABELS)
        self.folder = install.folder / name
        self.folder.mkdir()
        self.token_file = self.folder / "token"
        self.urls: dict[str, str] = {}
        self._stdout: IO[bytes] | None = None
        # What is served must not change where a container starts again: its clients know the address.
        self.ports = control_plane.free_ports(2)
        pod.annotate(port=str(self.ports[0]))
        ports = ["--host", pod.ip, "--port", str(self.ports[0]), "--asgi-port", str(self.ports[1])]
        channel = [f"--controllers={','.join(controller.url for controller in install.controllers)}"]
        channel += ["--controller-token", str(self.token_file), "--controller-trust", str(install.trust_file)]
        # Models, controllers and gateways are all on this machine.
        channel += ["--allow-upstreams", "127.0.0.0/8"]
        kept = ["--plan-cache", str(self.folder / "plans"), "--keys-cache", str(install.memory / name)]
        kept += ["--ledger-dir", str(self.folder / "ledger")]
        command = [COMMAND, "serve", "--json", "--workers", "1", *ports, *channel, *kept, *flags]
        super().__init__(pod, Child(name, command, self.folder / "log"), probe_period_s)
        self.renew_token()

    def set(self, **settings: str) -> None:
        """Settings of its next life, by variables."""
        self.child.environment |= {f"TRADEWIND_{name.upper()}": value for name, value in settings.items()}

    def renew_token(self) -> None:
        """A new token of its pod, put in place at once, as a kubelet does."""
        draft = self.token_file.with_suffix(".draft")
        draft.write_text(self.pod.token(AUDIENCE))
        draft.replace(self.token_file)

    def start(self) -> None:
        """Starts the process and waits until its doors are open; ready is another matter."""
        self.launch()
        self.opened()

    def launch(self) -> None:
        """Starts the process without waiting, for those who start many: `opened` must follow."""
        self._stdout = self.child.start(subprocess.PIPE).stdout

    def opened(self) -> None:
        """Waits until its doors are open."""
        assert self._stdout is not None
        with self._stdout as stdout:
            line = stdout.readline()
        assert line, f"{self.name} ended\n{self.child.tail()}"
        self.urls = json.loads(line)
        self._probe_at(self.readiness_url())

    def readiness_url(self) -> str:
        """Its native door's."""
        return f"{self.url()}/readyz"

    def url(self, door: str = "native") -> str:
        """Base URL of a door, without `/v1`."""
        return self.urls[door]

    def plan(self) -> Object:
        """`/plan`: what it serves."""
        found: Object = httpx.get(f"{self.url()}/plan").raise_for_status().json()
        return found

    def ask(self, model: str, where: str = "/v1", key: str = "", timeout_s: float = 10) -> httpx.Response:
        """A call of a model or alias."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        return httpx.post(f"{self.url()}{where}/chat/completions", json=body, headers=headers, timeout=timeout_s)


class Sidecar(Gateway):
    """The data plane without Python in an application's pod, told all by variables, as an injected container is."""

    def __init__(self, install: Install, pod: Pod) -> None:
        super().__init__(install, pod.name, (), 5, pod)
        self.child.command = [str(rust_gateway.BINARY), "serve", "--json"]
        self.set(
            port=str(self.ports[0]),
            health_listen=f"{pod.ip}:{self.ports[1]}",
            workers="1",
            controllers=",".join(controller.url for controller in install.controllers),
            controller_token=str(self.token_file),
            controller_trust_pem=install.trust_file.read_text(),
            allow_upstreams="127.0.0.0/8",
            plan_cache=str(self.folder / "plans"),
            keys_cache=str(install.memory / pod.name),
        )

    def readiness_url(self) -> str:
        """Of its health listener: it serves calls of its own pod only."""
        return f"{self.url('health')}/readyz"


class Install:
    """Controllers and gateways in a namespace of their own."""

    def __init__(self, cluster: Cluster, namespace: Namespace, folder: Path, memory: Path, settings: dict[str, str]) -> None:
        self.memory = memory
        self.cluster = cluster
        self.namespace = namespace
        self.folder = folder
        self.settings = settings
        self.controllers: list[Controller] = []
        self.gateways: list[Gateway] = []
        self._numbers = itertools.count()

    @property
    def trust_file(self) -> Path:
        """The bundle that gateways start with, as a ConfigMap is mounted."""
        return self.folder / "trust.pem"

    @property
    def user(self) -> str:
        """The controllers' name in the audit log."""
        return f"system:serviceaccount:{self.namespace.name}:tradewind-controller"

    def add_controllers(self, replicas: int = 1) -> list[Controller]:
        """Makes controllers, without starting them: gateways must know the URLs of all, running or not."""
        made = [Controller(self, f"controller-{len(self.controllers) + number}") for number in range(replicas)]
        self.controllers += made
        return made

    def start_controllers(self) -> None:
        """Starts those that were made, waits until they are Ready and has the bundle that they publish in `trust_file`."""
        for controller in self.controllers:
            controller.start()
        for controller in self.controllers:
            controller.wait()
        where = self.namespace.path("configmaps", self.settings.get("trust_name", "tradewind-trust"))
        self.trust_file.write_text(self.namespace.api.until(where, bool, 30)["data"]["ca.crt"])

    def add_gateway(self, *flags: str, probe_period_s: float = 5, **settings: str) -> Gateway:
        """Makes a gateway, without starting it. Flags are `serve`'s, and win over ours; settings are for what has no flag."""
        made = Gateway(self, f"gateway-{next(self._numbers)}", flags, probe_period_s)
        made.set(**settings)
        self.gateways.append(made)
        return made

    def add_sidecar(self, pod: Pod) -> Sidecar:
        """Makes a data plane for an application's pod, without starting it."""
        made = Sidecar(self, pod)
        self.gateways.append(made)
        return made

    def remove_gateway(self, gateway: Gateway) -> None:
        """Deletes its pod, and no longer counts it."""
        gateway.delete()
        self.gateways.remove(gateway)

    def start_gateways(self, count: int = 1, *flags: str, **settings: str) -> list[Gateway]:
        """Makes and starts gateways side by side. They are Ready when there is a plan: `wait` for that."""
        made = [self.add_gateway(*flags, **settings) for _ in range(count)]
        for gateway in made:
            gateway.launch()
        for gateway in made:
            gateway.opened()
        return made

    def grant(self, namespace: Namespace) -> None:
        """Lets the controllers read Secrets and profiles of a namespace, as users do."""
        subject = f"--serviceaccount={self.namespace.name}:tradewind-controller"
        namespace.kubectl("create", "rolebinding", READER, f"--clusterrole={READER}", subject)

    def revoke(self, namespace: Namespace) -> None:
        """Takes that back."""
        namespace.kubectl("delete", "rolebinding", READER)

    def end(self) -> None:
        """Kills everything."""
        for program in (*self.gateways, *self.controllers):
            program.end()


def rbac(namespace: str) -> list[Object]:
    """Accounts and rights of the chart, for an install in a namespace. The binding of the cluster's role is named after it."""
    found = copy.deepcopy(list(helm.rights(namespace)))
    for document in found:
        if document["kind"] == "ClusterRoleBinding":
            document["metadata"]["name"] += f"-{namespace}"
    return found


@contextmanager
def installed(cluster: Cluster, folder: Path, **settings: str) -> Iterator[Install]:
    """Namespace, rights and node of an install; what is started in it ends with it. Settings are the controller's."""
    pods.make_node(cluster)
    # Credentials may lie in memory only, which gateways check.
    with control_plane.namespace(cluster, "install") as namespace, children.folder(room=0) as memory:
        documents = rbac(namespace.name)
        cluster.apply(yaml.safe_dump_all(documents))
        install = Install(cluster, namespace, folder, memory, settings)
        try:
            yield install
        finally:
            install.end()
            cluster.api.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/tradewind-controller-{namespace.name}")
