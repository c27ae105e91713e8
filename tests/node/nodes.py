"""A real Kubernetes: nodes with containerd, kubelet and kube-proxy, each in its own namespaces and cgroups on this machine."""

from __future__ import annotations

import ctypes
import os
import signal
import string
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import archives
import cluster as control_plane
import rest
from cluster import Cluster
from programs import Programs
from rest import Object

import children
from children import Child

HERE = Path(__file__).parent
SCRIPT = str(HERE / "node.sh")
CGROUPS = Path("/sys/fs/cgroup")
ADDRESS = "172.30.0.2"
"""Of the first node, on which the control plane runs."""
USERS = {
    **control_plane.USERS,
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    **{f"node{number}": (f"system:node:node{number}", "system:nodes") for number in (1, 2)},
}
_FLAGS = {
    "kube-apiserver": {
        "authorization_mode": "Node,RBAC",
        "enable_admission_plugins": "NodeRestriction",
        # Else Service `kubernetes` leads nowhere.
        "endpoint_reconciler_type": "lease",
        "allow_privileged": "true",
        "kubelet_preferred_address_types": "InternalIP",
    },
    "kube-controller-manager": {
        "controllers": "*",
        "node_monitor_grace_period": "12s",
        "node_monitor_period": "2s",
        "use_service_account_credentials": "true",
    },
}
_PREFIX = "tradewind-nodes-"


class MachineError(Exception):
    """Nodes cannot run on this machine; says why."""


class Node:
    """One node. Killing its first process ends everything on it: pods, mounts, network."""

    def __init__(self, number: int, folder: Path, programs: Programs, cluster: Cluster | None = None) -> None:
        self.number = number
        self.name = f"node{number}"
        self.address = f"172.30.0.{number + 1}"
        self.pods = f"10.244.{number - 1}.0/24"
        self.cluster = cluster
        self.folder = folder / self.name
        self.folder.mkdir()
        self._programs = programs
        self._group = f"{_PREFIX}{os.getpid()}-{self.name}"
        flags = (
            "--mount",
            "--net",
            "--pid",
            "--cgroup",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        )
        state = (str(number), self.address, str(self.folder / "state"), str(programs.packages))
        command = ["bash", SCRIPT, "join", self._group, "unshare", *flags, "bash", SCRIPT, "init", *state]
        self._outer = Child(self.name, command, self.folder / "init.log")
        self._outer.quiet = True
        self.services: dict[str, Child] = {}

    @property
    def pid(self) -> int:
        """Of its first process, as seen from here."""
        outer = self._outer.pid
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text())

    def up(self) -> None:
        """Makes its cgroups and namespaces. After `kill` too: what lay on its disk is still there."""
        for hierarchy in _hierarchies():
            group = hierarchy / self._group
            group.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems") if hierarchy.name == "cpuset" else ():
                (group / file).write_text((hierarchy / file).read_text())
        stdout = self._outer.start(subprocess.PIPE).stdout
        assert stdout is not None
        with stdout:
            assert stdout.readline() == b"ready\n", f"{self.name} did not start\n{self._outer.tail()}"

    def plug_in(self) -> None:
        """A cable from the first node's bridge, in whose network namespace we are, and the routes to each other's pods."""
        cable = f"cable{self.number}"
        _run("ip", "link", "add", cable, "master", "node0", "type", "veth", "peer", "name", "node0", "netns", str(self.pid))
        _run("ip", "link", "set", cable, "up")
        _run("ip", "route", "replace", self.pods, "via", self.address)
        inside = ("nsenter", "--target", str(self.pid), "--net", "ip")
        _run(*inside, "addr", "add", f"{self.address}/24", "dev", "node0")
        _run(*inside, "link", "set", "node0", "up")
        _run(*inside, "route", "add", "default", "via", ADDRESS)

    def start_runtime(self, images: Sequence[Path]) -> None:
        """Starts containerd, waits for it and gives it images."""
        root = self.folder / "containerd"
        configuration = self._filled("containerd.toml", ROOT=str(root))
        network = self._filled("pods.conflist", PODS=self.pods)
        self._do("bash", "-c", f"mkdir -p /etc/cni/net.d && cp {network} /etc/cni/net.d/10-pods.conflist")
        self.service("containerd", str(self._programs.containerd / "containerd"), "--config", str(configuration))
        ctr = str(self._programs.containerd / "ctr")
        _wait(lambda: self._did(ctr, "version"), 30, f"containerd of {self.name} answers", self.services["containerd"])
        for image in images:
            self._do(ctr, "--namespace", "k8s.io", "images", "import", "--all-platforms", str(image))

    def start_kubelet(self) -> None:
        """Starts kubelet and kube-proxy."""
        assert self.cluster is not None
        kubelet = self._filled("kubelet.yaml", ADDRESS=self.address, CERTIFICATE=str(self.cluster.certificate))
        kubeconfig = self.cluster.kubeconfig(self.name, self.cluster.tokens[self.name])
        folders = (f"--root-dir={self.folder / 'kubelet'}", f"--cert-dir={self.folder / 'certificates'}")
        identity = (f"--kubeconfig={kubeconfig}", f"--hostname-override={self.name}", f"--node-ip={self.address}")
        binary = str(self._programs.kubernetes)
        self.service("kubelet", binary, "kubelet", f"--config={kubelet}", *folders, *identity, "--v=2")
        kubeconfig = self.cluster.kubeconfig("proxy", self.cluster.tokens["proxy"])
        proxy = self._filled("kube-proxy.yaml", NAME=self.name, KUBECONFIG=str(kubeconfig))
        self.service("kube-proxy", binary, "kube-proxy", f"--config={proxy}")

    def service(self, name: str, *command: str) -> Child:
        """Starts a program on the node; it can be killed and started again."""
        # The kernel kills the program when `nsenter`, its parent, is killed: killing the one is killing the other.
        service = Child(f"{self.name} {name}", self._inside(*children.guarded(command)), self.folder / f"{name}.log")
        service.quiet = True
        service.start()
        self.services[name] = service
        return service

    def reaches(self, address: str, port: int, within_s: float = 30) -> None:
        """Waits until something accepts connections from the node: kube-proxy takes a moment after an endpoint is ready."""
        command = ("bash", "-c", f": </dev/tcp/{address}/{port}")
        _wait(lambda: self._did(*command), within_s, f"{self.name} reaches {address}:{port}")

    def processes(self, part: str) -> list[int]:
        """Process ids, as seen from here, in cgroups of the node whose path contains a text, such as a container's id."""
        found: set[int] = set()
        for file in (CGROUPS / "pids" / self._group).rglob("cgroup.procs"):
            if part in str(file):
                found.update(int(line) for line in file.read_text().split())
        return sorted(found)

    def kill(self) -> None:
        """Cuts the power: all its processes are killed at once."""
        os.kill(self.pid, signal.SIGKILL)
        self._outer.kill()
        for service in self.services.values():
            service.kill()
        _wait(self._remove_groups, 30, f"the cgroups of {self.name} are empty")

    def down(self) -> None:
        """Kills it, where it runs."""
        if self._outer.alive:
            self.kill()
        for service in self.services.values():
            service.kill()
        _wait(self._remove_groups, 30, f"the cgroups of {self.name} are empty")

    def _inside(self, *command: str) -> list[str]:
        path = f"{self._programs.containerd}:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = ("env", "-i", f"HOME={self.folder}", f"PATH={path}")
        namespaces = ("--mount", "--net", "--pid", "--cgroup", "--uts", "--ipc")
        enter = ("nsenter", "--target", str(self.pid), *namespaces, "--", *environment, *command)
        return ["bash", SCRIPT, "join", f"{self._group}/system", *enter]

    def _do(self, *command: str) -> None:
        _run(*self._inside(*command))

    def _did(self, *command: str) -> bool:
        return subprocess.run(self._inside(*command), capture_output=True).returncode == 0

    def _filled(self, name: str, **values: str) -> Path:
        file = self.folder / name
        file.write_text(string.Template((HERE / name).read_text()).substitute(values))
        return file

    def _remove_groups(self) -> bool:
        groups = [hierarchy / self._group for hierarchy in _hierarchies() if (hierarchy / self._group).exists()]
        return all(_remove_group(group) for group in groups)


class Nodes(Cluster):
    """Two nodes and their control plane, which runs in the network of the first."""

    def __init__(self, folder: Path, programs: Programs, images: Sequence[Path]) -> None:
        self._programs = programs
        self._images = [folder / "system.tar", *images]
        archives.write(self._images[0], {"pause": programs.pause, "coredns": programs.coredns})
        flags = {part: dict(given) for part, given in _FLAGS.items()}
        for what, suffix in (("certificate", "crt"), ("key", "key")):
            # By this the API server is known to kubelets, whose logs it reads.
            flags["kube-apiserver"][f"kubelet_client_{what}"] = str(folder / f"apiserver.{suffix}")
        # Ports are looked for where the control plane will be.
        super().__init__(folder, programs.control_plane, ADDRESS, USERS, flags)
        self.scheduler = self._scheduler()
        self.parts = [*self.parts, self.scheduler]
        self.scheduler.quiet = True
        self.nodes: list[Node] = []

    def start(self) -> None:
        """The control plane alone."""
        self.kubeconfig("scheduler", self.tokens["scheduler"])
        super().start()

    def add(self, node: Node) -> None:
        """Runtime, kubelet and proxy of a node that is up; waits until it is Ready."""
        node.cluster = self
        self.nodes.append(node)
        node.start_runtime(self._images)
        node.start_kubelet()
        self.ready_node(node)

    def ready_node(self, node: Node, within_s: float = 60) -> None:
        """Waits until a node is Ready."""
        self.api.until(rest.path("nodes", name=node.name), is_ready, within_s, f"{node.name} is Ready")

    def start_dns(self) -> None:
        """Applies CoreDNS, and waits until it is available."""
        self.apply((HERE / "dns.yaml").read_text())
        self.available("kube-system", "coredns")

    def available(self, namespace: str, name: str, within_s: float = 60) -> None:
        """Waits until all pods of a Deployment's present form are available, and no other is left."""
        where = rest.path("deployments", namespace, name)
        self.api.until(where, _is_rolled_out, within_s, f"Deployment {namespace}/{name} is available")

    def _scheduler(self) -> Child:
        kubeconfig = str(self.folder / "scheduler.kubeconfig")
        flags = [f"--{flag}={kubeconfig}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]
        flags += ["--authentication-skip-lookup=true", "--bind-address=127.0.0.1", "--leader-elect=false"]
        flags += [f"--cert-dir={self.folder / 'scheduler-certificates'}"]
        command = [str(self._programs.kubernetes), "kube-scheduler", *flags]
        return Child("kube-scheduler", command, self.folder / "kube-scheduler.log")


def is_ready(found: Object | None) -> bool:
    """Whether a node or a pod is Ready."""
    return rest.condition(found, "Ready").get("status") == "True"


def _is_rolled_out(found: Object | None) -> bool:
    if found is None:
        return False
    status, replicas = found.get("status", {}), found["spec"]["replicas"]
    counts = [status.get(kind, 0) for kind in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(status.get("observedGeneration") == found["metadata"]["generation"] and counts == [replicas] * 3)


@contextmanager
def started(programs: Programs, images: Sequence[Path], say: Callable[[str], None]) -> Iterator[Nodes]:
    """Two Ready nodes with DNS. Inside, this process and what it starts are in the network of the first node."""
    refusal = _refusal()
    if refusal:
        raise MachineError(refusal)
    with children.folder(room=4 << 30) as folder:
        first, second = (Node(number, folder, programs) for number in (1, 2))
        cluster: Nodes | None = None
        try:
            first.up()
            with _network(first.pid):
                cluster = Nodes(folder, programs, images)
                try:
                    cluster.start()
                    say("control plane ready")
                    cluster.add(first)
                    say("node1 Ready")
                    second.up()
                    second.plug_in()
                    cluster.add(second)
                    say("node2 Ready")
                    cluster.start_dns()
                    say("DNS answers")
                    yield cluster
                finally:
                    # Nothing may end this early: the nodes would stay half.
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    for node in (second, first):
                        node.down()
                    cluster.end()
        finally:
            for node in (second, first):
                node.down()


def _refusal() -> str:
    if os.geteuid() != 0:
        return "nodes need root: namespaces, mounts, cgroups"
    lacking = {"cpu", "memory", "pids", "devices", "freezer", "cpuset"} - {each.name for each in _hierarchies()}
    if lacking:
        return f"nodes need cgroup hierarchies of version 1 at {CGROUPS}; missing: {', '.join(sorted(lacking))}"
    return ""


def _hierarchies() -> list[Path]:
    return [each for each in CGROUPS.iterdir() if each.is_dir() and os.path.ismount(each)]


def sweep() -> None:
    """Removes the empty cgroups of runs that were killed."""
    for hierarchy in _hierarchies():
        for group in hierarchy.glob(f"{_PREFIX}*"):
            pid = group.name.removeprefix(_PREFIX).split("-")[0]
            if not Path("/proc", pid).exists():
                _remove_group(group)


def _remove_group(group: Path) -> bool:
    folders = sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    try:
        for folder in (*folders, group):
            folder.rmdir()
    except OSError:
        # A process in it is not quite dead.
        return False
    return True


@contextmanager
def _network(pid: int) -> Iterator[None]:
    """This thread, and threads and processes that it starts, are in the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(namespace: int) -> None:
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")

    with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{pid}/ns/net").open() as theirs:
        enter(theirs.fileno())
        try:
            yield
        finally:
            enter(ours.fileno())


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def _wait(holds: Callable[[], bool], within_s: float, what: str, program: Child | None = None) -> None:
    """Polls: of what has no events."""
    until = time.monotonic() + within_s
    while not holds():
        assert program is None or program.alive, f"{program.name} ended\n{program.tail()}"
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.02)
