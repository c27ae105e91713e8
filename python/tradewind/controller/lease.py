"""Who may write: one replica holds a Lease, renewed from a thread of its own so that a busy event loop does not lose it.

The algorithm is client-go's `leaderelection`: a holder is trusted for `DURATION_S` after its record was last *seen* to change,
by our own monotonic clock, so clocks of two machines are never compared.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from kubernetes import client

log = logging.getLogger("tradewind.controller")

DURATION_S = 10
"""Seconds without a renewal after which another replica takes over."""
RENEW_S = 7
"""Seconds without a renewal after which the holder stops writing: less than `DURATION_S`, so that two never write at once."""
RETRY_S = 2
"""Seconds between attempts."""
REQUEST_S = 3
"""Seconds for one request."""


@dataclass(frozen=True)
class Told:
    """Who is told, from the lease's thread."""

    won: Callable[[], None]
    """It is ours."""
    paused: Callable[[], None]
    """It could not be renewed in time; nobody else is known to have it."""
    lost: Callable[[], None]
    """Another replica has it. The election goes on without us."""


class Lease:
    """Takes part in the election until stopped."""

    def __init__(
        self, api: client.ApiClient, namespace: str, name: str, identity: str, told: Told, owners: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._api = client.CoordinationV1Api(api)
        self._place = (name, namespace)
        self._identity = identity
        self._owners = list(owners)
        self._won = told.won
        self._lost = told.lost
        self._paused = told.paused
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._seen: tuple[Any, float] = (None, 0.0)
        self._held_until = 0.0
        self.holder = ""

    @property
    def held(self) -> bool:
        """Whether it is ours to this moment: a process that was stopped meanwhile finds that it is not."""
        return time.monotonic() < self._held_until

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Gives the lease back, so that a successor need not wait for it to run out. Blocks."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        leading = False
        while not self._stop.is_set():
            began = time.monotonic()
            if self._attempt(began):
                self._held_until = began + RENEW_S
                if not leading:
                    leading = True
                    self._won()
            elif leading and self.holder != self._identity:
                self._held_until = 0.0
                log.error("the lease is lost to `%s`", self.holder)
                return self._lost()
            elif leading and not self.held:
                # Nobody has taken it as far as we know: this replica writes nothing until it can renew it, and serves on.
                leading = False
                self._paused()
            self._stop.wait(RETRY_S)
        self._held_until = 0.0
        if leading:
            self._release()
        return None

    def _attempt(self, now: float) -> bool:
        """Whether the lease is ours after this attempt."""
        try:
            return self._take(now)
        except client.ApiException as error:
            if error.status not in (404, 409):  # Another was faster; the next attempt sees it.
                log.warning("the lease cannot be written: %s", error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, a lease that is not renewed runs out, which is safe
            log.warning("the lease cannot be reached: %s", error)
        return False

    def _take(self, now: float) -> bool:
        try:
            lease = self._api.read_namespaced_lease(*self._place, _request_timeout=REQUEST_S)
        except client.ApiException as error:
            if error.status != 404:
                raise
            self._create()
            return True
        spec, metadata = lease.spec or client.V1LeaseSpec(), lease.metadata or client.V1ObjectMeta()
        record = (metadata.uid, spec.holder_identity, spec.renew_time)
        if record != self._seen[0]:
            self._seen = (record, now)
        self.holder = spec.holder_identity or ""
        if self.holder not in ("", self._identity) and now < self._seen[1] + (spec.lease_duration_seconds or DURATION_S):
            return False
        transitions = (spec.lease_transitions or 0) + (self.holder != self._identity)
        acquired = spec.acquire_time if self.holder == self._identity else None
        body = client.V1Lease(
            metadata=self._metadata(metadata.resource_version), spec=self._spec(transitions, acquired or _now())
        )
        self._api.replace_namespaced_lease(*self._place, body, _request_timeout=REQUEST_S)
        self.holder = self._identity
        return True

    def _create(self) -> None:
        body = client.V1Lease(metadata=self._metadata(None), spec=self._spec(0, _now()))
        self._api.create_namespaced_lease(self._place[1], body, _request_timeout=REQUEST_S)
        self.holder = self._identity

    def _release(self) -> None:
        try:
            lease = self._api.read_namespaced_lease(*self._place, _request_timeout=REQUEST_S)
            if lease.spec is not None and lease.spec.holder_identity == self._identity:
                lease.spec.holder_identity = ""
                self._api.replace_namespaced_lease(*self._place, lease, _request_timeout=REQUEST_S)
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            log.warning("the lease was not given back: %s", error)

    def _metadata(self, version: str | None) -> client.V1ObjectMeta:
        owners = [
            client.V1OwnerReference(api_version=owner["apiVersion"], kind=owner["kind"], name=owner["name"], uid=owner["uid"])
            for owner in self._owners
        ]
        return client.V1ObjectMeta(name=self._place[0], resource_version=version, owner_references=owners)

    def _spec(self, transitions: int, acquired: datetime) -> client.V1LeaseSpec:
        return client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=DURATION_S,
            lease_transitions=transitions,
            acquire_time=acquired,
            renew_time=_now(),
        )


def _now() -> datetime:
    return datetime.now(UTC)
