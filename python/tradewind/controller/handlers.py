"""What kopf watches, and what it starts and ends. Events only say that something changed; the pass finds out what."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any

import kopf

from tradewind.artifacts import predictor
from tradewind.controller import kube, memory
from tradewind.controller.program import Controller
from tradewind.controller.store import Shelf
from tradewind.errors import TradewindError
from tradewind.settings import controller_from_environment

IDLE_S = 0.05
"""Seconds that kopf holds an object's last event in memory, for the case that another one follows."""
GROUP, VERSION = "tradewind.dev", "v1alpha1"


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(memo: Any, settings: kopf.OperatorSettings, **_: Any) -> None:
    """Builds the controller and starts it. A failure ends the process: kopf would try again beside the first try's ports."""
    memory.begin()
    configure(settings)
    ours = memo.get("settings") or controller_from_environment(os.environ)
    memo.controller = Controller(ours, await kube.connect(), predictor.read(ours.predictor))
    await memo.controller.start()


@kopf.on.cleanup()
async def stop(memo: Any, **_: Any) -> None:
    """Gives the lease back and closes the sync channel."""
    controller = memo.get("controller")
    if controller is not None:
        await controller.stop()


@kopf.on.login()
def login(**known: Any) -> kopf.ConnectionInfo | None:
    """The ServiceAccount's files, or the kubeconfig: without the client library's own way, which costs 70 MB."""
    found = kopf.login_with_service_account(**known)
    if found is None:
        return kopf.login_with_kubeconfig(**known)
    # kopf would look its name up; the rest of us goes to where the cluster says it is, and one way in is enough.
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    host = f"[{host}]" if ":" in host else host
    return replace(found, server=f"https://{host}:{port}") if host and port else found


@kopf.on.event(GROUP, VERSION, "modelpools")
@kopf.on.event(GROUP, VERSION, "routingpolicies")
async def custom(type: str | None, body: kopf.Body, memo: Any, **_: Any) -> None:
    """A pool or a policy."""
    take(memo.controller, memo.controller.customs, type, body)


@kopf.on.event("", "v1", "services")
async def service(type: str | None, body: kopf.Body, memo: Any, **_: Any) -> None:
    """A Service: an upstream may name it."""
    take(memo.controller, memo.controller.services, type, body)


@kopf.on.event("", "v1", "namespaces")
async def namespace(type: str | None, body: kopf.Body, memo: Any, **_: Any) -> None:
    """A namespace: pools and policies select by its labels."""
    take(memo.controller, memo.controller.namespaces, type, body)


def take(controller: Controller, shelf: Shelf[Any], type: str | None, body: kopf.Body) -> None:
    """An event. One without a type is of a list, which says nothing of what was deleted before it."""
    shelf.apply(type, body)
    if type is None:
        controller.relisted()


def check_end(memo: Any) -> None:
    """Raises where the controller did not end because it was told to."""
    controller = memo.get("controller")
    if controller is None:
        raise TradewindError("not_started", "the controller could not start; the log says why")
    if controller.failed:
        raise TradewindError("ended", controller.failed)


def configure(given: kopf.OperatorSettings) -> None:
    """No peering, no finalizers, no annotations, no Events of log lines; requests that hang are given up."""
    given.peering.standalone = True
    given.scanning.disabled = True
    given.posting.enabled = False
    given.networking.request_timeout = kube.REQUEST_S
    given.networking.connect_timeout = 5
    given.networking.error_backoffs = kube.BACKOFFS
    given.watching.chunk_size = kube.PAGE
    given.queueing.idle_timeout = IDLE_S
    given.execution.max_workers = 4
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
