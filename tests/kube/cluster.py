"""A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, without nodes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import binaries
import pytest
import rest
from rest import Api

import children
from children import Child

CRDS = Path(__file__).parents[2] / "crds"
SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
"""The API server's own, for pods."""
USERS = {"admin": ("admin", "system:masters"), "manager": ("system:kube-controller-manager", "system:masters")}
"""User and group of each token that the API server knows from a file."""

# Pods here have no kubelet: their node sends no heartbeat, and nobody but a test ends them.
CONTROLLERS = "*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller"

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
        {"level": "Metadata"},
    ],
}


class Cluster:
    """The three processes, their files and their doors."""

    def __init__(
        self,
        folder: Path,
        binary: Path,
        address: str = "127.0.0.1",
        users: Mapping[str, tuple[str, str]] = USERS,
        flags: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        """The address is the API server's; flags are by part, and win over ours."""
        self.folder = folder
        self.binary = str(binary)
        self._address = address
        self._users = users
        self._flags = flags
        self.audit_log = folder / "audit.jsonl"
        self.certificate = folder / "apiserver.crt"
        self.tokens = {name: secrets.token_hex(16) for name in users}
        etcd, peer, self._port, manager = free_ports(4)
        self.url = f"https://{address}:{self._port}"
        self.etcd = self._etcd(f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}")
        self.apiserver = self._apiserver(f"http://127.0.0.1:{etcd}")
        self.manager = self._manager(manager)
        self.parts = [self.etcd, self.apiserver, self.manager]
        for part in self.parts:
            part.quiet = True

    def start(self) -> None:
        """Writes the files, starts all parts side by side and waits until the API server and the controllers work."""
        self._write_files()
        self.admin_kubeconfig = self.kubeconfig("admin", self.tokens["admin"])
        self.kubeconfig("manager", self.tokens["manager"])
        self.api = Api(self.url, self.certificate, self.tokens["admin"])
        for part in self.parts:
            part.start()
        self.ready()
        self.api.until(rest.path("serviceaccounts", "default", "default"), bool, 30, "the controllers work")

    def end(self) -> None:
        """Kills all parts."""
        for part in reversed(self.parts):
            part.kill()
        if hasattr(self, "api"):
            self.api.close()

    def ready(self, within_s: float = 60) -> None:
        """Waits until the API server says that it is."""
        until = time.monotonic() + within_s
        while True:
            try:
                self.api.get("/readyz")
                return
            except (OSError, rest.RefusedError, rest.httpx.TransportError) as error:
                assert self.apiserver.alive, self.apiserver.tail()
                if time.monotonic() > until:
                    raise AssertionError(f"the API server is not ready: {error}\n{self.apiserver.tail()}") from None
                # Nothing can be watched before there is an API server.
                time.sleep(0.02)

    def restart(self, part: Child, kill: bool = False) -> None:
        """Ends a part, by SIGTERM or SIGKILL, starts it again and waits until the API server is ready."""
        part.kill() if kill else part.stop()
        part.start()
        self.ready()

    def snapshot(self) -> Path:
        """A copy of etcd's data, as a kill at this moment would leave them; what runs only sees a pause."""
        copy = self.folder / f"snapshot-{secrets.token_hex(4)}"
        self.etcd.signal(signal.SIGSTOP)
        try:
            shutil.copytree(self._data, copy)
        finally:
            self.etcd.signal(signal.SIGCONT)
        return copy

    def restore(self, snapshot: Path) -> None:
        """Puts a snapshot in the place of etcd's data. All parts start again, as those who restore are told to do."""
        for part in reversed(self.parts):
            part.kill()
        shutil.rmtree(self._data)
        shutil.copytree(snapshot, self._data)
        for part in self.parts:
            part.start()
        self.ready()

    def kubeconfig(self, name: str, token: str) -> Path:
        """A file for a user with a token; another call with its name replaces it."""
        file = self.folder / f"{name}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.certificate)}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        }
        file.write_text(json.dumps(document))
        return file

    def kubectl(
        self, *arguments: str, input: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl, as the admin unless told otherwise."""
        command = [str(binaries.KUBECTL), "--kubeconfig", str(kubeconfig or self.admin_kubeconfig), *arguments]
        # It would write a cache of the API into the home folder.
        environment = {**os.environ, "KUBECACHEDIR": str(self.folder / "kubectl")}
        done = subprocess.run(command, input=input, env=environment, capture_output=True, text=True, timeout=90)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done

    def apply(self, text: str, **options: Any) -> None:
        """`kubectl apply --server-side`."""
        self.kubectl("apply", "--server-side", "-f", "-", input=text, **options)

    def define(self) -> None:
        """Applies our CRDs, and waits until they are served."""
        self.kubectl("apply", "--server-side", "-f", str(CRDS))
        for name in ("modelpools", "routingpolicies"):
            where = rest.path("customresourcedefinitions", name=f"{name}.tradewind.dev")
            self.api.until(where, lambda found: rest.condition(found, "Established").get("status") == "True")

    @property
    def _data(self) -> Path:
        return self.folder / "etcd"

    def _write_files(self) -> None:
        tokens = [f'{self.tokens[name]},{user},{name},"{group}"\n' for name, (user, group) in self._users.items()]
        (self.folder / "tokens.csv").write_text("".join(tokens))
        (self.folder / "audit.json").write_text(json.dumps(AUDIT_POLICY))
        self.audit_log.touch()
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "apiserver.key")
        addresses = f"IP:{self._address},IP:{SERVICE_ADDRESS}"
        names = f"subjectAltName={addresses},DNS:localhost,DNS:kubernetes.default.svc"
        usage = "keyUsage=critical,digitalSignature,keyCertSign"
        self._openssl(
            "req", "-x509", *key, "-out", "apiserver.crt", "-subj", "/CN=apiserver", "-addext", names, "-addext", usage
        )
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "accounts.key")
        self._openssl("pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def _part(self, name: str, **flags: str) -> Child:
        all_flags = {**flags, **self._flags.get(name, {})}
        given = [f"--{flag.replace('_', '-')}={value}" for flag, value in all_flags.items()]
        return Child(name, [self.binary, name, *given], self.folder / f"{name}.log")

    def _etcd(self, url: str, peer: str) -> Child:
        return self._part(
            "etcd",
            data_dir=str(self._data),
            listen_client_urls=url,
            advertise_client_urls=url,
            listen_peer_urls=peer,
            initial_advertise_peer_urls=peer,
            initial_cluster=f"default={peer}",
            # Only a crash of the machine could lose something, and that ends the tests too.
            unsafe_no_fsync="true",
        )

    def _apiserver(self, etcd: str) -> Child:
        return self._part(
            "kube-apiserver",
            etcd_servers=etcd,
            bind_address=self._address,
            secure_port=str(self._port),
            tls_cert_file=str(self.certificate),
            tls_private_key_file=str(self.folder / "apiserver.key"),
            service_cluster_ip_range=SERVICE_NETWORK,
            authorization_mode="RBAC",
            token_auth_file=str(self.folder / "tokens.csv"),
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=str(self.folder / "accounts.pub"),
            service_account_signing_key_file=str(self.folder / "accounts.key"),
            endpoint_reconciler_type="none",
            audit_policy_file=str(self.folder / "audit.json"),
            audit_log_path=str(self.audit_log),
            audit_log_maxsize="1000",
            # Without it, open watches hold a SIGTERM up for a minute.
            shutdown_watch_termination_grace_period="1s",
        )

    def _manager(self, port: int) -> Child:
        kubeconfig = str(self.folder / "manager.kubeconfig")
        return self._part(
            "kube-controller-manager",
            kubeconfig=kubeconfig,
            authentication_kubeconfig=kubeconfig,
            authorization_kubeconfig=kubeconfig,
            authentication_skip_lookup="true",
            bind_address="127.0.0.1",
            secure_port=str(port),
            cert_dir=str(self.folder / "manager-certificates"),
            leader_elect="false",
            controllers=CONTROLLERS,
            kube_api_qps="200",
            kube_api_burst="400",
            service_account_private_key_file=str(self.folder / "accounts.key"),
            root_ca_file=str(self.certificate),
        )


@dataclass(frozen=True)
class Namespace:
    """A namespace of the cluster, for one test."""

    cluster: Cluster
    name: str

    @property
    def api(self) -> Api:
        """The admin's door."""
        return self.cluster.api

    def path(self, resource: str, name: str = "", subresource: str = "") -> str:
        """Of a resource in here."""
        return rest.path(resource, self.name, name, subresource)

    def kubectl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs kubectl in here."""
        return self.cluster.kubectl("--namespace", self.name, *arguments, **options)

    def apply(self, text: str, **options: Any) -> None:
        """`kubectl apply --server-side` in here."""
        self.kubectl("apply", "--server-side", "-f", "-", input=text, **options)


@contextmanager
def namespace(cluster: Cluster, prefix: str = "test", labels: Mapping[str, str] | None = None) -> Iterator[Namespace]:
    """A namespace of its own name; deleted in the end, which the cluster does in its own time."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    cluster.api.create(rest.path("namespaces"), {"metadata": {"name": name, "labels": dict(labels or {})}})
    try:
        yield Namespace(cluster, name)
    finally:
        cluster.api.delete(rest.path("namespaces", name=name))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at; all different."""
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listening]


def skip_where_absent() -> None:
    """Skips a test whose programs are not there, saying what to do."""
    try:
        binaries.control_plane()
        binaries.helm()
    except binaries.AbsentError as absent:
        pytest.skip(str(absent))


@contextmanager
def started() -> Iterator[Cluster]:
    """A control plane for as long as it is needed."""
    with children.folder() as folder:
        cluster = Cluster(folder, binaries.control_plane())
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.end()
