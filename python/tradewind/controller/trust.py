"""Our own certificate authority: kept in a Secret, made by the first replica; certificates of the server live in memory only.

The public bundle is in a ConfigMap and travels to data planes in band. Renewing the authority takes three steps, so that no
session is lost: the next root is published beside the present one; when every session trusts both, certificates are issued
from the next; when every session has polled since, the old root leaves. A session that does not take the bundle, however often
it is looked at, no longer holds a step up: one broken pod would keep an authority beyond its end.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tradewind import core
from tradewind.controller.kube import APPLY, ApiError, Kube, Object

ROOT_DAYS = 3650
RENEW_DAYS = 365
"""Days before its end at which the authority is renewed."""
LEAF_HOURS = 72
"""Hours that a certificate which the authority issues is good for."""
LEAF_RENEW_HOURS = 24
"""Hours after which it is issued anew: two more attempts fit before the old one ends."""
PATIENCE_LOOKS = 6
"""Looks at a step of a renewal after which a session that lacks the bundle no longer holds it up: an hour, at the default
`certificates_s`. A session that falls silent is no session after 45 s."""
CERT, KEY, NEXT_CERT, NEXT_KEY, OLD_CERT, UNTIL = "tls.crt", "tls.key", "next.crt", "next.key", "old.crt", "until"


@dataclass(frozen=True)
class Authority:
    """The Secret, read."""

    version: str
    parts: dict[str, bytes] = field(repr=False)

    @property
    def bundle(self) -> bytes:
        """The roots that data planes trust."""
        return b"".join(self.parts[name] for name in (CERT, NEXT_CERT, OLD_CERT) if name in self.parts)

    @property
    def digest(self) -> str:
        """Of the bundle, as sessions report what they trust."""
        return "sha256:" + hashlib.sha256(self.bundle).hexdigest()

    @property
    def renews(self) -> bool:
        """Whether a renewal has begun and has not ended."""
        return NEXT_CERT in self.parts or OLD_CERT in self.parts

    def issue(self, names: Collection[str]) -> tuple[bytes, bytes]:
        """A certificate for servers of these names and addresses, chain and key."""
        return core.issue_certificate(self.parts[CERT], self.parts[KEY], sorted(names), LEAF_HOURS)


@dataclass(frozen=True)
class Patience:
    """How often each session was seen to lack the bundle of a step, by pod uid."""

    digest: str = ""
    looks: Mapping[str, int] = field(default_factory=dict)

    def look(self, authority: Authority, trusted: Mapping[str, str | None]) -> Patience:
        """As of one look more. `trusted` are the digests that sessions report, by pod uid."""
        if not authority.renews:
            return Patience()
        known = self.looks if self.digest == authority.digest else {}
        lacking = [uid for uid, digest in trusted.items() if digest != authority.digest]
        return Patience(authority.digest, {uid: known.get(uid, 0) + 1 for uid in lacking})

    @property
    def over(self) -> bool:
        """Whether nobody holds the step up any more."""
        return all(looks > PATIENCE_LOOKS for looks in self.looks.values())

    @property
    def given_up(self) -> list[str]:
        """Pod uids of the sessions that hold it up no longer since this look."""
        return sorted(uid for uid, looks in self.looks.items() if looks == PATIENCE_LOOKS + 1)


@dataclass(frozen=True)
class Trust:
    """Where the authority is kept and its bundle is shown."""

    kube: Kube
    namespace: str
    secret: str
    config_map: str
    owners: Sequence[Object] = ()
    """`ownerReferences` of both."""

    async def authority(self) -> Authority:
        """Reads the authority, making it where there is none yet, and giving it to its owners where it has others."""
        while True:
            found = await self.kube.get(self._secret_path)
            try:
                if found is None:
                    parts = _root(CERT, KEY) | {UNTIL: _until()}
                    found = await self.kube.request("POST", self._secret_path.rsplit("/", 1)[0], body=self._secret_body(parts))
                elif found["metadata"].get("ownerReferences", []) != list(self.owners):
                    found["metadata"]["ownerReferences"] = list(self.owners)
                    found = await self.kube.request("PUT", self._secret_path, body=found)
                return _authority(found)
            except ApiError as error:
                # Another replica was faster, or the garbage collector of an install that is gone.
                if error.status != 409 and not (error.status == 404 and found is not None):
                    raise

    async def show(self, authority: Authority) -> None:
        """Publishes the bundle for those who start."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{self.config_map}"
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.config_map, "namespace": self.namespace, "ownerReferences": list(self.owners)},
            "data": {"ca.crt": authority.bundle.decode()},
        }
        await self.kube.request("PATCH", path, {"fieldManager": "tradewind-controller", "force": "true"}, body, APPLY)

    async def advance(self, authority: Authority, patience: Patience, now: datetime) -> Authority:
        """The next step of a renewal, where one is due, and nobody holds it up as of this look."""
        parts = _next(dict(authority.parts), everyone=patience.over, now=now)
        if parts == authority.parts:
            return authority
        body = self._secret_body(parts)
        body["metadata"]["resourceVersion"] = authority.version
        return _authority(await self.kube.request("PUT", self._secret_path, body=body))

    @property
    def _secret_path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets/{self.secret}"

    def _secret_body(self, parts: dict[str, bytes]) -> Object:
        data = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        metadata: dict[str, Any] = {"name": self.secret, "namespace": self.namespace, "ownerReferences": list(self.owners)}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def _next(parts: dict[str, bytes], *, everyone: bool, now: datetime) -> dict[str, bytes]:
    if OLD_CERT in parts and everyone:
        del parts[OLD_CERT]
    elif NEXT_CERT in parts and everyone:
        parts |= {OLD_CERT: parts[CERT], CERT: parts.pop(NEXT_CERT), KEY: parts.pop(NEXT_KEY), UNTIL: _until()}
    elif OLD_CERT not in parts and NEXT_CERT not in parts and _ends(parts) - now < timedelta(days=RENEW_DAYS):
        parts |= _root(NEXT_CERT, NEXT_KEY)
    return parts


def _ends(parts: dict[str, bytes]) -> datetime:
    return datetime.fromisoformat(parts[UNTIL].decode())


def _root(cert: str, key: str) -> dict[str, bytes]:
    # A name of its own: verifiers tell roots, and a root from what it signs, by their names.
    pem, key_pem = core.make_ca(f"tradewind authority of {datetime.now(UTC):%Y-%m-%d %H:%M:%S}", ROOT_DAYS)
    return {cert: pem, key: key_pem}


def _until() -> bytes:
    return (datetime.now(UTC) + timedelta(days=ROOT_DAYS)).isoformat(timespec="seconds").encode()


def entries(secret: Object | None) -> dict[str, bytes]:
    """What a Secret holds, by key; nothing where there is no such Secret."""
    return {name: base64.b64decode(value) for name, value in ((secret or {}).get("data") or {}).items()}


def _authority(found: Object) -> Authority:
    return Authority(found["metadata"]["resourceVersion"], entries(found))
