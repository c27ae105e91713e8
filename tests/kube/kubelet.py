"""Pods as processes: what a kubelet does with the pods of a namespace, without root, images or a container runtime.

Real here: pods are those that the controller-manager makes of Deployments, DaemonSets and Jobs; each container is a process in
a mount namespace of its own, with its volumes at their paths, its ServiceAccount's token, and the variables that its pod says;
probes, restarts with back-off, sidecars that start first and stop last, `preStop`, SIGTERM, grace period, SIGKILL.

Not as in a kubelet:

- A pod shares the network of this machine, but not its addresses: where its status says 10.88.x.y, which EndpointSlices take,
  it is at 127.88.x.y (`local`), with the ports that it asks for. Variables and arguments that say `0.0.0.0` or `127.0.0.1` say
  that address instead.
- An image is a program of this machine, whatever its tag; the rest of the file system is this machine's, and can be written.
  Users, capabilities, seccomp and limits are not looked at. Folders under `/run` and `/var/lib` are hidden from a container
  that has a volume below.
- Names are looked up in a file, which follows EndpointSlices at once (`services.py`); there is no DNS.
- ConfigMaps and tokens are mounted once, as they are when the pod starts.
- Hooks other than `preStop: sleep`, probes other than `httpGet`, and volumes or variables of other kinds are faults, at
  which the end fails; no container with such a hook or probe is started.
"""

from __future__ import annotations

import base64
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
import pods
import rest
from cluster import Cluster
from pods import NODE
from rest import Api, Object, RefusedError

from children import Child

TICK_S = 0.02
"""Seconds between two looks at a process and its probes."""
BACK_OFF_S = 10.0
"""Seconds before a container's second restart, doubled with each one up to `BACK_OFF_MOST_S`. The first is at once."""
BACK_OFF_MOST_S = 300.0
WATCH_S = 2.0
"""Seconds after which the pods are listed anew."""
HELD = "/mnt"
"""Where volumes are held until they are in their places; any folder that is there on each machine."""

Answer = TypeVar("Answer")
_numbers = itertools.count(1)


class UnsupportedError(Exception):
    """A pod asks for what is not played here."""


def local(address: str) -> str:
    """Where what has an address in the cluster really is: pods and Services, 10.x.y.z, are at 127.x.y.z."""
    return "127." + address.removeprefix("10.")


def missing() -> str:
    """Why processes cannot have mounts of their own here; empty where they can."""
    done = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


class Kubelet:
    """A context manager: runs the pods of a namespace. `programs` is what the images are, by repository, without the registry's
    folder and the tag; `hosts` is the file that names are looked up in.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, folder: Path, memory: Path, programs: Mapping[str, Sequence[str]], hosts: Path
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.folder = folder
        self.memory = memory
        self.programs = programs
        self.hosts = hosts
        self.api = Api(cluster.url, cluster.certificate, cluster.tokens["admin"])
        self.faults: list[str] = []
        """What no kubelet would have stumbled over."""
        self._stop = threading.Event()
        self._running: dict[str, PodRun] = {}
        follow = (self._stop, self._follow)
        self._thread = threading.Thread(target=rest.persist, args=follow, name=f"kubelet of {namespace}", daemon=True)

    def __enter__(self) -> Kubelet:
        pods.make_node(self.cluster)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        for run in self._running.values():
            run.end()
        self.api.close()
        assert kind is not None or not self.faults, self.faults

    def container(self, pod: str, name: str) -> ContainerRun:
        """A container of a running pod."""
        (found,) = (run for run in self._running.values() if run.name == pod)
        return found.container(name)

    def path(self, resource: str, name: str = "", subresource: str = "") -> str:
        """Of a resource in the namespace."""
        return rest.path(resource, self.namespace, name, subresource)

    def _follow(self) -> None:
        listed = self.api.get(self.path("pods"))
        present = {found["metadata"]["uid"] for found in listed["items"]}
        for uid in set(self._running) - present:
            self._running.pop(uid).end()
        for found in listed["items"]:
            self._see(found)
        version = listed["metadata"]["resourceVersion"]
        for kind, found in self.api.watch(self.path("pods"), WATCH_S, resourceVersion=version):
            if self._stop.is_set() or kind == "ERROR":
                return
            if kind == "DELETED":
                gone = self._running.pop(found["metadata"]["uid"], None)
                if gone is not None:
                    gone.end()
            else:
                self._see(found)

    def _see(self, found: Object) -> None:
        uid = found["metadata"]["uid"]
        if found["spec"].get("nodeName", NODE) != NODE:
            return
        if uid not in self._running and found.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._running[uid] = PodRun(self, found)
        run = self._running.get(uid)
        if run is not None and found["metadata"].get("deletionTimestamp"):
            run.delete(found["metadata"].get("deletionGracePeriodSeconds", 0))


class PodRun:
    """A pod on the node: its volumes, its containers, its status."""

    def __init__(self, kubelet: Kubelet, found: Object) -> None:
        self.kubelet = kubelet
        self.api = kubelet.api
        self.spec: Object = found["spec"]
        self.metadata: Object = found["metadata"]
        self.name: str = self.metadata["name"]
        number = next(_numbers)
        self.ip = f"10.88.{number >> 8}.{number & 255}"
        self.folder = kubelet.folder / self.name
        self.memory = kubelet.memory / self.name
        self.turned = threading.Event()
        """Set where its status may be another."""
        self.volumes: dict[str, Path] = {}
        self._over = threading.Event()
        self._kill_at: float | None = None
        self._phase = "Pending"
        self._begun = False
        """Whether all that there was to start has begun."""
        self._shown: Object = {}
        self._started_at = pods.now()
        self._inits = [ContainerRun(self, spec, init=True) for spec in self.spec.get("initContainers", [])]
        self._apps = [ContainerRun(self, spec, init=False) for spec in self.spec["containers"]]
        self._thread = threading.Thread(target=self._run, name=f"pod {self.name}", daemon=True)
        self._thread.start()

    @property
    def policy(self) -> str:
        """`restartPolicy`."""
        return str(self.spec.get("restartPolicy", "Always"))

    def container(self, name: str) -> ContainerRun:
        """By its name."""
        return next(each for each in (*self._inits, *self._apps) if each.name == name)

    def delete(self, grace_s: int) -> None:
        """Somebody deleted it: it ends within its grace period."""
        at = time.monotonic() + grace_s
        if self._kill_at is None or at < self._kill_at:
            self._kill_at = at
            self.turned.set()

    def end(self) -> None:
        """Kills everything at once, telling nobody."""
        self._over.set()
        self.turned.set()
        for each in (*self._apps, *self._inits):
            each.end()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._bind()
            if self._mount():
                while not self._over.is_set():
                    self.turned.clear()
                    done = self._step()
                    self._show()
                    if done:
                        return
                    self.turned.wait(None if self._kill_at is None else 1)
            elif not self._over.is_set():
                self._remove()
        except UnsupportedError as error:
            self.kubelet.faults.append(f"pod {self.name}: {error}")
            self._show()
        except RefusedError as error:
            # It may be gone by now.
            if error.code not in (404, 409):
                self.kubelet.faults.append(f"pod {self.name}: {error}")

    def _bind(self) -> None:
        if "nodeName" in self.spec:
            return
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name}, "target": target}
        self._write("POST", self.kubelet.path("pods", self.name, "binding"), body)

    # What its containers find.

    def _mount(self) -> bool:
        """Fills the volumes, as soon as what they need is there; False where the pod is deleted first."""
        while True:
            try:
                for volume in self.spec.get("volumes", []):
                    self._fill(volume)
                for each in (*self._inits, *self._apps):
                    each.prepare()
                return True
            except _Waiting:
                self._show()
                # For what may be made by anybody, a second is soon: a kubelet's own patience is longer.
                self.turned.wait(0.2)
            if self._over.is_set() or self._kill_at is not None:
                return False

    def _fill(self, volume: Object) -> None:
        place = (self.memory if volume.get("emptyDir", {}).get("medium") == "Memory" else self.folder) / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        match volume:
            case {"emptyDir": _}:
                pass
            case {"projected": {"sources": sources}}:
                for source in sources:
                    self._project(place, source)
            case {"configMap": _} | {"secret": _} | {"downwardAPI": _}:
                self._project(place, volume)
            case _:
                raise UnsupportedError(f"volume {volume}")
        self.volumes[volume["name"]] = place

    def _project(self, place: Path, source: Object) -> None:
        match source:
            case {"serviceAccountToken": asked}:
                files = {asked["path"]: self._token(asked).encode()}
            case {"configMap": asked}:
                files = _picked(self.data("configmaps", asked["name"], asked), asked)
            case {"secret": asked}:
                files = _picked(self.data("secrets", asked.get("secretName") or asked["name"], asked), asked)
            case {"downwardAPI": asked}:
                files = {item["path"]: self.field(item["fieldRef"]["fieldPath"]).encode() for item in asked["items"]}
            case _:
                raise UnsupportedError(f"volume source {source}")
        for name, content in files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def _token(self, asked: Object) -> str:
        bound = {"kind": "Pod", "apiVersion": "v1", "name": self.name, "uid": self.metadata["uid"]}
        spec: Object = {"boundObjectRef": bound, "expirationSeconds": asked.get("expirationSeconds", 3600)}
        if "audience" in asked:
            spec["audiences"] = [asked["audience"]]
        account = self.spec.get("serviceAccountName", "default")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = self._write("POST", self.kubelet.path("serviceaccounts", account, "token"), body)
        return str(made["status"]["token"])

    def data(self, resource: str, name: str, asked: Object) -> dict[str, bytes]:
        """What a ConfigMap or Secret holds; nothing where it is missing and optional. Raises `_Waiting` where it is missing."""
        found = self._read(self.kubelet.path(resource, name))
        if found is None and not asked.get("optional"):
            raise _Waiting(f"{resource} {name}")
        found = found or {}
        packed = found.get("data") or {} if resource == "secrets" else found.get("binaryData") or {}
        plain = {} if resource == "secrets" else found.get("data") or {}
        return {key: base64.b64decode(text) for key, text in packed.items()} | {
            key: text.encode() for key, text in plain.items()
        }

    def field(self, path: str) -> str:
        """A field of the pod, as `fieldRef` names it."""
        known = {
            "metadata.name": self.name,
            "metadata.namespace": self.kubelet.namespace,
            "metadata.uid": self.metadata["uid"],
            "spec.nodeName": NODE,
            "spec.serviceAccountName": self.spec.get("serviceAccountName", "default"),
            "status.podIP": local(self.ip),
        }
        if path not in known:
            raise UnsupportedError(f"field {path}")
        return str(known[path])

    # What its containers do.

    def _step(self) -> bool:
        """Starts and stops what is due; True when the pod is over."""
        self._begun = self._begun or self._kill_at is not None or self._begin()
        if not self._begun:
            return False
        apps_ended = all(each.ended for each in self._apps)
        if self._kill_at is None and not apps_ended:
            self._phase = "Running"
            return False
        kill_at = self._kill_at if self._kill_at is not None else time.monotonic() + self.grace_s
        for each in self._apps:
            each.stop(kill_at)
        if not all(each.ended for each in self._apps):
            return False
        # The last one that started is the first one to stop.
        for each in reversed(self._inits):
            each.stop(kill_at)
            if not each.ended:
                return False
        failed = any(each.exit_code for each in self._apps) or any(each.exit_code for each in self._inits if not each.sidecar)
        self._phase = "Failed" if failed else "Succeeded"
        if self._kill_at is not None:
            self._show()
            self._remove()
        return True

    def _begin(self) -> bool:
        """Whether all containers have begun."""
        for each in self._inits:
            each.begin()
            if not (each.started if each.sidecar else each.ended and each.exit_code == 0):
                if each.ended and not each.sidecar:  # It failed for good.
                    self._apps_never()
                    return True
                return False
        for each in self._apps:
            each.begin()
        return True

    def _apps_never(self) -> None:
        for each in self._apps:
            each.end()

    @property
    def grace_s(self) -> float:
        """Seconds that its containers have to end."""
        return float(self.spec.get("terminationGracePeriodSeconds", 30))

    def _remove(self) -> None:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        options["preconditions"] = {"uid": self.metadata["uid"]}
        self._write("DELETE", self.kubelet.path("pods", self.name), options)

    # What the API server is told.

    def _show(self) -> None:
        """Writes the status, where it is another."""
        status = self._status()
        if status != self._shown:
            where = self.kubelet.path("pods", self.name, "status")
            self._patiently(lambda: self.api.merge(where, {"status": status}))
            self._shown = status

    def _status(self) -> Object:
        ready = bool(self._apps) and all(each.ready for each in (*self._apps, *(each for each in self._inits if each.sidecar)))
        ready = ready and self._phase == "Running"
        begun = all(each.started if each.sidecar else each.exit_code == 0 for each in self._inits)
        holds = {"PodScheduled": True, "Initialized": begun, "ContainersReady": ready, "Ready": ready}
        before = {row["type"]: row for row in self._shown.get("conditions", [])}
        conditions = []
        for kind, yes in holds.items():
            row = {"type": kind, "status": str(yes), "lastTransitionTime": pods.now()}
            same = kind in before and before[kind]["status"] == row["status"]
            conditions.append(before[kind] if same else row)
        return {
            "phase": self._phase,
            "hostIP": "10.0.0.1",
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "startTime": self._started_at,
            "conditions": conditions,
            "initContainerStatuses": [each.status() for each in self._inits],
            "containerStatuses": [each.status() for each in self._apps],
        }

    def _read(self, where: str) -> Object | None:
        return self._patiently(lambda: self.api.find(where))

    def _write(self, method: str, where: str, body: Object) -> Object:
        return self._patiently(lambda: self.api.call(method, where, body))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Asks again while the API server is away."""
        while True:
            try:
                return ask()
            except httpx.TransportError:
                if self._over.wait(0.2):
                    raise UnsupportedError("the API server is away at the end") from None


class ContainerRun:
    """A container: a process, and another one where it ends and should not."""

    def __init__(self, pod: PodRun, spec: Object, *, init: bool) -> None:
        self.pod = pod
        self.spec = spec
        self.name: str = spec["name"]
        self.init = init
        self.sidecar = init and spec.get("restartPolicy") == "Always"
        self.restarts = 0
        self.started = False
        """Whether its startup probe, if it has one, was answered well in this life."""
        self.ready = False
        self.exit_code: int | None = None
        """Of its last life, where that was the last."""
        self.child: Child | None = None
        self._state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self._stopping = threading.Event()
        self._kill_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """Whether it runs no more, and will not."""
        if self._thread is None:
            return self._stopping.is_set()
        return not self._thread.is_alive() or self.exit_code is not None

    def prepare(self) -> None:
        """What it runs, in which place, by which variables. Raises `_Waiting` where some are not there yet."""
        self._pre_stop_s()
        _Probes(self)  # Nothing runs whose hook or probes are not played.
        program = self._program()
        variables = {"PATH": os.environ["PATH"], "HOME": "/tmp", **self._variables()}
        inside = ["env", "-i", *(f"{name}={text}" for name, text in variables.items()), *program]
        # The kernel forgets who the parent is when a process enters a user namespace: it is told again.
        command = ["unshare", "-Urm", "sh", "-euc", self._mounts() + 'exec setpriv --pdeathsig KILL -- "$@"', "pod", *inside]
        self.child = Child(f"{self.pod.name}/{self.name}", command, self.pod.folder / f"{self.name}.log")

    def begin(self) -> None:
        """Starts it, where it was not started."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"container {self.pod.name}/{self.name}", daemon=True)
            self._thread.start()

    def stop(self, kill_at: float) -> None:
        """Tells it to end, and kills it at a time (monotonic seconds)."""
        self._kill_at = min(self._kill_at, kill_at) if self._stopping.is_set() else kill_at
        self._stopping.set()

    def kill(self) -> None:
        """SIGKILL, as by the kernel: a container that is to run begins anew."""
        assert self.child is not None
        self.child.signal(signal.SIGKILL)

    def end(self) -> None:
        """Kills it for good."""
        self.stop(0.0)
        if self._thread is not None:
            self._thread.join()

    def status(self) -> Object:
        """As the pod's status has it."""
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "",
            "ready": self.ready or (self.init and not self.sidecar and self.exit_code == 0),
            "started": self.started,
            "restartCount": self.restarts,
            "state": self._state,
        }

    def _program(self) -> list[str]:
        repository = self.spec["image"].rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
        if repository not in self.pod.kubelet.programs:
            raise UnsupportedError(f"image {self.spec['image']}; there are {', '.join(self.pod.kubelet.programs)}")
        entry = self.spec.get("command", self.pod.kubelet.programs[repository])
        return [*entry, *(self._inside(argument) for argument in self.spec.get("args", []))]

    def _inside(self, text: str) -> str:
        """An address of the pod's own network is its own here."""
        address = local(self.pod.ip)
        return text.replace("0.0.0.0", address).replace("127.0.0.1", address)

    def _variables(self) -> dict[str, str]:
        host, port = self.pod.kubelet.cluster.url.removeprefix("https://").rsplit(":", 1)
        found = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        if "envFrom" in self.spec:
            raise UnsupportedError(f"envFrom of container {self.name}")
        for entry in self.spec.get("env", []):
            text = self._variable(entry)
            if text is not None:
                found[entry["name"]] = text
        return found

    def _variable(self, entry: Object) -> str | None:
        match entry:
            case {"valueFrom": {"fieldRef": {"fieldPath": path}}}:
                return self.pod.field(path)
            case {"valueFrom": {"configMapKeyRef": asked}}:
                return self._key("configmaps", asked)
            case {"valueFrom": {"secretKeyRef": asked}}:
                return self._key("secrets", asked)
            case {"valueFrom": other}:
                raise UnsupportedError(f"variable {entry['name']} of {other}")
            case _:
                return self._inside(entry.get("value", ""))

    def _key(self, resource: str, asked: Object) -> str | None:
        found = self.pod.data(resource, asked["name"], asked)
        if asked["key"] in found:
            return found[asked["key"]].decode()
        if asked.get("optional"):
            return None
        raise _Waiting(f"{resource} {asked['name']}, key {asked['key']}")

    def _mounts(self) -> str:
        """Lines of shell that put the volumes in their places."""
        names = self.pod.folder / "nsswitch.conf"
        names.write_text("hosts: files\n")
        wanted = sorted(self.spec.get("volumeMounts", []), key=lambda mount: str(mount["mountPath"]))
        sources = [self.pod.kubelet.hosts, names]
        targets = [Path("/etc/hosts"), Path("/etc/nsswitch.conf")]
        for mount in wanted:
            sources.append(self.pod.volumes[mount["name"]] / mount.get("subPath", ""))
            targets.append(Path(mount["mountPath"]))
            sources[-1].mkdir(exist_ok=True)
        # What lies below a target, and be it `/tmp`, is hidden by it: all are held elsewhere first.
        lines = [f"mount -t tmpfs tmpfs {HELD}"]
        for number, source in enumerate(sources):
            held = f"{HELD}/{number}"
            lines += [f"touch {held}" if source.is_file() else f"mkdir {held}", f"mount --bind {source} {held}"]
        for top in sorted({_existing(target) for target in targets if not target.exists()}):
            if str(top) in ("/", "/etc", "/usr"):
                raise UnsupportedError(f"container {self.name} has a volume in a folder of {top} that this machine lacks")
            lines.append(f"mount -t tmpfs tmpfs {top}")
        for number, target in enumerate(targets):
            lines += [f"test -e {target} || mkdir -p {target}", f"mount --bind {HELD}/{number} {target}"]
        for mount in wanted:
            if mount.get("readOnly"):
                # What a mount forbids already must be said again.
                lines.append(f"mount -o remount,bind,ro,nosuid,nodev {mount['mountPath']}")
        return "".join(f"{line}\n" for line in [*lines, f"umount --lazy {HELD}"])

    # Its lives.

    def _run(self) -> None:
        life = 0
        while not self._stopping.is_set():
            began = pods.now()
            code = self._live(began)
            life += 1
            self.started = self.ready = False
            reason = "Completed" if code == 0 else "Error"
            self._state = {
                "terminated": {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": pods.now()},
            }
            if self._stopping.is_set() or not self._again(code):
                self.exit_code = code
                break
            if life > 1:
                self._state = {"waiting": {"reason": "CrashLoopBackOff"}}
            self.pod.turned.set()
            if self._stopping.wait(0.0 if life == 1 else min(BACK_OFF_S * 2 ** (life - 2), BACK_OFF_MOST_S)):
                self.exit_code = code
            else:
                self.restarts += 1
        self.pod.turned.set()

    def _again(self, code: int) -> bool:
        if self.sidecar:
            return True
        if self.init:
            return code != 0 and self.pod.policy != "Never"
        return self.pod.policy == "Always" or (self.pod.policy == "OnFailure" and code != 0)

    def _live(self, began: str) -> int:
        """From start to end; gives the exit code."""
        assert self.child is not None
        process = self.child.start()
        self._state = {"running": {"startedAt": began}}
        probes = _Probes(self)
        self.pod.turned.set()
        ending: _Ending | None = None
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(TICK_S)
                return code if code >= 0 else 128 - code
            if ending is None and (self._stopping.is_set() or probes.dead):
                kill_at = self._kill_at if self._stopping.is_set() else time.monotonic() + self.pod.grace_s
                ending = _Ending(time.monotonic() + self._pre_stop_s(), kill_at)
            if ending is not None:
                kill_at = min(ending.kill_at, self._kill_at) if self._stopping.is_set() else ending.kill_at
                ending.go_on(process, kill_at)
            probes.ask(only_readiness=ending is not None)

    def _pre_stop_s(self) -> float:
        hook = self.spec.get("lifecycle", {}).get("preStop")
        if hook is None:
            return 0.0
        if "sleep" not in hook:
            raise UnsupportedError(f"preStop of container {self.name}: {hook}")
        return float(hook["sleep"]["seconds"])


@dataclass
class _Ending:
    """How a process is told to end."""

    term_at: float
    """When it gets SIGTERM (monotonic seconds)."""
    kill_at: float
    told: bool = False

    def go_on(self, process: subprocess.Popen[bytes], kill_at: float) -> None:
        now = time.monotonic()
        if now >= kill_at:
            process.kill()
        elif now >= self.term_at and not self.told:
            self.told = True
            process.terminate()


class _Probes:
    """The three probes of one life of a container."""

    def __init__(self, run: ContainerRun) -> None:
        self._run = run
        self.dead = False
        """Whether it must be ended: it did not start in time, or lives no more."""
        self._startup = self._of("startupProbe")
        self._readiness = self._of("readinessProbe")
        self._liveness = self._of("livenessProbe")

    def ask(self, *, only_readiness: bool) -> None:
        """Asks what is due."""
        run = self._run
        before = (run.started, run.ready)
        if not run.started and not only_readiness:
            answer = self._startup.ask() if self._startup else True
            run.started = answer is True
            self.dead = answer is False
        if run.started:
            answer = self._readiness.ask() if self._readiness else True
            run.ready = run.ready if answer is None else answer
            if self._liveness and not only_readiness:
                self.dead = self._liveness.ask() is False
        if before != (run.started, run.ready):
            run.pod.turned.set()

    def _of(self, name: str) -> _Probe | None:
        spec = self._run.spec.get(name)
        if spec is None:
            return None
        if "httpGet" not in spec:
            raise UnsupportedError(f"{name} of container {self._run.name}")
        asked, port = spec["httpGet"], spec["httpGet"]["port"]
        if isinstance(port, str):
            (port,) = (row["containerPort"] for row in self._run.spec["ports"] if row.get("name") == port)
        return _Probe(f"http://{local(self._run.pod.ip)}:{port}{asked.get('path', '/')}", spec)


class _Probe:
    """One of them."""

    def __init__(self, url: str, spec: Object) -> None:
        self._url = url
        self._period_s = float(spec.get("periodSeconds", 10))
        self._timeout_s = float(spec.get("timeoutSeconds", 1))
        self._most = int(spec.get("failureThreshold", 3))
        self._next_at = time.monotonic() + float(spec.get("initialDelaySeconds", 0))
        self._failures = 0

    def ask(self) -> bool | None:
        """True after a good answer, False after too many bad ones in a row, None where nothing is known anew."""
        if time.monotonic() < self._next_at:
            return None
        self._next_at = time.monotonic() + self._period_s
        try:
            good = httpx.get(self._url, timeout=self._timeout_s).status_code < 400
        except httpx.TransportError:
            good = False
        self._failures = 0 if good else self._failures + 1
        if good:
            return True
        return False if self._failures >= self._most else None


class _Waiting(Exception):
    """Something that a pod needs is not there yet."""


def _picked(found: Mapping[str, bytes], asked: Object) -> dict[str, bytes]:
    if "items" not in asked:
        return dict(found)
    return {item["path"]: found[item["key"]] for item in asked["items"] if item["key"] in found}


def _existing(target: Path) -> Path:
    """The deepest folder above that is there."""
    return next(above for above in target.parents if above.exists()).resolve()
