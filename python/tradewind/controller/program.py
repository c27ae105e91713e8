"""The controller as one program: its parts, built in one place, and the four loops: pass, settle, resync, trust."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tradewind import core
from tradewind.artifacts.predictor import Artifact
from tradewind.controller import definitions, events, identity, memory, metrics, plane, reconcile, references, status
from tradewind.controller.certificates import Certificates
from tradewind.controller.conditions import Condition
from tradewind.controller.fetch import Fetcher
from tradewind.controller.kube import APPLY, ApiError, Informer, Kube, Object, Unreachable, backoff
from tradewind.controller.lease import Lease, Told
from tradewind.controller.metrics import Metrics
from tradewind.controller.plane import Plane, Sessions
from tradewind.controller.published import Overtaken, Place, Published, decode
from tradewind.controller.publisher import Publisher
from tradewind.controller.reconcile import Form, Memory, Outcome, Snapshot
from tradewind.controller.status import Situation
from tradewind.controller.store import Custom, Key, Namespace, Pod, Service, Shelf
from tradewind.controller.trust import Trust
from tradewind.controller.vault import Vault
from tradewind.errors import TradewindError, UsageError, listed
from tradewind.settings import ControllerSettings

log = logging.getLogger("tradewind.controller")

BURST_S = 0.05
"""Seconds between the begins of two passes: a burst of edits is one pass, a single edit waits for nothing."""
VAULT_S = 2.0
"""Seconds that a pass waits for Secrets of a namespace that it has not read before."""
SETTLE_S = 0.02
"""Seconds between two looks at all statuses."""
WENT_BACK_S = 1.0
"""Seconds between complete lists while the cluster is older than it was."""
WRITERS = 16
"""Statuses written at once."""
RELIST_S = 1.0
"""Seconds from the first sign of a watch that begins anew to a complete list: kopf tells of its objects one by one."""
POOLS = f"/apis/{reconcile.API_VERSION}/modelpools"


class Wake:
    """A flag that a loop waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> None:
        """Sets it."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Waits until it is set or the time is over, and clears it: what is set while its loop works counts for the next."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        self._event.clear()


@dataclass(frozen=True)
class Replica:
    """Who this process is."""

    namespace: str
    identity: str
    gateway_accounts: frozenset[str]

    @classmethod
    def of(cls, settings: ControllerSettings) -> Replica:
        """From the settings, and the files that a pod has."""
        namespace = settings.namespace or identity.own_namespace() or "tradewind-system"
        accounts = frozenset(part.strip() for part in settings.gateway_accounts.split(",") if part.strip())
        strange = sorted(account for account in accounts if not account.startswith(f"{namespace}/"))
        if strange:  # Their pods are not seen, so nothing would wait for them.
            raise UsageError(
                f"gateways run in the install's namespace, `{namespace}`; not so {listed(strange)}", "gateway_accounts"
            )
        return cls(
            namespace, settings.identity or socket.gethostname(), accounts or frozenset({f"{namespace}/tradewind-gateway"})
        )


class Controller:
    """One replica. kopf's handlers feed its shelves; `start` runs the rest."""

    def __init__(self, settings: ControllerSettings, kube: Kube, artifact: Artifact) -> None:
        self.settings = settings
        self.replica = Replica.of(settings)
        reviewer = identity.Reviewer(settings.audience)
        owners = reviewer.owners(self.replica.namespace)
        place = Place(kube, self.replica.namespace, settings.plan_name, owners)
        # By a Role and by a ClusterRole.
        self.kube = kube = replace(kube, permitted=(place.path, POOLS))
        self.metrics = Metrics()
        self.dirty = Wake()
        self.settle = Wake()
        self.relisted = Wake()
        """Set where a watch began anew: what was deleted meanwhile, no event tells."""
        self.customs: Shelf[Custom] = Shelf(Custom, self.dirty, self.settle)
        self.services: Shelf[Service] = Shelf(Service, self.dirty)
        self.namespaces: Shelf[Namespace] = Shelf(Namespace, self.dirty)
        self.pods: Shelf[Pod] = Shelf(Pod, self.settle)
        self.secrets = Vault(kube, "secrets", settings.resync_s, self.dirty, self.metrics.forbidden.inc)
        self.profiles = Vault(kube, "configmaps", settings.resync_s, self.dirty, self.metrics.forbidden.inc)
        self.sessions = Sessions()
        channel = {
            "listen": settings.listen,
            "gateway_accounts": sorted(self.replica.gateway_accounts),
            "hop_url": settings.gateway_url or None,
        }
        self.server = core.SyncServer(
            json.dumps(channel).encode(),
            reviewer.review,
            self.sessions.wake,
        )
        self.sessions.attach(self.server)
        self.sessions.listeners.append(self._on_sessions)
        self.events = events.Recorder(kube, self.replica.namespace, self.replica.identity)
        self.publisher = Publisher(place, self.server, self.sessions, self.metrics, self._warn)
        self.place = place
        self.lease = Lease(
            reviewer.api,
            self.replica.namespace,
            settings.lease_name,
            self.replica.identity,
            Told(self._threadsafe(self._won), self._threadsafe(self._paused), self._threadsafe(self._lost)),
            owners,
        )
        self.memory = Memory()
        self._retreat_memory = Memory()
        self._taken_over = False
        self._highest = 0
        """The newest version of the cluster that was ever seen."""
        self._went_back = False
        trust = Trust(kube, self.replica.namespace, settings.ca_secret, settings.trust_name, owners)
        self._certificates = Certificates(settings, trust, self.server, self.sessions, self.metrics.laggards.inc)
        self.outcome: Outcome | None = None
        self._predictors = Fetcher(artifact, settings.predictor_cache, self.dirty, trusting=settings.trust_predictor_urls)
        self._behind: dict[str, float] = {}
        self._acknowledged_serial = 0
        self._keys: dict[str, Any] = {}
        self._plan_seen: tuple[Object | None, bool] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._synced = False
        self.address = ""
        self.failed = ""
        """Why the program ended by itself; empty while it has not."""

    # Start and end.

    async def start(self) -> None:
        """Reads what is there, as soon as the API server lets it, opens the sync channel, and runs."""
        log.info("replica `%s` of namespace `%s`", self.replica.identity, self.replica.namespace)
        self.server.add_predictor(self._predictors.default.graph)
        runner = await metrics.serve(
            self.metrics, self.settings.metrics_listen, lambda: self._synced, self._collect, self.server.sessions
        )
        self._closing.append(runner.cleanup)
        await self._persist("the definitions", functools.partial(definitions.check, self.kube))
        if self.settings.tls:
            await self._persist("certificates", self._certify)
        self.address = self.server.listen()
        await self._persist("the first lists", self._read_all)
        self._run(
            self._passes(),
            self._settles(),
            self._resyncs(),
            self._trusts(),
            self._watch_pods().run(),
            self._watch_plan().run(),
            self.events.run(),
        )
        self.lease.start()
        self._synced = True
        self.dirty()
        log.info("the sync channel listens on %s", self.address)

    async def stop(self) -> None:
        """Gives the lease back and ends."""
        await asyncio.to_thread(self.lease.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.secrets.stop()
        self.profiles.stop()
        for close in self._closing:
            await close()
        await asyncio.to_thread(self.server.stop)
        await self.kube.client.close()  # type: ignore[no-untyped-call]

    def _run(self, *loops: Coroutine[Any, Any, None]) -> None:
        for loop in loops:
            task = asyncio.create_task(loop)
            task.add_done_callback(self._finished)
            self._tasks.append(task)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A loop that ended by an error that nobody foresaw must not leave a controller that looks alive."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("a loop of the controller failed", exc_info=task.exception())
            self._end(f"a loop failed: {task.exception()}")

    def _end(self, why: str) -> None:
        log.error("%s: it ends", why)
        self.failed = why
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def leads(self) -> bool:
        """Whether this replica may write now."""
        return self._taken_over and self.lease.held

    def _won(self) -> None:
        log.info("this replica leads")
        self.metrics.leader.set(1)
        self._taken_over = False
        self._run(self._take_over())

    def _paused(self) -> None:
        log.warning("the lease cannot be renewed: this replica writes nothing until it can, and serves on")
        self.metrics.leader.set(0)
        self._taken_over = False

    def _lost(self) -> None:
        """A replica that lost the lease ends: what it believes may be stale, and a fresh start is the surest way to forget."""
        self.metrics.leader.set(0)
        self._end("this replica leads no longer")

    async def _take_over(self) -> None:
        """What the last leader wrote, and what it missed, is read before anything is written."""
        await self._persist("taking over", self._take_what_is_there)
        self._taken_over = True
        self.dirty()
        self.settle()

    async def _take_what_is_there(self) -> None:
        await self.place.own()
        await self._read_all()

    async def _read_all(self) -> None:
        await self.resync()
        await self.publisher.load()

    async def _persist(self, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does something, again and again until the API server lets it."""
        attempt = 0
        while True:
            try:
                return await work()
            except (ApiError, Unreachable, Overtaken) as error:
                self.metrics.failures.labels("start").inc()
                log.warning("%s: %s", what, error)
                attempt = await backoff(attempt)

    def _threadsafe(self, call: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        return lambda: _ignore(loop.call_soon_threadsafe(call))

    # The pass.

    async def _passes(self) -> None:
        attempt = 0
        while True:
            await self.dirty.wait()
            began = time.monotonic()
            try:
                await self._pass()
                attempt = 0
            except (ApiError, Unreachable, Overtaken) as error:
                log.warning("a pass is made again: %s", error)
                attempt = await self._again(attempt, reload=isinstance(error, Overtaken))
            except Exception:  # Whatever an object does to a pass, the others keep what is published
                log.exception("a pass failed for a reason that nobody foresaw; it is made again")
                attempt = await self._again(attempt, reload=False)
            await asyncio.sleep(max(0.0, began + BURST_S - time.monotonic()))

    async def _again(self, attempt: int, *, reload: bool) -> int:
        self.metrics.failures.labels("pass").inc()
        if reload:
            with suppress(ApiError, Unreachable):
                await self.publisher.load()
        self.dirty()
        return await backoff(attempt)

    async def _pass(self) -> None:
        began = time.monotonic()
        customs = self.customs.all()
        if not await self._follow(customs.values()):
            # What is not known is not missing. Once it is read, there is another pass.
            log.warning("a pass waits for Secrets or ConfigMaps that the API server has not shown yet")
            return
        snapshot = Snapshot(
            customs=customs,
            namespaces=self.namespaces.all(),
            profiles=self._config_maps(customs.values()),
            cluster=references.Cluster(
                self.services.all(), self.secrets, self.profiles, f"{self.replica.namespace}:{self.settings.account}"
            ),
            predictors=self._predictors.for_policies(customs.values(), self.server.add_predictor),
            kept=self._kept(),
        )
        outcome = await asyncio.to_thread(reconcile.run, snapshot, self.memory)
        self.metrics.passes.observe(time.monotonic() - began)
        self._hand_out_keys(outcome)
        first, self.outcome = self.outcome is None, outcome
        self.settle()
        if self.leads:
            try:
                await self.publisher.publish(outcome, functools.partial(self._retreat, snapshot))
            finally:
                self._read_plan()
        self.server.keep_predictors([snapshot.predictors.default.digest, *snapshot.predictors.others])
        self.settle()
        await asyncio.to_thread(memory.settle if first else memory.trim)

    def _kept(self) -> Mapping[Key, Form]:
        """The last valid forms: as they are published, or as this process knows them where somebody deleted that."""
        published = self.publisher.published
        if published is not None and published.serial > 0:
            return published.kept
        return self.outcome.kept if self.outcome is not None else {}

    async def _retreat(self, snapshot: Snapshot, old: Published) -> Outcome:
        """The pass over the forms that are published, in the cluster as it is now."""
        kept = old.kept
        customs = {
            key: replace(custom, generation=kept[key].generation, spec=kept[key].spec)
            for key, custom in snapshot.customs.items()
            if key in kept and kept[key].uid == custom.uid
        }
        return await asyncio.to_thread(reconcile.run, replace(snapshot, customs=customs), self._retreat_memory)

    async def _follow(self, customs: Iterable[Custom]) -> bool:
        """Secrets are read where a pool or a policy is, whose callers have keys there; profiles where a pool refers to them.
        Whether all were read.
        """
        customs = list(customs)
        with_profiles = {custom.key.namespace for custom in customs if b'"profileRef"' in custom.spec}
        secrets, profiles = await asyncio.gather(
            self.secrets.follow({custom.key.namespace for custom in customs}, VAULT_S),
            self.profiles.follow(with_profiles, VAULT_S),
        )
        return secrets and profiles

    def _config_maps(self, customs: Iterable[Custom]) -> dict[tuple[str, str], Mapping[str, str]]:
        found: dict[tuple[str, str], Mapping[str, str]] = {}
        for custom in customs:
            if b'"profileRef"' not in custom.spec:
                continue
            for model in json.loads(custom.spec).get("models", ()):
                ref = model.get("quality", {}).get("profileRef")
                entry = self.profiles.get(custom.key.namespace, ref["name"]) if ref is not None else None
                if ref is not None and entry is not None:
                    found[custom.key.namespace, ref["name"]] = entry.values
        return found

    def _hand_out_keys(self, outcome: Outcome) -> None:
        """Credentials of this plan and of the one in service, and the callers' keys: over the channel, and nowhere else."""
        names = outcome.credentials | self._published_credentials()
        values: dict[str, str] = {}
        for name in sorted(names):
            namespace, secret, key = name.split("/", 2)
            entry = self.secrets.get(namespace, secret)
            if entry is not None and key in entry.values:
                values[name] = entry.values[key]
        keys = {"callers": self.secrets.callers(), "credentials": values}
        if keys != self._keys:
            self._keys = keys
            published = self.publisher.published
            revision = max(self.secrets.revision, int(published.version) if published is not None else 0)
            self.server.set_keys(json.dumps({**keys, "revision": revision}).encode())

    def _published_credentials(self) -> frozenset[str]:
        published = self.publisher.published
        if published is None or not published.plan:
            return frozenset()
        if self.outcome is not None and self.outcome.plan == published.plan:
            return self.outcome.credentials
        return _credentials(published.plan)

    # Statuses.

    async def _settles(self) -> None:
        wait: float | None = None
        while True:
            await self.settle.wait(wait)
            if self.outcome is None or not self.leads:
                wait = None
                continue
            try:
                wait = await self._settle(self.outcome)
            except (ApiError, Unreachable) as error:
                self.metrics.failures.labels("status").inc()
                log.warning("statuses are written again: %s", error)
                wait = 1.0
            await asyncio.sleep(SETTLE_S)

    async def _settle(self, outcome: Outcome) -> float | None:
        """Writes the statuses that are no longer true; gives the seconds after which one may cease to be without an event."""
        now = time.monotonic()
        published = self.publisher.published
        seen = self._plane(now)
        publisher = self.publisher
        situation = Situation(published, publisher.published_at, publisher.refusal, publisher.publishing_since, seen, now)
        due: list[Coroutine[Any, Any, None]] = []
        waiting = False
        for custom in self.customs.all().values():
            verdict = outcome.verdicts.get(custom.key)
            if verdict is None or (verdict.uid, verdict.generation) != (custom.uid, custom.generation):
                continue  # The pass that sees it is on its way.
            found = status.conditions(custom, verdict, situation)
            if found is None:
                waiting = True
                continue
            wanted = status.document(custom, verdict, found, _stamp())
            if wanted is not None:
                due.append(self._write(custom, wanted, found))
        if (
            published is not None
            and published.serial > 0
            and seen.members
            and not seen.lacking(published.lineage, published.serial)
        ):
            self._acknowledged(published.serial, now)
        gate = asyncio.Semaphore(WRITERS)
        failed = [
            error
            for error in await asyncio.gather(*(_gated(gate, write) for write in due), return_exceptions=True)
            if error is not None
        ]
        for error in failed:
            raise error
        if waiting:
            since = max(publisher.published_at, publisher.publishing_since or 0.0)
            return max(0.0, since + status.ACK_S - time.monotonic()) + 0.005
        ends = [since + status.LATCH_S - now for since in self._behind.values()]
        return min((end for end in ends if end > 0), default=None)

    def _plane(self, now: float) -> Plane:
        published = self.publisher.published
        pods = self.pods.all().values()
        seen = plane.view(pods, self.sessions.rows, self.replica.gateway_accounts, self._behind)
        if published is not None:
            self._behind = plane.behind(seen, published.lineage, published.serial, self._behind, now)
        return replace(seen, behind_since=self._behind)

    def _acknowledged(self, serial: int, now: float) -> None:
        if serial != self._acknowledged_serial:
            self._acknowledged_serial = serial
            self.metrics.acknowledged.observe(now - self.publisher.published_at)

    async def _write(self, custom: Custom, wanted: dict[str, Any], found: tuple[Condition, ...]) -> None:
        if not self.leads:
            return
        try:
            query = {"fieldManager": status.MANAGER, "force": "true"}
            written = await self.kube.request("PATCH", status.path(custom), query, status.patch(custom, wanted), APPLY)
        except ApiError as error:
            if error.status not in (404, 409):  # It is gone, or another object has its name: its own event tells.
                raise
            return
        self.metrics.statuses.inc()
        self.events.record(custom, status.transitions(custom, found))
        self.customs.apply("MODIFIED", written)

    def _on_sessions(self) -> None:
        self.settle()
        if self.leads and self.publisher.astray():
            self.dirty()

    def _warn(self, reason: str, message: str) -> None:
        log.warning("%s: %s", reason, message)
        self.events.record_plan(self.settings.plan_name, reason, message)

    # Complete lists.

    async def _resyncs(self) -> None:
        attempt = 0
        while True:
            # Watches of a cluster that was restored wait for versions that it has not reached again: lists take their place.
            await self.relisted.wait(WENT_BACK_S if self._went_back else self.settings.resync_s)
            await asyncio.sleep(RELIST_S)
            try:
                await self.resync()
                attempt = 0
                self.publisher.reconsider()
                self.dirty()
                self.settle()
            except (ApiError, Unreachable) as error:
                self.metrics.failures.labels("list").inc()
                log.warning("a complete list failed, and is made again: %s", error)
                self.relisted()
                attempt = await backoff(attempt)

    async def resync(self) -> None:
        """Lists everything that kopf watches, so that what is gone without an event is gone here too."""
        for kind, plural in status.PLURALS.items():
            await self._list(self.customs, f"/apis/{reconcile.API_VERSION}/{plural}", kind)
        await self._list(self.services, "/api/v1/services")
        await self._list(self.namespaces, "/api/v1/namespaces")

    async def _list(self, shelf: Shelf[Any], path: str, kind: str | None = None) -> None:
        settled = 0
        for _ in range(2):
            # Items of a list do not say their kind.
            found, version = await self.kube.items(path, cut=lambda body: shelf.cut({"kind": kind, **body}))
            self._highest = max(self._highest, int(version), shelf.newest())
            self._went_back = int(version) < self._highest
            replaced = shelf.replace(found, int(version), kind, settled=settled)
            if replaced.ghosts:
                self.metrics.ghosts.inc(len(replaced.ghosts))
                log.warning("gone without an event: %s", ", ".join(map(str, replaced.ghosts[:10])))
            if not replaced.ahead:
                return
            # Events have overtaken the list, or etcd was restored; a second list, newer than what is known now, tells which.
            settled = shelf.newest()

    def _watch_pods(self) -> Informer:
        path = f"/api/v1/namespaces/{self.replica.namespace}/pods"
        return Informer(
            self.kube,
            path,
            {"labelSelector": self.settings.gateway_selector},
            lambda found, version: _ignore(self.pods.replace(map(self.pods.cut, found), version, settled=self.pods.newest())),
            self.pods.apply,
            _refused,
        )

    def _watch_plan(self) -> Informer:
        path = self.place.path.rsplit("/", 1)[0]

        def listed(found: list[Object], _: int) -> None:
            # The watches of kopf have ended too, and where it finds no object, it says nothing.
            self.relisted()
            self._plan_is(found[0] if found else None, listed=True)

        def changed(kind: str, body: Object) -> None:
            self._plan_is(None if kind == "DELETED" else body)

        return Informer(
            self.kube, path, {"fieldSelector": f"metadata.name={self.settings.plan_name}"}, listed, changed, _refused
        )

    def _plan_is(self, body: Object | None, *, listed: bool = False) -> None:
        self._plan_seen = (body, listed)
        if self.publisher.publishing_since is None:
            self._read_plan()

    def _read_plan(self) -> None:
        """While we publish it waits: most likely it is what we write, and a large plan takes its time to be read."""
        if self._plan_seen is None:
            return
        (body, listed), self._plan_seen = self._plan_seen, None
        known = self.publisher.published
        if body is not None and known is not None and body["metadata"]["resourceVersion"] == known.version:
            return
        found = decode(body) if body is not None else None
        if known is not None and (found is None or found.plan != known.plan or found.lineage != known.lineage):
            self.dirty()
        self.publisher.serve(found, listed=listed)
        self.settle()

    # Certificates.

    async def _certify(self) -> None:
        await self._certificates.look(leads=self.leads)

    async def _trusts(self) -> None:
        while True:
            await asyncio.sleep(self.settings.certificates_s)
            if self.settings.tls:
                try:
                    await self._certify()
                except (ApiError, Unreachable, TradewindError) as error:
                    self.metrics.failures.labels("certificate").inc()
                    log.warning("certificates are looked at again: %s", error)

    def _collect(self) -> None:
        for kind in status.PLURALS:
            self.metrics.objects.labels(kind).set(sum(key.kind == kind for key in self.customs.all()))
        for role in ("gateway", "sidecar"):
            self.metrics.sessions.labels(role).set(sum(session.role == role for session in self.sessions.rows))
        for code, count in json.loads(self.server.counters()).get("refused", {}).items():
            self.metrics.refused.labels(code).set(count)


async def _gated(gate: asyncio.Semaphore, write: Coroutine[Any, Any, None]) -> None:
    async with gate:
        await write


def _credentials(plan: bytes) -> frozenset[str]:
    models = json.loads(plan)["models"]
    return frozenset(model["upstream"]["credential"] for model in models if "credential" in model["upstream"])


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refused(error: ApiError) -> None:
    log.error("the API server refuses what the controller's Role should permit: %s", error.message)


def _ignore(_: object) -> None:
    return None
