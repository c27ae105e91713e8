"""The API server's REST API, thinly: for what a test reads and writes often, and for waiting by watching."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

Object = dict[str, Any]

_GROUPS = {
    "modelpools": "tradewind.dev/v1alpha1",
    "routingpolicies": "tradewind.dev/v1alpha1",
    "customresourcedefinitions": "apiextensions.k8s.io/v1",
    "leases": "coordination.k8s.io/v1",
    "deployments": "apps/v1",
    "daemonsets": "apps/v1",
    "replicasets": "apps/v1",
    "jobs": "batch/v1",
    "endpointslices": "discovery.k8s.io/v1",
    "tokenreviews": "authentication.k8s.io/v1",
}
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


def path(resource: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`path("pods", "team-a", "gateway-0", "status")`: of a resource of the core group, or of one named above."""
    group = _GROUPS.get(resource, "v1")
    parts = ["/apis" if "/" in group else "/api", group]
    parts += ["namespaces", namespace] if namespace else []
    return "/".join([*parts, resource, *([name] if name else []), *([subresource] if subresource else [])])


class RefusedError(Exception):
    """The API server's `Status`."""

    def __init__(self, status: Object) -> None:
        super().__init__(f"{status.get('code')} {status.get('reason')}: {status.get('message')}")
        self.status = status

    @property
    def code(self) -> int:
        """HTTP status."""
        return int(self.status["code"])

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of each fault that it names."""
        details = self.status.get("details") or {}
        return [(cause.get("field", ""), cause.get("message", "")) for cause in details.get("causes", [])]


def persist(stop: threading.Event, follow: Callable[[], None]) -> None:
    """Follows something again and again until told to stop; while the API server is away, what is known stays."""
    while not stop.is_set():
        try:
            follow()
        except (httpx.TransportError, RefusedError):
            stop.wait(0.2)


class Api:
    """One user's door to the API server."""

    def __init__(self, url: str, certificate: Path, token: str) -> None:
        self.url = url
        trust = ssl.create_default_context(cafile=certificate)
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        self._client = httpx.Client(base_url=url, verify=trust, headers=headers, timeout=30)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def call(self, method: str, where: str, body: Object | None = None, kind: str = "application/json", **query: str) -> Object:
        """One request; raises `RefusedError` for what is no success."""
        content = None if body is None else json.dumps(body)
        answer = self._client.request(method, where, content=content, headers={"content-type": kind}, params=query)
        found: Object = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        if answer.is_error:
            raise RefusedError(found or {"code": answer.status_code, "reason": answer.reason_phrase, "message": answer.text})
        return found

    def get(self, where: str) -> Object:
        """An object, or a list."""
        return self.call("GET", where)

    def find(self, where: str) -> Object | None:
        """An object, or None where there is none."""
        try:
            return self.get(where)
        except RefusedError as error:
            if error.code == 404:
                return None
            raise

    def create(self, where: str, body: Object, **query: str) -> Object:
        """POST."""
        return self.call("POST", where, body, **query)

    def apply(self, where: str, body: Object, manager: str = "test", **query: str) -> Object:
        """Server-side apply."""
        return self.call("PATCH", where, body, _APPLY, fieldManager=manager, force="true", **query)

    def merge(self, where: str, body: Object) -> Object:
        """Merge patch: what is given is replaced, lists as a whole."""
        return self.call("PATCH", where, body, _MERGE)

    def delete(self, where: str) -> None:
        """DELETE, in the background; nothing where there is nothing."""
        try:
            self.call("DELETE", where, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
        except RefusedError as error:
            if error.code != 404:
                raise

    def watch(self, where: str, within_s: float, **query: str) -> Iterator[tuple[str, Object]]:
        """(ADDED | MODIFIED | DELETED, object) of a collection, what is there first; ends after a time."""
        until = time.monotonic() + within_s
        asked = {"watch": "true", "timeoutSeconds": str(max(1, int(within_s + 1))), **query}
        with self._client.stream("GET", where, params=asked, timeout=httpx.Timeout(30, read=within_s)) as answer:
            if answer.is_error:
                raise RefusedError(json.loads(answer.read()))
            try:
                for line in answer.iter_lines():
                    event = json.loads(line)
                    yield event["type"], event["object"]
                    if time.monotonic() > until:
                        return
            except httpx.ReadTimeout:
                return

    def until(self, where: str, holds: Callable[[Object | None], bool], within_s: float = 10, what: str = "") -> Object:
        """Waits until something holds of an object, by watching; fails with what it was last. An absent object is None."""
        collection, _, name = where.rpartition("/")
        started = time.monotonic()
        # A watch tells nothing of what is not there.
        last = self.find(where)
        while not holds(last):
            left = started + within_s - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not within {within_s} s: {what or where}; it was {json.dumps(last, indent=1)}")
            version = (
                self.get(collection)["metadata"]["resourceVersion"] if last is None else last["metadata"]["resourceVersion"]
            )
            for kind, found in self._changes(collection, name, version, left):
                last = None if kind == "DELETED" else found
                if holds(last):
                    break
            else:
                last = self.find(where)
        return last or {}

    def _changes(self, collection: str, name: str, version: str, left: float) -> Iterator[tuple[str, Object]]:
        for kind, found in self.watch(collection, left, fieldSelector=f"metadata.name={name}", resourceVersion=version):
            # The version is too old: look again.
            if kind == "ERROR":
                return
            yield kind, found

    def gone(self, where: str, within_s: float = 30) -> None:
        """Waits until an object is no more."""
        self.until(where, lambda found: found is None, within_s, f"{where} is gone")


def condition(found: Object | None, kind: str) -> Object:
    """A condition of an object; empty where it has none."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})
