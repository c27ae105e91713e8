"""The published plan: one ConfigMap, replaced whole by compare-and-swap. Its uid is the lineage, its serial the order in it.

Besides the plan it holds the last valid form of each object, which no data plane is ever sent: so a new leader knows them too.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradewind.controller.kube import ApiError, Kube, Object
from tradewind.controller.reconcile import Form
from tradewind.controller.store import Key

LARGEST = 900 << 10
"""Bytes of both parts, compressed: a ConfigMap holds 1 MiB, and an API server's request is little larger."""
PLAN = "plan.json.gz"
SOURCES = "sources.jsonl.gz"


class PlanTooLarge(Exception):
    """The compressed plan would not fit a ConfigMap."""


class Overtaken(Exception):
    """Another replica has written since: what was to be written is stale."""


@dataclass(frozen=True)
class Source:
    """An object's last valid form, and since which serial the plan carries it without a break; none where it does not."""

    form: Form
    since: int | None


@dataclass(frozen=True)
class Published:
    """The ConfigMap, read."""

    lineage: str
    serial: int
    version: str
    plan: bytes = field(repr=False)
    plan_id: str
    """`sha256:`, as `/plan` of a gateway shows it."""
    sources: Mapping[Key, Source] = field(repr=False)

    @property
    def kept(self) -> dict[Key, Form]:
        """The last valid form of each object."""
        return {key: source.form for key, source in self.sources.items()}

    @property
    def carried(self) -> frozenset[Key]:
        """The objects that the plan holds something of."""
        return frozenset(key for key, source in self.sources.items() if source.since is not None)


@dataclass(frozen=True)
class Draft:
    """What is to be published: a plan, the last valid forms, and which of them the plan carries."""

    plan: bytes = field(repr=False)
    plan_id: str
    kept: Mapping[Key, Form]
    carried: frozenset[Key]


@dataclass(frozen=True)
class Place:
    """Where the plan is published."""

    kube: Kube
    namespace: str
    name: str
    owners: Sequence[Object] = ()
    """`ownerReferences` of the ConfigMap."""

    @property
    def path(self) -> str:
        """Path of the ConfigMap."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"

    async def read(self) -> Published | None:
        """What is published; none where nothing is."""
        found = await self.kube.get(self.path)
        return decode(found) if found is not None else None

    async def own(self) -> None:
        """Gives the ConfigMap to its owners, where it has others: the garbage collector takes it for left behind by them."""
        found = await self.kube.get(self.path)
        if found is None or found["metadata"].get("ownerReferences", []) == list(self.owners):
            return
        found["metadata"]["ownerReferences"] = list(self.owners)
        try:
            await self.kube.request("PUT", self.path, body=found)
        except ApiError as error:
            raise _overtaken(error) from error

    async def create(self) -> Published:
        """An empty one, whose uid begins a lineage. Raises `Overtaken` where there is one."""
        body = self._body(0, b"", "", {})
        try:
            return decode(await self.kube.request("POST", self.path.rsplit("/", 1)[0], body=body))
        except ApiError as error:
            raise _overtaken(error) from error

    async def replace(self, old: Published, serial: int, draft: Draft) -> Published:
        """Publishes. Raises `Overtaken` where the ConfigMap is no longer `old`, `PlanTooLarge` before anything is written."""
        sources = {
            key: Source(form, _since(old, key, form, serial) if key in draft.carried else None)
            for key, form in draft.kept.items()
        }
        # Packing a large plan takes a second, in which nobody should wait for this thread.
        body = await asyncio.to_thread(self._body, serial, draft.plan, draft.plan_id, sources)
        body["metadata"]["resourceVersion"] = old.version
        body["metadata"]["uid"] = old.lineage
        try:
            return decode(await self.kube.request("PUT", self.path, body=body), draft.plan, sources)
        except ApiError as error:
            raise _overtaken(error) from error

    def _body(self, serial: int, plan: bytes, plan_id: str, sources: Mapping[Key, Source]) -> Object:
        rows = b"".join(_row(source) for _, source in sorted(sources.items()))
        parts = {PLAN: _packed(plan), SOURCES: _packed(rows)}
        size = sum(len(part) for part in parts.values())
        if size > LARGEST:
            raise PlanTooLarge(f"the plan takes {size} bytes of {LARGEST} that one ConfigMap holds, compressed")
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/name": "tradewind"},
                "ownerReferences": list(self.owners),
            },
            "data": {"serial": str(serial), "planId": plan_id},
            "binaryData": {name: base64.b64encode(part).decode() for name, part in parts.items()},
        }


def decode(found: Object, plan: bytes | None = None, sources: Mapping[Key, Source] | None = None) -> Published:
    """Reads the ConfigMap; the parts are given where they are known already. One that somebody spoiled counts as empty."""
    meta, data = found["metadata"], found.get("data") or {}
    serial = data.get("serial", "0")
    return Published(
        lineage=meta["uid"],
        serial=int(serial) if serial.isdecimal() else 0,
        version=meta["resourceVersion"],
        plan=plan if plan is not None else _unpacked(found, PLAN),
        plan_id=data.get("planId", ""),
        sources=sources if sources is not None else _sources(found),
    )


def _row(source: Source) -> bytes:
    """Two lines of JSON: what it is, and its spec as it stands, which is the larger part and need not be read for that."""
    form = source.form
    head = [*form.key, form.uid, form.generation, form.created, source.since]
    return json.dumps(head).encode() + b"\n" + form.spec + b"\n"


def _sources(found: Object) -> dict[Key, Source]:
    lines = _unpacked(found, SOURCES).splitlines()
    try:
        rows = [_source(head, spec) for head, spec in zip(lines[::2], lines[1::2], strict=True)]
        return {source.form.key: source for source in rows}
    except (ValueError, TypeError):
        return {}


def _source(head: bytes, spec: bytes) -> Source:
    kind, namespace, name, uid, generation, created, since = json.loads(head)
    json.loads(spec)
    return Source(Form(Key(kind, namespace, name), uid, generation, created, spec), since)


def _since(old: Published, key: Key, form: Form, serial: int) -> int:
    known = old.sources.get(key)
    same = known is not None and (known.form.uid, known.form.generation) == (form.uid, form.generation)
    return known.since if known is not None and known.since is not None and same else serial


def _packed(part: bytes) -> bytes:
    # Without a time stamp, so that the same plan gives the same bytes.
    return gzip.compress(part, compresslevel=6, mtime=0)


def _unpacked(found: Object, name: str) -> bytes:
    try:
        return gzip.decompress(base64.b64decode((found.get("binaryData") or {})[name]))
    except (KeyError, ValueError, OSError, EOFError):
        return b""


def _overtaken(error: ApiError) -> Exception:
    return Overtaken(error.message) if error.status in (404, 409) else error
