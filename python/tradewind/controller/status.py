"""What each object's status must say now, and the patch that says it. The status never says more than was acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tradewind.controller.conditions import Condition
from tradewind.controller.kube import Object
from tradewind.controller.plane import Member, Plane
from tradewind.controller.published import Published
from tradewind.controller.reconcile import API_VERSION, Verdict
from tradewind.controller.store import Custom

MANAGER = "tradewind-controller"
PLURALS = {"ModelPool": "modelpools", "RoutingPolicy": "routingpolicies"}
ACK_S = 0.5
"""Seconds for acknowledgements before a status says who is silent: one write instead of two where all are prompt."""
LATCH_S = 10.0
"""Seconds that a gateway may lack what it had acknowledged (a restart, a new pod) before Programmed falls."""
MOST_NAMED = 5
"""Pods that a message names."""


@dataclass(frozen=True)
class Refusal:
    """Why the last plan was not published; it stays until one is."""

    reason: str
    """`Rejected` or `PlanTooLarge`."""
    message: str


@dataclass(frozen=True)
class Situation:
    """What statuses are judged by."""

    published: Published | None
    published_at: float
    """When it was, monotonic seconds."""
    refusal: Refusal | None
    publishing_since: float | None
    """When the plan began to be offered, while it is; monotonic seconds."""
    plane: Plane
    now: float


def conditions(custom: Custom, verdict: Verdict, situation: Situation) -> tuple[Condition, ...] | None:
    """The conditions of an object; none while acknowledgements may still come."""
    programmed = _programmed(custom, verdict, situation)
    if programmed is None:
        return None
    return (verdict.accepted, verdict.refs, programmed, _ready(verdict, programmed))


def _programmed(custom: Custom, verdict: Verdict, situation: Situation) -> Condition | None:
    if verdict.carried != custom.generation:
        return _not_carried(verdict)
    published = situation.published
    source = published.sources.get(custom.key) if published is not None else None
    same = source is not None and (source.form.uid, source.form.generation) == (custom.uid, custom.generation)
    if published is None or source is None or source.since is None or not same:
        return _unpublished(situation)
    return _acknowledged(custom, published.lineage, source.since, situation)


def _unpublished(situation: Situation) -> Condition | None:
    if situation.publishing_since is not None and situation.now - situation.publishing_since < ACK_S:
        return None
    refusal = situation.refusal
    if refusal is not None and situation.publishing_since is None:
        return _programmed_is(refusal.reason, refusal.message)
    return _programmed_is("Pending", "the plan with this generation is not published yet")


def _not_carried(verdict: Verdict) -> Condition:
    if verdict.carried is not None:
        return _programmed_is("ServingPrevious", f"generation {verdict.carried}, the last valid one, stays in service")
    if verdict.accepted.status != "True":
        return _programmed_is("NotAccepted", "this generation is not accepted, and there is no earlier one")
    return _programmed_is("NotResolved", "no model of it can be used, so it is in no plan")


def _acknowledged(custom: Custom, lineage: str, since: int, situation: Situation) -> Condition | None:
    plane = situation.plane
    if not plane.members:
        what = "no gateway is Ready" if plane.gateways else "no gateway exists, and no sidecar is connected"
        return _programmed_is("NoDataPlane", what)
    unable = [member for member in plane.members if member.lacks and features(custom) & member.lacks]
    if unable:
        lacks = ", ".join(sorted(features(custom) & frozenset().union(*(member.lacks for member in unable))))
        return _programmed_is("UnsupportedByDataPlane", f"{_named(unable)} cannot enforce `{lacks}`; upgrade them")
    lacking = plane.lacking(lineage, since)
    if not lacking:
        return _programmed_is("Programmed", "every Ready gateway routes by this generation")
    refused = [member for member in lacking if member.session is not None and member.session.reject is not None]
    if refused:
        reject = refused[0].session.reject if refused[0].session is not None else None
        why = f"{reject['code']}: {reject['message']}" if reject is not None else ""
        return _programmed_is("Rejected", f"{_named(refused)} refused the plan: {why}")
    if _latched(custom) and all(
        situation.now - plane.behind_since.get(member.uid, situation.now) < LATCH_S for member in lacking
    ):
        return _programmed_is("Programmed", "every Ready gateway routes by this generation")
    if not _latched(custom) and situation.now - situation.published_at < ACK_S:
        return None
    reached = len(plane.members) - len(lacking)
    return _programmed_is(
        "NotAcknowledged", f"{reached} of {len(plane.members)} route by this generation; {_named(lacking)} does not yet"
    )


def _latched(custom: Custom) -> bool:
    """Whether this generation was programmed before."""
    row = next((row for row in custom.status.get("conditions") or () if row["type"] == "Programmed"), None)
    return row is not None and row["status"] == "True" and row.get("observedGeneration") == custom.generation


def _ready(verdict: Verdict, programmed: Condition) -> Condition:
    if verdict.accepted.status == "True" and verdict.usable == 0:
        why = verdict.refs.message if verdict.refs.status != "True" else "no model of its pools can be used; they say why"
        return Condition("Ready", "NoUsableModel", why)
    for condition in (verdict.accepted, programmed):
        if condition.status == "False":
            return Condition("Ready", "NotReady", f"{condition.type} is False, {condition.reason}: {condition.message}")
    if programmed.status == "Unknown":
        return Condition("Ready", "Waiting", programmed.message)
    return Condition("Ready", "Ready", f"{verdict.usable} of {verdict.models} models are usable")


def _programmed_is(reason: str, message: str) -> Condition:
    return Condition("Programmed", reason, message)


def _named(members: Iterable[Member]) -> str:
    names = [f"`{member.name}`" for member in members]
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + rest


def features(custom: Custom) -> set[str]:
    """What an object asks of a data plane that older ones cannot do, by the names that the core's `render` gives."""
    spec = json.loads(custom.spec)
    if custom.key.kind == "ModelPool":
        speeds = [(model.get("latency") or {}).get("outputTokensPerSecond") for model in spec.get("models") or ()]
        return {"output_tokens_per_second"} if any(speed is not None for speed in speeds) else set()
    asked = {
        "when": (spec.get("match") or {}).get("when") is not None,
        "callers": (spec.get("callers") or {}).get("from", "Same") != "Same",
        "profiles": "sha256" in (spec.get("predictor") or {}),
        # A sidecar reaches other namespaces' models through a gateway, where it is told of one.
        "hop": any(ref.get("namespace", custom.key.namespace) != custom.key.namespace for ref in spec.get("poolRefs") or ()),
    }
    return {name for name, is_asked in asked.items() if is_asked}


def document(custom: Custom, verdict: Verdict, found: tuple[Condition, ...], now: str) -> dict[str, Any] | None:
    """The status to write; none where the object says so already. `lastTransitionTime` moves only with the status."""
    before = {row["type"]: row for row in custom.status.get("conditions") or ()}
    rows = [_row(condition, before.get(condition.type), custom.generation, now) for condition in found]
    status: dict[str, Any] = {"observedGeneration": custom.generation, "conditions": rows}
    if custom.key.kind == "ModelPool":
        status["usableModels"] = f"{verdict.usable}/{verdict.models}"
    return None if _same(status, custom.status) else status


def _row(condition: Condition, before: Mapping[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    kept = before is not None and before["status"] == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:32768],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and kept else now,
    }


def _same(status: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    def plain(given: Mapping[str, Any]) -> dict[str, Any]:
        rows = {
            row["type"]: {key: value for key, value in row.items() if key != "lastTransitionTime"}
            for row in given.get("conditions") or ()
        }
        return {**given, "conditions": rows}

    return plain(status) == plain(before)


def patch(custom: Custom, status: dict[str, Any]) -> Object:
    """The server-side apply: with the uid, so that no object is written that has been deleted and made anew."""
    kind, namespace, name = custom.key
    metadata = {"name": name, "namespace": namespace, "uid": custom.uid}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status}


def path(custom: Custom) -> str:
    """Path of an object's status."""
    kind, namespace, name = custom.key
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURALS[kind]}/{name}/status"


def transitions(custom: Custom, found: Iterable[Condition]) -> list[Condition]:
    """The conditions that an Event is worth: what begins to fail, or holds again; Ready only sums up the others."""
    before = {row["type"]: row for row in custom.status.get("conditions") or ()}
    news = []
    for condition in found:
        known = before.get(condition.type)
        if condition.type == "Ready" or condition.status == "Unknown":
            continue
        fresh = (
            known is None
            or known["status"] != condition.status
            or (condition.status == "False" and known["reason"] != condition.reason)
        )
        if fresh and (known is not None or condition.status == "False" or condition.type == "Programmed"):
            news.append(condition)
    return news
