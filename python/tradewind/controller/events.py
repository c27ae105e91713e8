"""Kubernetes Events for transitions of conditions: what `kubectl describe` shows below a status. Lost ones do not matter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from tradewind.controller.conditions import Condition
from tradewind.controller.kube import ApiError, Kube, Object, Unreachable
from tradewind.controller.reconcile import API_VERSION
from tradewind.controller.store import Custom

log = logging.getLogger("tradewind.controller")

MOST_WAITING = 1000
"""Events that wait to be written; more are dropped, as a status says the same."""
LONGEST = 1024
"""Characters of an Event's message that the API server accepts."""


class Recorder:
    """Writes Events in the background."""

    def __init__(self, kube: Kube, namespace: str, instance: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._instance = instance
        self._queue: asyncio.Queue[Object] = asyncio.Queue(MOST_WAITING)

    def record(self, custom: Custom, news: Iterable[Condition]) -> None:
        """An Event for each condition that began or ceased to hold."""
        kind, namespace, name = custom.key
        about = {"apiVersion": API_VERSION, "kind": kind, "namespace": namespace, "name": name, "uid": custom.uid}
        for condition in news:
            self._put(about, "Normal" if condition.status == "True" else "Warning", condition.reason, condition.message)

    def record_plan(self, name: str, reason: str, message: str) -> None:
        """A Warning about the plan's ConfigMap."""
        about = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": self._namespace, "name": name}
        self._put(about, "Warning", reason, message)

    def _put(self, about: dict[str, str], kind: str, reason: str, message: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body: Object = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": f"{about['name'][:200]}-", "namespace": about["namespace"]},
            "eventTime": now,
            "reportingController": "tradewind.dev/controller",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "type": kind,
            "reason": reason,
            "note": message[:LONGEST],
            "regarding": about,
        }
        if not self._queue.full():
            self._queue.put_nowait(body)

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            body = await self._queue.get()
            path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
            try:
                await self._kube.request("POST", path, body=body)
            except (ApiError, Unreachable) as error:
                log.warning("an Event is lost: %s", error)
