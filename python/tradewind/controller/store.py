"""What was last seen of the cluster, cut down to what a pass needs. Events feed it; lists replace it, so that nothing stays
that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from pydantic_core import from_json

Body = Mapping[str, Any]


class Key(NamedTuple):
    """Which object; as text `ModelPool/team-a/chat`, which is the file name that problems of it carry."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


class Seen(Protocol):
    """What a shelf holds."""

    @property
    def key(self) -> Key:
        """Which object."""

    @property
    def uid(self) -> str:
        """Of the object; one that is deleted and made anew has another."""

    @property
    def version(self) -> int:
        """The API server's `resourceVersion`, which grows with every write to the cluster."""

    def same_input(self, other: Any) -> bool:
        """Whether a pass would see no difference to another state of the object."""

    def after(self, known: Any) -> Self:
        """The same; what is large is shared with an older state that is the same input, for others hold that too."""

    @classmethod
    def of(cls, body: Body) -> Self:
        """From the API server's object."""


@dataclass(frozen=True, slots=True)
class Custom:
    """A ModelPool or RoutingPolicy."""

    key: Key
    uid: str
    version: int
    generation: int
    created: str
    """RFC 3339, from the API server."""
    spec: bytes
    """As JSON: a tenth of the memory of its values, and kept as it is in the plan's ConfigMap."""
    status: Mapping[str, Any]

    @classmethod
    def of(cls, body: Body) -> Custom:
        """From the API server's object."""
        meta = body["metadata"]
        return cls(
            Key(body["kind"], meta["namespace"], meta["name"]),
            meta["uid"],
            int(meta["resourceVersion"]),
            meta.get("generation", 0),
            meta["creationTimestamp"],
            json.dumps(body.get("spec", {}), separators=(",", ":"), sort_keys=True).encode(),
            _frugal(body.get("status") or {}),
        )

    def same_input(self, other: Any) -> bool:
        """Whether uid, generation and spec are the same: a status that changed is no input."""
        same = isinstance(other, Custom) and (self.uid, self.generation) == (other.uid, other.generation)
        return same and self.spec == other.spec

    def after(self, known: Custom) -> Custom:
        """With the spec of the older state."""
        return replace(self, spec=known.spec)


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, as an upstream needs it."""

    key: Key
    uid: str
    version: int = field(compare=False)
    external: bool
    ports: frozenset[int]

    @classmethod
    def of(cls, body: Body) -> Service:
        """From the API server's object."""
        meta, spec = body["metadata"], body.get("spec") or {}
        ports = frozenset(port["port"] for port in spec.get("ports") or ())
        key = Key("Service", meta["namespace"], meta["name"])
        return cls(key, meta["uid"], int(meta["resourceVersion"]), spec.get("type") == "ExternalName", ports)

    def same_input(self, other: Any) -> bool:
        """Whether type and ports are the same."""
        return bool(self == other)

    def after(self, _: Any) -> Self:
        """Nothing of it is large."""
        return self


@dataclass(frozen=True)
class Namespace:
    """A namespace with its labels, by which pools and policies select."""

    key: Key
    uid: str
    version: int = field(compare=False)
    labels: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, body: Body) -> Namespace:
        """From the API server's object."""
        meta = body["metadata"]
        labels = tuple(sorted((meta.get("labels") or {}).items()))
        return cls(Key("Namespace", "", meta["name"]), meta["uid"], int(meta["resourceVersion"]), labels)

    def same_input(self, other: Any) -> bool:
        """Whether the labels are the same."""
        return bool(self == other)

    def after(self, _: Any) -> Self:
        """Nothing of it is large."""
        return self


@dataclass(frozen=True, slots=True)
class Pod:
    """A gateway's pod."""

    key: Key
    uid: str
    version: int = field(compare=False)
    account: str
    """`namespace/serviceaccount`."""
    ready: bool

    @classmethod
    def of(cls, body: Body) -> Pod:
        """From the API server's object."""
        meta, status = body["metadata"], body.get("status") or {}
        going = "deletionTimestamp" in meta or status.get("phase") in ("Succeeded", "Failed")
        ready = any(row["type"] == "Ready" and row["status"] == "True" for row in status.get("conditions") or ())
        account = (body.get("spec") or {}).get("serviceAccountName", "default")
        key = Key("Pod", meta["namespace"], meta["name"])
        return cls(key, meta["uid"], int(meta["resourceVersion"]), f"{meta['namespace']}/{account}", ready and not going)

    def same_input(self, other: Any) -> bool:
        """Whether readiness and account are the same."""
        return bool(self == other)

    def after(self, _: Any) -> Self:
        """Nothing of it is large."""
        return self


def _frugal(status: Body) -> dict[str, Any]:
    """With one copy of what many statuses say."""
    found: dict[str, Any] = from_json(json.dumps(status), cache_strings="all")
    return found


Kept = TypeVar("Kept", bound=Seen)


@dataclass(frozen=True)
class Replaced:
    """What a list did to a shelf."""

    ghosts: tuple[Key, ...]
    """What was removed though no event had told of it."""
    ahead: bool
    """Whether the shelf knew newer states than the list: events overtook it, or the cluster went back to a snapshot."""


class Shelf(Generic[Kept]):
    """All objects of one kind, or of a few. `changed` is told of what a pass would see differently, `touched` of the rest."""

    def __init__(self, kind: type[Kept], changed: Callable[[], None], touched: Callable[[], None] = lambda: None) -> None:
        self._kind = kind
        self._changed = changed
        self._touched = touched
        self._objects: dict[Key, Kept] = {}
        self._deleted: dict[Key, int] = {}
        """At which version something was deleted, until a list is newer: what is older comes late."""

    def all(self) -> dict[Key, Kept]:
        """A snapshot."""
        return dict(self._objects)

    def apply(self, kind: str | None, body: Body) -> None:
        """Takes an event: of two states of one object the newer one counts, in whatever order they come."""
        found = self._kind.of(body)
        known = self._objects.get(found.key)
        if known is not None and found.version < known.version:
            return
        if kind == "DELETED":
            self._deleted[found.key] = max(found.version, self._deleted.get(found.key, 0))
            if known is not None:
                del self._objects[found.key]
                self._changed()
            return
        self._put(found)

    def newest(self) -> int:
        """The largest version of what is known."""
        return max([*(kept.version for kept in self._objects.values()), *self._deleted.values()], default=0)

    def cut(self, body: Body) -> Kept:
        """What is held of an object."""
        return self._kind.of(body)

    def replace(self, listed: Iterable[Kept], version: int, kind: str | None = None, *, settled: int = 0) -> Replaced:
        """Takes a complete list (of one kind, where the shelf holds several) that is of a version.

        What the shelf knows from later events is kept, except up to the version `settled`, which was known before the list was
        asked for: if the list is older than that, the cluster has gone back, and the list is right.
        """
        found = {kept.key: kept for kept in listed}
        mine = {key: kept for key, kept in self._objects.items() if kind in (None, key.kind)}
        ahead = {key for key, kept in mine.items() if kept.version > max(version, settled)}
        self._deleted = {key: gone for key, gone in self._deleted.items() if gone > max(version, settled)}
        ahead |= found.keys() & self._deleted.keys()
        ghosts = tuple(key for key in mine if key not in found and key not in ahead)
        for key in ghosts:
            del self._objects[key]
        for key, kept in found.items():
            if key not in ahead:
                self._put(kept)
        if ghosts:
            self._changed()
        return Replaced(ghosts, bool(ahead))

    def _put(self, found: Kept) -> None:
        if found.version <= self._deleted.get(found.key, 0):
            return
        known = self._objects.get(found.key)
        if known is None or not found.same_input(known):
            self._objects[found.key] = found
            self._changed()
            return
        self._objects[found.key] = found.after(known)
        if known.version != found.version:
            self._touched()
