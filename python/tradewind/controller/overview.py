"""`tradewind kube status`: pools, policies, data-plane pods and plan ids, as the cluster and its controller tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from tradewind.controller import kube, program, published, reconcile, store
from tradewind.controller.kube import ApiError, Kube, Object, Unreachable
from tradewind.controller.published import Published
from tradewind.errors import TradewindError
from tradewind.settings import ControllerSettings

PODS = "app.kubernetes.io/name=tradewind,app.kubernetes.io/component=controller"
"""Label selector of the controller's pods."""
ASK_S = 3


async def collect(settings: ControllerSettings, controllers: tuple[str, ...], probe: bool) -> dict[str, Any]:
    """Everything, as JSON has it. `controllers` are URLs of the controller's metrics port; where empty, its pods are asked
    through the API server. With `probe`, each gateway is asked what it routes by, whatever it acknowledged.
    """
    connection = await kube.connect()
    try:
        return await _collect(connection, settings, controllers, probe)
    except Unreachable as error:
        raise TradewindError("unreachable", f"the cluster cannot be reached: {error}") from None
    except ApiError as error:
        raise TradewindError("refused", f"the API server refuses: {error.message}") from None
    finally:
        await connection.client.close()  # type: ignore[no-untyped-call]


async def _collect(connection: Kube, settings: ControllerSettings, controllers: tuple[str, ...], probe: bool) -> dict[str, Any]:
    namespace = program.Replica.of(settings).namespace
    place = published.Place(connection, namespace, settings.plan_name)
    plan = await place.read()
    lease = await connection.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{settings.lease_name}")
    pods, _ = await connection.items(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": settings.gateway_selector})
    pools, _ = await connection.items(f"/apis/{reconcile.API_VERSION}/modelpools")
    policies, _ = await connection.items(f"/apis/{reconcile.API_VERSION}/routingpolicies")
    sessions, unknown = await _sessions(connection, namespace, controllers)
    rows = [_pod(store.Pod.of(pod), pod, sessions, plan) for pod in pods]
    rows += [_sidecar(session, plan) for session in sessions.values() if session["role"] == "sidecar"]
    if probe:
        await asyncio.gather(*(_probe(connection, row) for row in rows if row["role"] == "gateway"))
    return {
        "plan": {"id": plan.plan_id, "lineage": plan.lineage, "serial": plan.serial} if plan is not None else None,
        "leader": ((lease or {}).get("spec") or {}).get("holderIdentity") or None,
        "pools": [_object(body) for body in pools],
        "policies": [_object(body) for body in policies],
        "pods": [{key: value for key, value in row.items() if key != "address"} for row in rows],
        "unknown": unknown,
    }


def healthy(found: Mapping[str, Any]) -> bool:
    """Whether every object is Ready and every pod routes by the published plan."""
    objects = [*found["pools"], *found["policies"]]
    ready = all(row["conditions"].get("Ready", {}).get("status") == "True" for row in objects)
    return ready and not found["unknown"] and all(row["current"] for row in found["pods"] if row["ready"])


def _object(body: Object) -> dict[str, Any]:
    status = body.get("status") or {}
    conditions = {
        row["type"]: {"status": row["status"], "reason": row["reason"], "message": row["message"]}
        for row in status.get("conditions") or ()
    }
    row = {"namespace": body["metadata"]["namespace"], "name": body["metadata"]["name"], "conditions": conditions}
    return row | ({"usable": status["usableModels"]} if "usableModels" in status else {})


def _pod(pod: store.Pod, body: Object, sessions: Mapping[str, Any], plan: Published | None) -> dict[str, Any]:
    port = (body["metadata"].get("annotations") or {}).get("tradewind.dev/port", "4000")
    address = f"{(body.get('status') or {}).get('podIP', '')}:{port}"
    known = {"pod": pod.key.name, "namespace": pod.key.namespace, "role": "gateway", "ready": pod.ready, "address": address}
    return known | _routes_by(sessions.get(pod.uid), plan)


def _sidecar(session: Mapping[str, Any], plan: Published | None) -> dict[str, Any]:
    known = {"pod": session["pod"], "namespace": session["namespace"], "role": "sidecar", "ready": True, "address": ""}
    return known | _routes_by(session, plan)


def _routes_by(session: Mapping[str, Any] | None, plan: Published | None) -> dict[str, Any]:
    if session is None:
        return {"version": None, "serial": None, "plan": None, "reject": None, "lacks": [], "current": False}
    current = plan is not None and (session["lineage"], session["serial"]) == (plan.lineage, plan.serial)
    names = ("version", "serial", "plan", "reject", "lacks")
    return {name: session[name] for name in names} | {"current": current}


async def _sessions(connection: Kube, namespace: str, controllers: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """What data planes acknowledged, by pod uid, and what could not be learned."""
    found: dict[str, Any] = {}
    unknown: list[str] = []
    asked = [_over_http(f"{url}/sessions") for url in controllers]
    if not controllers:
        pods, _ = await connection.items(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": PODS})
        path = "/api/v1/namespaces/{}/pods/{}:8081/proxy/sessions"
        asked = [connection.request("GET", path.format(namespace, pod["metadata"]["name"])) for pod in pods]
        if not pods:
            unknown.append("no pod of the controller is there, so nobody knows what gateways acknowledged")
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException):
            unknown.append(f"a controller does not answer: {answer}")
            continue
        for session in answer["sessions"]:
            older = found.get(session["pod_uid"])
            if older is None or (session["lineage"], session["serial"]) >= (older["lineage"], older["serial"]):
                found[session["pod_uid"]] = session
    return found, unknown


async def _probe(connection: Kube, row: dict[str, Any]) -> None:
    """What a gateway says that it routes by. A difference to what it acknowledged is a defect of the gateway."""
    try:
        answer = await _over_http(f"http://{row['address']}/plan")
        row["routes_by"] = answer.get("plan")
        row["current"] = row["current"] and answer.get("plan") == row["plan"]
    except Unreachable as error:
        row["routes_by"] = None
        row["probe_error"] = str(error)


async def _over_http(url: str) -> Object:
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
            document: Object = json.loads(await answer.read())
            return document
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unreachable(f"{url}: {error or type(error).__name__}") from error
