"""The data plane as the controller sees it: Ready gateway pods, and what each session says it routes by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tradewind import core
from tradewind.artifacts import plan
from tradewind.controller.store import Pod


@dataclass(frozen=True)
class Session:
    """A pod that polls."""

    pod: str
    pod_uid: str
    namespace: str
    role: str
    """`gateway` or `sidecar`."""
    version: str
    lineage: str
    serial: int
    plan: str
    reject: Mapping[str, str] | None
    lacks: tuple[str, ...]
    trust: str | None
    """Digest of the bundle that it trusts, where it has one in band."""
    expected: tuple[str, int, str]
    """Lineage, serial and id of the plan that it is to have, published or on offer; empty and 0 where there is none."""
    current: bool
    """Whether it reads the plan schema of this version: older ones may name a plan by another id than we do."""
    parked: bool

    @property
    def strays(self) -> bool:
        """Whether it routes by another plan than the one of its serial: one that was offered, and never published."""
        lineage, serial, plan = self.expected
        return self.current and (lineage, serial) == (self.lineage, self.serial) and plan != self.plan

    def refuses(self, serial: int) -> bool:
        """Whether it refused the plan of a serial that it was offered."""
        return self.reject is not None and self.expected[1:] == (serial, self.reject["plan"])

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Session:
        """From the server's JSON."""
        expected = row["expected"] or {"lineage": "", "serial": 0, "plan": ""}
        return cls(
            row["pod"],
            row["pod_uid"],
            row["namespace"],
            row["role"],
            row["version"],
            row["lineage"],
            row["serial"],
            row["plan"],
            row["reject"],
            tuple(row["lacks"]),
            row["trust"],
            (expected["lineage"], expected["serial"], expected["plan"]),
            row["schema"] == plan.VERSION,
            row["parked"],
        )


class Sessions:
    """The sync server's sessions, and a way to await their next change."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._server: core.SyncServer | None = None
        self.rows: tuple[Session, ...] = ()
        self.listeners: list[Any] = []

    def attach(self, server: core.SyncServer) -> None:
        """The server whose sessions these are."""
        self._server = server

    def wake(self) -> None:
        """Called by the server, from a thread of its own."""
        self._loop.call_soon_threadsafe(self.read)

    def read(self) -> None:
        """Looks at the sessions as they are now, and tells whoever waits for a change."""
        if self._server is None:
            return
        self.rows = tuple(Session.of(row) for row in json.loads(self._server.sessions()))
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self.listeners:
            listener()

    async def change(self, timeout_s: float) -> bool:
        """Waits for the next change; whether there was one in time."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def of(self, pod_uid: str) -> Session | None:
        """The session of a pod."""
        return next((row for row in self.rows if row.pod_uid == pod_uid), None)


@dataclass(frozen=True)
class Member:
    """One that must acknowledge: a Ready gateway, or where there is none a sidecar."""

    name: str
    uid: str
    session: Session | None

    @property
    def lacks(self) -> frozenset[str]:
        """Features of the plan that it cannot enforce."""
        return frozenset(self.session.lacks) if self.session is not None else frozenset()

    def routes_by(self, lineage: str, serial: int) -> bool:
        """Whether it has acknowledged this serial or a later one."""
        session = self.session
        return session is not None and session.lineage == lineage and session.serial >= serial and not session.strays


@dataclass(frozen=True)
class Plane:
    """Who must acknowledge, and since when each has lagged behind what is published (monotonic seconds)."""

    members: tuple[Member, ...]
    gateways: bool
    """Whether the install has gateways; if so, sidecars do not count."""
    behind_since: Mapping[str, float]

    def lacking(self, lineage: str, serial: int) -> tuple[Member, ...]:
        """The members that do not route by a serial yet."""
        return tuple(member for member in self.members if not member.routes_by(lineage, serial))


def view(
    pods: Iterable[Pod], sessions: Iterable[Session], accounts: frozenset[str], behind_since: Mapping[str, float]
) -> Plane:
    """Who counts now: the Ready pods that run as a gateway's ServiceAccount."""
    gateways = [pod for pod in pods if pod.account in accounts]
    by_uid = {session.pod_uid: session for session in sessions}
    if gateways:
        members = [Member(pod.key.name, pod.uid, by_uid.get(pod.uid)) for pod in gateways if pod.ready]
    else:
        rows = list(by_uid.values())
        members = [Member(f"{session.namespace}/{session.pod}", session.pod_uid, session) for session in rows]
    return Plane(tuple(sorted(members, key=lambda member: member.name)), bool(gateways), behind_since)


def behind(plane: Plane, lineage: str, serial: int, before: Mapping[str, float], now: float) -> dict[str, float]:
    """Since when each member has lagged, carried on from `before`."""
    return {member.uid: before.get(member.uid, now) for member in plane.lacking(lineage, serial)}
