"""The certificates of the sync channel and of gateways' TLS doors: of our own authority, or of others' Secrets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tradewind import core
from tradewind.controller.plane import Sessions
from tradewind.controller.trust import LEAF_RENEW_HOURS, Patience, Trust, entries
from tradewind.errors import TradewindError, UsageError
from tradewind.settings import ControllerSettings

log = logging.getLogger("tradewind.controller")


class Certificates:
    """Hands the sync server what it shows and gives out. `lagged` is called for each session that a renewal gives up."""

    def __init__(
        self,
        settings: ControllerSettings,
        trust: Trust,
        server: core.SyncServer,
        sessions: Sessions,
        lagged: Callable[[], None],
    ) -> None:
        if settings.gateway_tls_secret and not settings.tls_secret:
            raise UsageError(
                "`gateway_tls_secret` needs `tls_secret`, whose `ca.crt` sidecars trust gateways by; none is given",
                "gateway_tls_secret",
            )
        self._settings = settings
        self._trust = trust
        self._server = server
        self._sessions = sessions
        self._lagged = lagged
        self._issued = ("", 0.0)
        """By which state of the authority the certificate in use was issued, and when (monotonic seconds)."""
        self._patience = Patience()
        """With sessions that a renewal of the authority waits for."""

    async def look(self, *, leads: bool) -> None:
        """Renews what is due; the authority itself by one step, and only where this replica leads.

        Raises `ApiError`, `Unreachable`, and `TradewindError` for a Secret that lacks something.
        """
        if self._settings.tls_secret:
            await self._take(self._settings.tls_secret)
            return
        authority = await self._trust.authority()
        if leads:
            sessions = {session.pod_uid: session for session in self._sessions.rows}
            self._patience = self._patience.look(authority, {uid: session.trust for uid, session in sessions.items()})
            for uid in self._patience.given_up:
                self._lagged()
                pod = f"{sessions[uid].namespace}/{sessions[uid].pod}"
                log.warning("`%s` does not take the renewed trust bundle, and no longer holds its renewal up", pod)
            authority = await self._trust.advance(authority, self._patience, datetime.now(UTC))
        await self._trust.show(authority)
        self._server.set_trust(authority.bundle)
        issuer, issued_at = self._issued
        if issuer != authority.version or time.monotonic() - issued_at > LEAF_RENEW_HOURS * 3600:
            self._server.set_certificate(*authority.issue(self._names()))
            gateway = urlsplit(self._settings.gateway_url)
            if gateway.scheme == "https" and gateway.hostname is not None:
                self._server.set_gateway_certificate(*authority.issue({gateway.hostname}))
            self._issued = (authority.version, time.monotonic())

    async def _take(self, name: str) -> None:
        entry = await self._secret(name, "tls.crt", "tls.key", "ca.crt")
        self._server.set_trust(entry["ca.crt"])
        self._server.set_certificate(entry["tls.crt"], entry["tls.key"])
        if self._settings.gateway_tls_secret:
            entry = await self._secret(self._settings.gateway_tls_secret, "tls.crt", "tls.key")
            self._server.set_gateway_certificate(entry["tls.crt"], entry["tls.key"])

    async def _secret(self, name: str, *parts: str) -> dict[str, bytes]:
        namespace = self._trust.namespace
        entry = entries(await self._trust.kube.get(f"/api/v1/namespaces/{namespace}/secrets/{name}"))
        missing = [part for part in parts if part not in entry]
        if missing:
            raise TradewindError(
                "missing_secret", f"Secret `{name}` of namespace `{namespace}` has no {', '.join(missing)}", name
            )
        return entry

    def _names(self) -> set[str]:
        names = {part.strip() for part in self._settings.names.split(",") if part.strip()}
        service = f"tradewind-controller.{self._trust.namespace}.svc"
        return names | {service, f"{service}.cluster.local", "localhost", "127.0.0.1"}
