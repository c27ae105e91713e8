"""How a plan becomes what everybody routes by: offered to one gateway of each version, written by compare-and-swap, served."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from tradewind import core
from tradewind.controller.metrics import Metrics
from tradewind.controller.plane import Session, Sessions
from tradewind.controller.published import Draft, Overtaken, Place, PlanTooLarge, Published
from tradewind.controller.reconcile import Outcome
from tradewind.controller.status import Refusal

log = logging.getLogger("tradewind.controller")

CANARY_S = 0.5
"""Seconds for a gateway to answer an offer; then another one is asked, and then the plan is published unasked."""

Retreat = Callable[[Published], Awaitable[Outcome]]
"""The outcome for the forms that are published, and no newer ones."""


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
        self.serve(await self._place.read(), listed=True)

    def serve(self, found: Published | None, *, listed: bool = False) -> None:
        """Serves what is published. An event of a state older than the known one comes late; what was listed is right."""
        known = self.published
        if found is not None and known is not None and _is_older(found, known):
            if not listed:
                return
            log.warning("the published plan went back from serial %d to %d: etcd was restored", known.serial, found.serial)
        self._take(found)

    def _take(self, found: Published | None) -> None:
        known, self.published = self.published, found
        if found is None or found.serial == 0:
            return
        if known is None or (known.lineage, known.serial) != (found.lineage, found.serial):
            self.published_at = time.monotonic()
            self._metrics.serial.set(found.serial)
            self._server.publish(found.lineage, found.serial, found.plan)

    def astray(self) -> bool:
        """Whether a gateway of our lineage has what was never published, or what etcd forgot: a higher serial heals it.

        Of gateways only: anybody may run a sidecar, whose word must not move the serial.
        """
        published = self.published
        if published is None or self.publishing_since is not None:
            return False
        return any(self._is_astray(session, published) for session in self._gateways(published.lineage))

    def _is_astray(self, session: Session, published: Published) -> bool:
        # One that goes by another name for the same plan would be led back for ever.
        strays = session.strays and (session.pod_uid, session.plan) not in self._led_back
        return session.serial > published.serial or (strays and session.serial == published.serial)

    def _gateways(self, lineage: str) -> list[Session]:
        return [session for session in self._sessions.rows if session.role == "gateway" and session.lineage == lineage]

    async def publish(self, outcome: Outcome, retreat: Retreat) -> None:
        """Publishes an outcome, if it differs from what is published. Raises `Overtaken` where another replica was faster.

        Where it is refused, `retreat` gives what is published without what must not stay: deletions and revocations wait for
        nobody's edit to be mended.
        """
        astray = self.astray()
        self.publishing_since = time.monotonic()
        try:
            old = self.published = self.published or await self._place.create()
            await self._publish(old, outcome, retreat, astray)
        finally:
            self.publishing_since = None

    def reconsider(self) -> None:
        """Lets a refused plan be offered again: the gateway that refused it may be another by now."""
        self._refused_plan = b""

    async def _publish(self, old: Published, outcome: Outcome, retreat: Retreat, astray: bool) -> None:
        if old.serial > 0 and outcome.plan == old.plan and not astray:
            self.refusal = None
            if outcome.kept != old.kept or outcome.carried != old.carried:
                # Nothing changes for a gateway: the serial stays, and with it every acknowledgement.
                await self._write(old, _draft(outcome, old.plan_id), old.serial)
            return
        self._led_back = {(session.pod_uid, session.plan) for session in self._gateways(old.lineage) if session.strays}
        if self.refusal is None or outcome.plan != self._refused_plan:
            self.refusal = await self._try_all(old, outcome)
            self._refused_plan = outcome.plan
        if self.refusal is None:
            return
        rest = await retreat(old)
        # Whoever tried the refused plan, and took it, is led back by a higher serial too.
        if rest.plan != old.plan or any(session.serial > old.serial for session in self._gateways(old.lineage)):
            await self._write(old, _draft(rest, core.plan_id(rest.plan)), self._next(old))

    async def _try_all(self, old: Published, outcome: Outcome) -> Refusal | None:
        """Offers a plan and publishes it, or gives the refusal."""
        serial, draft = self._next(old), _draft(outcome, core.plan_id(outcome.plan))
        refusal = await self._offer(old.lineage, serial, draft.plan)
        if refusal is None:
            try:
                await self._write(old, draft, serial)
            except PlanTooLarge as error:
                refusal = Refusal("PlanTooLarge", str(error))
        if refusal is None:
            self._metrics.publishes.labels("published").inc()
            log.info("plan %s is published as serial %d", draft.plan_id, serial)
            return None
        self._server.withdraw()
        self._sessions.read()
        self._metrics.publishes.labels(refusal.reason).inc()
        log.error("the plan is not published: %s", refusal.message)
        return refusal

    async def _write(self, old: Published, draft: Draft, serial: int) -> None:
        try:
            self.serve(await self._place.replace(old, serial, draft))
        except Overtaken:
            self._metrics.publishes.labels("overtaken").inc()
            raise

    def _next(self, old: Published) -> int:
        return max([old.serial, *(session.serial for session in self._gateways(old.lineage))]) + 1

    async def _offer(self, lineage: str, serial: int, plan: bytes) -> Refusal | None:
        """Lets one gateway of each version try the plan; gives the refusal of the first that refuses."""
        tries = [self._try(group, lineage, serial, plan) for group in _by_version(self._sessions.rows)]
        refusals = [refusal for refusal in await asyncio.gather(*tries) if refusal is not None]
        return refusals[0] if refusals else None

    async def _try(self, group: list[Session], lineage: str, serial: int, plan: bytes) -> Refusal | None:
        for session in group[:2]:
            self._server.offer(session.pod_uid, lineage, serial, plan)
            self._sessions.read()  # From now on it is expected to have the offer: an older refusal is none of this.
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


def _draft(outcome: Outcome, plan_id: str) -> Draft:
    return Draft(outcome.plan, plan_id, outcome.kept, outcome.carried)


def _is_older(found: Published, known: Published) -> bool:
    return found.lineage == known.lineage and int(found.version) < int(known.version)


def _by_version(sessions: Iterable[Session]) -> list[list[Session]]:
    groups: dict[str, list[Session]] = {}
    for session in sorted(sessions, key=lambda session: session.pod):
        if session.role == "gateway" and session.parked:
            groups.setdefault(session.version, []).append(session)
    return list(groups.values())
