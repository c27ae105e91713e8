"""`make bench-kube`: how soon an edit is routed by, and what a thousand pools cost, against a real API server; prints the
tables of bench/README.md.

The cluster and the install are those of `tests/kube`: real processes that stand for pods.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "kube")]

import binaries  # noqa: E402
import cluster as control_plane  # noqa: E402
import pods  # noqa: E402
import rest  # noqa: E402
from cluster import Cluster, Namespace  # noqa: E402
from install import AUDIENCE, Controller, Gateway, Install, installed  # noqa: E402
from pods import Pod  # noqa: E402
from run import cell, table  # noqa: E402

from simulators import upstreams  # noqa: E402

ROUNDS = 3
EDITS = 200
"""Edits of a round."""
LONGEST_PAUSE_S = 0.1
"""Between an answer of the last gateway and the next edit; at random, so that not all edits meet the same moment."""
LOST_S = 10
"""An edit that is not routed by within this time ends the bench."""
IDLE_S = 75
"""Longer than the controller's period of complete lists, 60 s."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Size:
    """How many objects."""

    namespaces: int
    pools: int
    """In each namespace; as many policies."""
    models: int
    """In each pool."""

    @property
    def all_pools(self) -> int:
        """In the cluster."""
        return self.namespaces * self.pools


@dataclass(frozen=True)
class Setting:
    """Whom an edit must reach."""

    gateways: int
    sidecars: int
    ask_every_s: float
    """Pause between two questions to one gateway: what is asked must not be what takes the time."""


EDITED = Size(namespaces=10, pools=5, models=4)
LARGE = Size(namespaces=20, pools=50, models=20)
SETTINGS = (Setting(3, 0, 0.002), Setting(10, 100, 0.005))
PARKED = 1000


def main() -> None:
    """Every row of the README."""
    binaries.CONTROL_PLANE.build()
    binaries.fetch_helm()
    say(f"{os.cpu_count()} cores; load average before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    for setting in SETTINGS:
        propagation(setting)
    scale()
    say(f"load average after: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


# Propagation.


def propagation(setting: Setting) -> None:
    """From the PATCH of a policy to an answer by the new alias from each gateway, beside the watch event of the same PATCH."""
    with running(EDITED, setting.gateways) as (made, namespaces, _), sidecars(made, namespaces, setting.sidecars):
        seen = Watched(made.cluster)
        askers = [Asker(made.gateways, namespace, setting.ask_every_s) for namespace in namespaces]
        cost = askers[0].cost_per_question_s()
        log = Audit(made)
        rounds = [edits(namespaces, askers, seen, number) for number in range(ROUNDS)]
        wait_ready(made.cluster)
        wrote = sum(count for write, count in log.writes().items() if "/status" in write)
    names = f"{setting.gateways} gateways" + (f", {setting.sidecars} sidecars" if setting.sidecars else "")
    say(f"\n### {names}: {ROUNDS} × {EDITS} edits at {EDITED.all_pools} pools, ms\n")
    shares = (0.5, 0.95, 0.99, 1.0)
    answered = [[quantile(each.answered, share) for each in rounds] for share in shares]
    bare = [[quantile(each.seen, share) for each in rounds] for share in shares]
    rows = [
        ("each gateway answers", *(cell([1000 * time for time in times]) for times in answered)),
        ("watch event", *(cell([1000 * time for time in times]) for times in bare)),
        ("ratio", *(cell([a / b for a, b in zip(*pair, strict=True)], ".1f") for pair in zip(answered, bare, strict=True))),
    ]
    table(("from PATCH until", "p50", "p95", "p99", "max"), rows)
    asked = statistics.mean(each.questions for each in rounds) / EDITS
    say(f"\n{wrote / ROUNDS / EDITS:.2f} status writes an edit.")
    total = f"{1000 * asked * cost:.1f} ms an edit"
    say(f"Asking: {asked:.0f} questions an edit, {1e6 * cost:.0f} µs of CPU each on both ends, {total}.")


@dataclass
class Round:
    """Seconds of each edit."""

    answered: list[float] = field(default_factory=list)
    """Until the slowest gateway's answer."""
    seen: list[float] = field(default_factory=list)
    """Until the watch event."""
    questions: int = 0


def edits(namespaces: list[Namespace], askers: list[Asker], seen: Watched, number: int) -> Round:
    """A round of edits, each of another policy than the one before."""
    chance, done = random.Random(number), Round()
    with ThreadPoolExecutor(1) as asking:
        for edit in range(EDITS):
            time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
            namespace, asker = namespaces[edit % len(namespaces)], askers[edit % len(namespaces)]
            alias = f"edit-{number}-{edit}"
            asker.begun.clear()
            answers = asking.submit(asker.until_served, alias)
            assert asker.begun.wait(LOST_S), "a gateway does not answer"
            where = namespace.path("routingpolicies", f"policy-{edit // len(namespaces) % EDITED.pools}")
            patched = time.monotonic()
            namespace.api.merge(where, {"spec": {"match": {"models": [alias]}}})
            done.answered.append(answers.result() - patched)
            done.seen.append(seen.when(alias) - patched)
            done.questions += asker.asked
    return done


class Watched:
    """When the watch told of an alias."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = rest.Api(cluster.url, cluster.certificate, cluster.tokens["admin"])
        self._times: dict[str, float] = {}
        self._came = threading.Condition()
        threading.Thread(target=self._follow, name="watch", daemon=True).start()

    def when(self, alias: str) -> float:
        """Monotonic seconds."""
        with self._came:
            assert self._came.wait_for(lambda: alias in self._times, LOST_S), f"no event told of {alias}"
            return self._times[alias]

    def _follow(self) -> None:
        # It ends with the API server.
        with suppress(httpx.TransportError):
            for _, found in self._api.watch(rest.path("routingpolicies"), 3600):
                now = time.monotonic()
                with self._came:
                    self._times.setdefault(found["spec"]["match"]["models"][0], now)
                    self._came.notify_all()


class Asker:
    """Asks all gateways, over connections that stay open, with the key of a namespace."""

    def __init__(self, gateways: list[Gateway], namespace: Namespace, every_s: float) -> None:
        self._gateways = gateways
        self._key = f"sk-{namespace.name}"
        self._every_s = every_s
        self._lines = [Line(gateway) for gateway in gateways]
        self.begun = threading.Event()
        """Set when all gateways have been asked once, and none knew the alias."""
        self.asked = 0

    def until_served(self, alias: str) -> float:
        """Asks for an alias until each gateway has answered 200; gives when the last one did, monotonic seconds."""
        left, last, self.asked = list(self._lines), 0.0, 0
        until = time.monotonic() + LOST_S
        while left:
            waiting = self._ask(left, alias)
            assert waiting == left or self.begun.is_set(), f"{alias} was known before"
            self.begun.set()
            if len(waiting) < len(left):
                left, last = waiting, time.monotonic()
            assert time.monotonic() < until, f"{alias} is not served by {len(left)} gateways"
            if left:
                time.sleep(self._every_s)
        return last

    def cost_per_question_s(self, rounds: int = 300) -> float:
        """Seconds of CPU that a question takes, of ours and of the gateway."""
        before = time.process_time() + sum(cpu_s(gateway.child.pid) for gateway in self._gateways)
        for _ in range(rounds):
            self._ask(self._lines, "nobody-knows")
            time.sleep(self._every_s)
        after = time.process_time() + sum(cpu_s(gateway.child.pid) for gateway in self._gateways)
        return (after - before) / rounds / len(self._lines)

    def _ask(self, lines: list[Line], alias: str) -> list[Line]:
        """Those that did not answer 200."""
        self.asked += len(lines)
        for line in lines:
            line.ask(alias, self._key)
        return [line for line in lines if line.status() != 200]


class Line:
    """A connection to a gateway's native door, without a client library, whose time would be measured too."""

    def __init__(self, gateway: Gateway) -> None:
        host, _, port = gateway.url().removeprefix("http://").rpartition(":")
        self._socket = socket.create_connection((host, int(port)), LOST_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, alias: str, key: str) -> None:
        """Sends a call."""
        body = f'{{"model": "{alias}", "messages": [{{"role": "user", "content": "hello"}}]}}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
        self._socket.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())

    def status(self) -> int:
        """Reads an answer."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._read()
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self._read()
        return int(head[9:12])

    def _read(self) -> bytes:
        found = self._socket.recv(65536)
        assert found, "a gateway closed the connection"
        return found


# Scale.


def scale() -> None:
    """What the controller needs for many objects, at rest, for an edit, and for many clients."""
    facts: list[tuple[str, str]] = []
    with running(LARGE, gateways=1) as (made, namespaces, applied_s):
        (controller,) = made.controllers
        facts.append(("`kubectl apply` of everything, until all are Ready (information)", f"{applied_s:.0f} s"))
        controller.stop()
        controller.start()
        controller.wait()
        facts.append(("full pass, nothing remembered", f"{first_pass_s(controller):.2f} s"))
        settled(made, controller)
        facts.append(("RSS of the controller at rest", f"{memory_mb(controller):.0f} MB"))
        wrote, seconds = edit_at_scale(made, namespaces[0], controller)
        facts.append(("pass after an edit of one policy", f"{seconds:.2f} s"))
        facts.append(("what that edit wrote", wrote))
        log = Audit(made)
        time.sleep(IDLE_S)
        facts.append((f"writes in {IDLE_S} s without an edit", log.told() or "none"))
        facts.append(("RSS after that", f"{memory_mb(controller):.0f} MB"))
        before = memory_mb(controller)
        with sidecars(made, namespaces, PARKED):
            next_pass(controller)
            settled(made, controller)
            after = memory_mb(controller)
        facts.append((f"{PARKED} parked clients", f"{after - before:+.0f} MB"))
        facts.append(("most RSS that it ever had", f"{memory_mb(controller, 'VmHWM'):.0f} MB"))
    say(f"\n### Scale: {LARGE.all_pools} pools × {LARGE.models} models, {LARGE.all_pools} policies\n")
    table(("what", "figure"), facts)


def edit_at_scale(made: Install, namespace: Namespace, controller: Controller) -> tuple[str, float]:
    """Edits one policy. Gives what was written, and the seconds of the passes."""
    log, (count, seconds) = Audit(made), passes(controller)
    where = namespace.path("routingpolicies", "policy-0")
    changed = namespace.api.merge(where, {"spec": {"match": {"models": ["auto-0", "edited"]}}})
    generation = changed["metadata"]["generation"]
    made.cluster.api.until(where, lambda found: is_ready(found, generation), 30)
    settled(made, controller)
    after, total = passes(controller)
    return log.told(), (total - seconds) / (after - count)


class Audit:
    """What the controller writes from here on, beside its Lease."""

    def __init__(self, made: Install) -> None:
        self._file, self._user = made.cluster.audit_log, made.user
        self._begin = self._file.stat().st_size

    def told(self) -> str:
        """As text."""
        return ", ".join(f"{count} × {write}" for write, count in sorted(self.writes().items()))

    def writes(self) -> dict[str, int]:
        """How often each was made."""
        with self._file.open("rb") as log:
            log.seek(self._begin)
            events = [json.loads(line) for line in log if self._user.encode() in line]
        found: dict[str, int] = {}
        for event in events:
            about = event.get("objectRef") or {}
            resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
            if event["verb"] in ("create", "update", "patch", "delete") and resource not in ("leases", "tokenreviews"):
                name = f"{event['verb']} {resource} {about.get('name', '')}".strip()
                found[name] = found.get(name, 0) + 1
        return found


def passes(controller: Controller) -> tuple[int, float]:
    """Their number and their seconds, by the controller's own metric."""
    rows = dict(line.rsplit(" ", 1) for line in controller.metrics().splitlines() if not line.startswith("#"))
    name = "tradewind_controller_pass_seconds"
    return int(float(rows[f"{name}_count"])), float(rows[f"{name}_sum"])


def first_pass_s(controller: Controller) -> float:
    """Of a controller that has just been started."""
    while not (found := passes(controller))[0]:
        time.sleep(0.01)
    assert found[0] == 1, "the second pass was faster than we are"
    return found[1]


def next_pass(controller: Controller) -> None:
    """Waits for the pass that follows each complete list: after it, the heaps are trimmed."""
    before = passes(controller)[0]
    while passes(controller)[0] == before:
        time.sleep(0.5)


def settled(made: Install, controller: Controller) -> None:
    """Waits until it has made no pass, and every object has been Ready, for two seconds."""
    before = -1
    while before != (count := passes(controller)[0]):
        before = count
        time.sleep(2)
    wait_ready(made.cluster)


def memory_mb(program: Controller, which: str = "VmRSS") -> float:
    """Resident memory."""
    status = Path(f"/proc/{program.child.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(which))


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


# What there is.


@contextmanager
def running(size: Size, gateways: int) -> Iterator[tuple[Install, list[Namespace], float]]:
    """An install with objects, all of them Ready; gives the seconds that it took from `kubectl apply` on."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tradewind-bench-")))
        cluster = stack.enter_context(control_plane.started())
        cluster.define()
        (upstream,) = stack.enter_context(upstreams(folder, small=()))
        made = stack.enter_context(installed(cluster, folder))
        made.add_controllers()
        made.start_controllers()
        made.start_gateways(gateways)
        namespaces = [
            stack.enter_context(control_plane.namespace(cluster, f"team-{number}")) for number in range(size.namespaces)
        ]
        for namespace in namespaces:
            made.grant(namespace)
        begun = time.monotonic()
        for namespace in namespaces:
            (folder / f"{namespace.name}.json").write_text(json.dumps(objects(namespace.name, size, upstream.url)))
        with ThreadPoolExecutor(4) as several:
            for _ in several.map(
                lambda each: cluster.kubectl("apply", "--server-side", "-f", str(folder / f"{each.name}.json")), namespaces
            ):
                pass
        wait_ready(cluster)
        yield made, namespaces, time.monotonic() - begun


def objects(namespace: str, size: Size, url: str) -> dict[str, Any]:
    """A key for callers, pools and policies of a namespace."""
    key = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "callers", "labels": {"tradewind.dev/caller-keys": "true"}},
        "stringData": {"app": f"sk-{namespace}"},
    }
    found = [key, *(custom for number in range(size.pools) for custom in (pool(number, size.models, url), policy(number)))]
    for each in found:
        each["metadata"]["namespace"] = namespace
    return {"apiVersion": "v1", "kind": "List", "items": found}


def pool(number: int, models: int, url: str) -> dict[str, Any]:
    """A pool, whose models differ."""
    return {
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": f"pool-{number}"},
        "spec": {"models": [model(number, each, url) for each in range(models)]},
    }


def model(pool: int, number: int, url: str) -> dict[str, Any]:
    """A model with every field that most have."""
    return {
        "name": f"model-{number}",
        "upstream": {"url": url, "model": "small"},
        "price": {
            "inputPerMillion": f"0.{100 + (7 * pool + number) % 900}",
            "outputPerMillion": f"1.{100 + (11 * pool + number) % 900}",
        },
        "limits": {"contextTokens": 32768, "outputTokens": 4096, "concurrentRequestsPerGateway": 64},
        "capabilities": ["Tools", "JSON"],
        "labels": {"tier": "cheap" if number % 2 else "dear", "region": "eu"},
        "quality": {"prior": f"0.{50 + number}"},
        "latency": {"firstToken": f"{100 + number}ms", "outputTokensPerSecond": 100 + pool % 50},
    }


def policy(number: int) -> dict[str, Any]:
    """A policy for the pool of its number."""
    return {
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": "RoutingPolicy",
        "metadata": {"name": f"policy-{number}"},
        "spec": {
            "poolRefs": [{"name": f"pool-{number}"}],
            "match": {"models": [f"auto-{number}"]},
            "strategy": {"type": "Utility", "utility": {"willingnessToPayUSD": "0.02"}},
        },
    }


def is_ready(found: rest.Object | None, generation: int) -> bool:
    """Whether the Ready condition holds of a generation."""
    row = rest.condition(found, "Ready")
    return row.get("status") == "True" and row.get("observedGeneration") == generation


def wait_ready(cluster: Cluster, within_s: float = 300) -> None:
    """Waits until every pool and policy is Ready."""
    for resource in ("modelpools", "routingpolicies"):
        until = time.monotonic() + within_s
        while any(
            not is_ready(found, found["metadata"]["generation"]) for found in cluster.api.get(rest.path(resource))["items"]
        ):
            assert time.monotonic() < until, f"not all {resource} are Ready within {within_s} s"
            time.sleep(0.5)


@contextmanager
def sidecars(made: Install, namespaces: list[Namespace], count: int) -> Iterator[None]:
    """Pods of applications, each of which polls the first controller; all have the plan."""
    if not count:
        yield
        return
    for namespace in namespaces:
        pods.make_account(namespace, "app")

    def token(number: int) -> str:
        return Pod.create(namespaces[number % len(namespaces)], f"app-{number}", "app").token(AUDIENCE)

    with ThreadPoolExecutor(4) as several:
        tokens = list(several.map(token, range(count)))
    host, _, port = made.controllers[0].url.removeprefix("https://").rpartition(":")
    given = {"host": host, "port": int(port), "trust": made.trust_file.read_text(), "tokens": tokens}
    command = [sys.executable, str(Path(__file__).parent / "sidecars.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(given) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "served\n", "the sidecars ended"
            yield
        finally:
            process.kill()


def quantile(times: list[float], share: float) -> float:
    """By nearest rank."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def say(text: str) -> None:
    """To stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
