"""Conditions and their reasons: a closed list, from which `docs/conditions.md` is made (`make docs`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["Accepted", "ResolvedRefs", "Programmed", "Ready"]
Status = Literal["True", "False", "Unknown"]

TYPES: dict[Type, str] = {
    "Accepted": "The object is valid, and nothing of its namespace takes its place.",
    "ResolvedRefs": "Pools, Secrets, Services, profiles and predictors that it names are there, and may be used.",
    "Programmed": "Every Ready gateway has acknowledged a plan with this generation of it. It falls when the object leaves the "
    "plan, or when a Ready gateway lacks it for 10 s. Sidecars count only where there is no gateway.",
    "Ready": "Accepted and Programmed, with at least one usable model: what `kubectl wait` waits for.",
}


@dataclass(frozen=True)
class Reason:
    """One row: why a condition has its status."""

    name: str
    type: Type
    status: Status
    about: str
    """What it means and what to do, as a sentence."""


TABLE: tuple[Reason, ...] = (
    Reason("Accepted", "Accepted", "True", "The object is valid."),
    Reason(
        "PartlyConflicted",
        "Accepted",
        "True",
        "It is valid, but some of its aliases belong to another policy, which the message names.",
    ),
    Reason(
        "Invalid",
        "Accepted",
        "False",
        "It breaks a rule, at the path that the message names. Its last valid form stays in service.",
    ),
    Reason(
        "InvalidExpression",
        "Accepted",
        "False",
        "`match.when` is no CEL expression over `request` and `caller` that gives true or false.",
    ),
    Reason("InvalidStrategy", "Accepted", "False", "The strategy names a model that is none of the candidates."),
    Reason(
        "UnknownProfile",
        "Accepted",
        "False",
        "`quality.profile` is no profile of the predictor in use; give another, or a `prior`.",
    ),
    Reason(
        "Conflicted",
        "Accepted",
        "False",
        "All its aliases belong to another policy of the namespace, by priority, then age, then name. It takes no call.",
    ),
    Reason("ResolvedRefs", "ResolvedRefs", "True", "Everything that it names is there."),
    Reason("PoolNotFound", "ResolvedRefs", "False", "A pool of `poolRefs` does not exist, or was never valid."),
    Reason("RefNotPermitted", "ResolvedRefs", "False", "The pool's `allowedNamespaces` does not admit the policy's namespace."),
    Reason(
        "SecretNotFound",
        "ResolvedRefs",
        "False",
        "A Secret of `credentials` does not exist. Its models are not used; others are.",
    ),
    Reason("SecretKeyNotFound", "ResolvedRefs", "False", "A Secret of `credentials` has no such key, or the key is empty."),
    Reason(
        "SecretForbidden",
        "ResolvedRefs",
        "False",
        "The controller may not read Secrets of this namespace. The message has the command that permits it.",
    ),
    Reason(
        "ServiceNotFound", "ResolvedRefs", "False", "A Service of `upstream.service` does not exist. Its models are not used."
    ),
    Reason("ServicePortNotFound", "ResolvedRefs", "False", "A Service of `upstream.service` has no such port."),
    Reason(
        "ServiceNotSupported",
        "ResolvedRefs",
        "False",
        "A Service of type ExternalName would call an address of its own choice.",
    ),
    Reason(
        "ProfileNotFound",
        "ResolvedRefs",
        "False",
        "The ConfigMap or key of `quality.profileRef` does not exist, or holds no profile.",
    ),
    Reason(
        "ProfileForbidden",
        "ResolvedRefs",
        "False",
        "The controller may not read ConfigMaps of this namespace; see the message.",
    ),
    Reason(
        "PredictorUnavailable",
        "ResolvedRefs",
        "False",
        "The predictor cannot be fetched, differs from its digest, or does not fit.",
    ),
    Reason("Programmed", "Programmed", "True", "Every Ready gateway routes by this generation."),
    Reason("Pending", "Programmed", "Unknown", "The plan with this generation is not published yet."),
    Reason(
        "NotAcknowledged",
        "Programmed",
        "False",
        "The message names the Ready gateways that do not route by this generation yet.",
    ),
    Reason("NoDataPlane", "Programmed", "False", "No gateway is Ready, and no sidecar is connected."),
    Reason(
        "Rejected",
        "Programmed",
        "False",
        "A gateway refused the plan. The message names it and says why; the old plan stays in service.",
    ),
    Reason(
        "PlanTooLarge",
        "Programmed",
        "False",
        "The plan of all objects is larger than a ConfigMap holds; this change is not published.",
    ),
    Reason("ServingPrevious", "Programmed", "False", "This generation is not accepted; the last valid one stays in service."),
    Reason("NotAccepted", "Programmed", "False", "This generation is not accepted, and there is no earlier one."),
    Reason("NotResolved", "Programmed", "False", "Nothing of it can be used, so it is not in the plan: see ResolvedRefs."),
    Reason(
        "UnsupportedByDataPlane",
        "Programmed",
        "False",
        "Gateways of an older version cannot enforce a field of it, so it is not sent to them.",
    ),
    Reason("Ready", "Ready", "True", "Calls are routed by it."),
    Reason("NotReady", "Ready", "False", "The message names the first condition that does not hold."),
    Reason("NoUsableModel", "Ready", "False", "No model can be used: see ResolvedRefs."),
    Reason("Waiting", "Ready", "Unknown", "Programmed is not known yet."),
)

BY_NAME = {(reason.type, reason.name): reason for reason in TABLE}


@dataclass(frozen=True)
class Condition:
    """A condition as the controller finds it."""

    type: Type
    reason: str
    message: str

    @property
    def status(self) -> Status:
        """What the reason stands for."""
        return BY_NAME[self.type, self.reason].status


def page() -> str:
    """The documentation of all conditions."""
    lines = [
        "# Conditions",
        "",
        "What `kubectl describe` shows of a ModelPool or RoutingPolicy. Made from `python/tradewind/controller/conditions.py`.",
        "",
    ]
    for kind, about in TYPES.items():
        lines += [f"## {kind}", "", about, "", "| status | reason | meaning |", "|---|---|---|"]
        lines += [f"| {row.status} | `{row.name}` | {row.about} |" for row in TABLE if row.type == kind]
        lines.append("")
    return "\n".join(lines)
