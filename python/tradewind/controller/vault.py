"""Secrets and ConfigMaps of the namespaces that need them, each namespace by a Role of its own; values stay in memory."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tradewind.controller.kube import ApiError, Informer, Kube, Object

log = logging.getLogger("tradewind.controller")

Kind = Literal["secrets", "configmaps"]

CALLER_KEYS = "tradewind.dev/caller-keys"
"""Label of a Secret each of whose values is a caller's API key of that namespace."""
OUR_LABELS = "tradewind.dev/"


@dataclass(frozen=True)
class Entry:
    """A Secret or ConfigMap, decoded."""

    values: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    created: str = ""
    """RFC 3339, from the API server."""


@dataclass
class Room:
    """One kind of one namespace, as far as it may be read."""

    task: asyncio.Task[None]
    entries: dict[str, Entry] = field(default_factory=dict, repr=False)
    forbidden: bool = False
    loaded: asyncio.Event = field(default_factory=asyncio.Event)


class Vault:
    """Follows the namespaces it is told to. `changed` is told of every change."""

    def __init__(
        self, kube: Kube, kind: Kind, permitted_s: int, changed: Callable[[], None], refused: Callable[[], None]
    ) -> None:
        self._kube = kube
        self._kind = kind
        # The API server asks what is permitted when a watch begins: one that ends in time finds out what was revoked.
        self._query = {"timeoutSeconds": str(permitted_s)}
        self._changed = changed
        self._refused = refused
        self._rooms: dict[str, Room] = {}
        self.revision = 0
        """The newest version of the cluster that any of it is of: of two replicas' words the later one counts."""

    async def follow(self, namespaces: Iterable[str], patience_s: float) -> bool:
        """Follows these namespaces and no other; whether, after some patience, each was read or may not be."""
        wanted = set(namespaces)
        for gone in self._rooms.keys() - wanted:
            self._rooms.pop(gone).task.cancel()
        for new in wanted - self._rooms.keys():
            self._rooms[new] = Room(asyncio.create_task(self._run(new), name=f"{self._kind} of {new}"))
        waiting = [
            asyncio.create_task(self._rooms[name].loaded.wait()) for name in wanted if not self._rooms[name].loaded.is_set()
        ]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=patience_s)
            for task in late:
                task.cancel()
            return not late
        return True

    def stop(self) -> None:
        """Forgets everything."""
        for room in self._rooms.values():
            room.task.cancel()
        self._rooms.clear()

    def forbidden(self, namespace: str) -> bool:
        """Whether the API server refuses to show this namespace."""
        room = self._rooms.get(namespace)
        return room is not None and room.forbidden

    def get(self, namespace: str, name: str) -> Entry | None:
        """One entry; none where there is none, or it may not be read."""
        room = self._rooms.get(namespace)
        return room.entries.get(name) if room is not None else None

    def callers(self) -> list[dict[str, Any]]:
        """Who may call, by the hashes of their keys: the tenant is the Secret's namespace, whatever its labels say."""
        rows: list[tuple[tuple[str, str, str, str], dict[str, Any]]] = []
        for namespace, room in sorted(self._rooms.items()):
            for name, entry in sorted(room.entries.items()):
                if entry.labels.get(CALLER_KEYS) != "true":
                    continue
                labels = {key: value for key, value in entry.labels.items() if not key.startswith(OUR_LABELS)}
                for key, value in sorted(entry.values.items()):
                    digest = hashlib.sha256(value.strip().encode()).hexdigest()
                    row: dict[str, Any] = {"sha256": digest, "tenant": namespace, "name": f"{name}/{key}", "labels": labels}
                    rows.append(((entry.created, namespace, name, key), row))
        # Of one key in several Secrets the oldest has it: who copies a key takes it from nobody.
        first: dict[str, dict[str, Any]] = {}
        for _, row in sorted(rows, key=lambda each: each[0]):
            if first.setdefault(row["sha256"], row)["tenant"] != row["tenant"]:
                log.warning("a caller's key of `%s` is that of `%s` already", row["tenant"], first[row["sha256"]]["tenant"])
        return sorted(first.values(), key=lambda row: (row["tenant"], row["name"]))

    async def _run(self, namespace: str) -> None:
        room = None
        while room is None:  # The task may begin before it has its room.
            await asyncio.sleep(0)
            room = self._rooms.get(namespace)
        following = room

        def replace(found: list[Object], version: int) -> None:
            self.revision = max(self.revision, version)
            before = following.entries
            following.entries = {body["metadata"]["name"]: _entry(self._kind, body) for body in found if self._ours(body)}
            self._read(following, before != following.entries)

        def apply(kind: str, body: Object) -> None:
            self.revision = max(self.revision, int(body["metadata"]["resourceVersion"]))
            name = body["metadata"]["name"]
            before = following.entries.get(name)
            following.entries.pop(name, None)
            if kind != "DELETED" and self._ours(body):
                following.entries[name] = _entry(self._kind, body)
            self._read(following, before != following.entries.get(name))

        def forbidden(_: ApiError) -> None:
            self._refused()
            news = not following.forbidden
            following.entries = {}
            following.forbidden = True
            following.loaded.set()
            if news:
                self._changed()

        path = f"/api/v1/namespaces/{namespace}/{self._kind}"
        await Informer(self._kube, path, self._query, replace, apply, forbidden).run()

    def _ours(self, body: Object) -> bool:
        return self._kind == "secrets" or not body["metadata"]["name"].endswith("kube-root-ca.crt")

    def _read(self, room: Room, news: bool) -> None:
        news = news or room.forbidden or not room.loaded.is_set()
        room.forbidden = False
        room.loaded.set()
        if news:
            self._changed()


def _entry(kind: Kind, body: Object) -> Entry:
    data = body.get("data") or {}
    if kind == "secrets":
        data = {key: text for key, value in data.items() if (text := _decoded(value)) is not None}
    meta = body["metadata"]
    return Entry(data, dict(meta.get("labels") or {}), meta.get("creationTimestamp") or "")


def _decoded(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode().strip() or None
    except (binascii.Error, UnicodeDecodeError):
        return None
