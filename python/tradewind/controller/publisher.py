"""How a plan becomes what everybody routes by: offered to one gateway of each version, written by compare-and-swap, served."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from tradewind import core
from tradewind.controller.metrics import Metrics
from tradewind.controller.plane import Session, Sessions
from tradewind.controller.published import Overtaken, Place, PlanTooLarge, Published
from tradewind.controller.reconcile import Outcome
from tradewind.controller.status import Refusal

log = logging.getLogger("tradewind.controller")

CANARY_S = 0.5
"""Seconds for a gateway to answer an offer; then another one is asked, and then the plan is published unasked."""


class Publisher:
    """Holds what is published, and publishes while its replica leads."""

    def __init__(
        self, place: Place, server: core.SyncServer, sessions: Sessions, metrics: Metrics, warn: Callable[[str, str], None]
    ) -> None:
        self._place = place
        self._server = server
        self._sessions = sessions
        self._metrics = metrics
        self._warn = warn
        self.published: Published | None = None
        self.published_at = 0.0
        self.refusal: Refusal | None = None
        self._refused_plan = b""
        self._led_back: set[tuple[str, str]] = set()
        """Pods, and the plans that they strayed by."""
        self.publishing_since: float | None = None
        """While a plan is offered and written, since when (monotonic seconds)."""

    async def load(self) -> None:
        """Reads what is published, and serves it."""
        self.serve(await self._place.read())

    def serve(self, found: Published | None) -> None:
        """Serves a plan to every session; an older state of it than we know is ignored."""
        known = self.published
        if (
            found is not None
            and known is not None
            and found.lineage == known.lineage
            and int(found.version) < int(known.version)
        ):
            if found.serial >= known.serial:
                return
            log.warning("the published plan went back from serial %d to %d: etcd was restored", known.serial, found.serial)
        self.published = found
        if found is None or found.serial == 0:
            return
        if known is None or (known.lineage, known.serial) != (found.lineage, found.serial):
            self.published_at = time.monotonic()
            self._metrics.serial.set(found.serial)
            self._server.publish(found.lineage, found.serial, found.plan)

    def astray(self) -> bool:
        """Whether a session of our lineage has what was never published, or what etcd forgot: a higher serial heals it."""
        published = self.published
        if published is None or self.publishing_since is not None:
            return False
        return any(self._is_astray(session, published) for session in self._sessions.rows)

    def _is_astray(self, session: Session, published: Published) -> bool:
        if session.lineage != published.lineage:
            return False
        # One that goes by another name for the same plan would be led back for ever.
        strays = session.strays and (session.pod_uid, session.plan) not in self._led_back
        return session.serial > published.serial or (strays and session.serial == published.serial)

    async def publish(self, outcome: Outcome) -> None:
        """Publishes an outcome, if it differs from what is published. Raises `Overtaken` where another replica was faster."""
        old = self.published or await self._place.create()
        self.published = old
        astray = self.astray()
        same_plan = old.serial > 0 and outcome.plan == old.plan
        if same_plan and not astray:
            self.refusal = None
            if outcome.kept != old.kept:
                # Nothing changes for a gateway: the serial stays, and with it every acknowledgement.
                await self._write(old, outcome, old.serial, old.plan_id)
            return
        if outcome.plan == self._refused_plan and self.refusal is not None:
            return
        self._led_back = {(session.pod_uid, session.plan) for session in self._sessions.rows if session.strays}
        self.publishing_since = time.monotonic()
        try:
            await self._publish(old, outcome, self._next(old))
        finally:
            self.publishing_since = None

    def reconsider(self) -> None:
        """Lets a refused plan be offered again: the gateway that refused it may be another by now."""
        self._refused_plan = b""

    async def _publish(self, old: Published, outcome: Outcome, serial: int) -> None:
        plan_id = core.plan_id(outcome.plan)
        refused = await self._offer(old.lineage, serial, outcome.plan, plan_id)
        if refused is not None:
            self._server.withdraw()
            self._refuse(outcome.plan, refused)
            return
        if await self._write(old, outcome, serial, plan_id):
            self.refusal = None
            self._metrics.publishes.labels("published").inc()
            log.info("plan %s is published as serial %d", plan_id, serial)

    async def _write(self, old: Published, outcome: Outcome, serial: int, plan_id: str) -> bool:
        try:
            new = await self._place.replace(old, serial, outcome.plan, plan_id, outcome.kept)
        except PlanTooLarge as error:
            self._refuse(outcome.plan, Refusal("PlanTooLarge", str(error)))
            return False
        except Overtaken:
            self._metrics.publishes.labels("overtaken").inc()
            raise
        self.serve(new)
        return True

    def _refuse(self, plan: bytes, refusal: Refusal) -> None:
        self.refusal, self._refused_plan = refusal, plan
        self._metrics.publishes.labels(refusal.reason).inc()
        log.error("the plan is not published: %s", refusal.message)

    def _next(self, old: Published) -> int:
        seen = [session.serial for session in self._sessions.rows if session.lineage == old.lineage]
        return max([old.serial, *seen]) + 1

    async def _offer(self, lineage: str, serial: int, plan: bytes, plan_id: str) -> Refusal | None:
        """Lets one gateway of each version try the plan; gives the refusal of the first that refuses."""
        tries = [self._try(group, lineage, serial, plan, plan_id) for group in _by_version(self._sessions.rows)]
        refusals = [refusal for refusal in await asyncio.gather(*tries) if refusal is not None]
        return refusals[0] if refusals else None

    async def _try(self, group: list[Session], lineage: str, serial: int, plan: bytes, plan_id: str) -> Refusal | None:
        for session in group[:2]:
            self._server.offer(session.pod_uid, lineage, serial, plan)
            until = time.monotonic() + CANARY_S
            while True:
                now = self._sessions.of(session.pod_uid)
                if now is not None and (now.lineage, now.serial) == (lineage, serial):
                    return None
                if now is not None and now.reject is not None and now.refuses(serial):
                    return Refusal("Rejected", f"`{now.pod}` refused the plan: {now.reject['code']}: {now.reject['message']}")
                left = until - time.monotonic()
                if left <= 0:
                    break
                await self._sessions.change(left)
                self._sessions.read()
        names = ", ".join(f"`{session.pod}`" for session in group[:2])
        self._warn("CanarySilent", f"{names} did not answer an offer within {CANARY_S} s; the plan is published without")
        return None


def _by_version(sessions: Iterable[Session]) -> list[list[Session]]:
    groups: dict[str, list[Session]] = {}
    for session in sorted(sessions, key=lambda session: session.pod):
        if session.role == "gateway" and session.parked:
            groups.setdefault(session.version, []).append(session)
    return list(groups.values())
