"""What a user did, from the API server's audit log, held against what it may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rest import Object

POD_NAME = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True, order=True)
class Use:
    """One kind of request that a user made of a resource."""

    verb: str
    group: str
    """API group; empty for the core one."""
    resource: str
    """With the subresource, as in `modelpools/status`."""
    namespace: str
    name: str
    """Empty for lists, watches of all, and what is created by POST."""
    allowed: bool
    """Whether the API server's authorizer let it pass."""


@dataclass(frozen=True, order=True)
class Grant:
    """One verb on one resource that a role grants, with one name where it names some."""

    role: str
    verb: str
    group: str
    resource: str
    namespace: str
    """Empty where it is granted in the whole cluster."""
    name: str
    """Empty where it is granted for all names."""

    def covers(self, use: Use) -> bool:
        """Whether the use needs it, or a grant like it."""
        return (
            (self.verb, self.group, self.resource) == (use.verb, use.group, use.resource)
            and self.namespace in ("", use.namespace)
            and self.name in ("", use.name)
        )


def uses(log: Path, user: str) -> set[Use]:
    """What a user asked of resources. A request stands in the log when the next one of its connection is answered."""
    return {_use(event) for event in _events(log) if event["user"].get("username") == user}


def statuses(log: Path, pod: str, namespace: str, verb: str, resource: str) -> list[int]:
    """How what a pod's token asked of a namespace was answered, in order."""
    return [
        event["responseStatus"]["code"]
        for event in _events(log)
        if event["user"].get("extra", {}).get(POD_NAME) == [pod]
        and (event["objectRef"].get("namespace"), event["verb"], event["objectRef"]["resource"]) == (namespace, verb, resource)
    ]


def _events(log: Path) -> Iterator[Object]:
    """What was asked of resources."""
    for line in log.read_text().splitlines():
        # A line is torn where the API server was killed.
        event = json.loads(line) if line.endswith("}") and line.startswith("{") else {}
        if "resource" in event.get("objectRef", {}):
            yield event


def granted(documents: Iterable[Object], account: str) -> set[Grant]:
    """What Roles, ClusterRoles and their bindings give to a ServiceAccount, `namespace/name`."""
    listed = list(documents)
    roles = {(found["kind"], found["metadata"]["name"]): found for found in listed if found["kind"] in ("Role", "ClusterRole")}
    bound: set[Grant] = set()
    for binding in listed:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding") and account in _subjects(binding):
            role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
            bound |= set(_grants(role, binding["metadata"].get("namespace", "")))
    return bound


def unused(grants: Iterable[Grant], used: Iterable[Use]) -> list[Grant]:
    """Grants that no use needed."""
    allowed = [use for use in used if use.allowed]
    return sorted(grant for grant in grants if not any(grant.covers(use) for use in allowed))


def forbidden(used: Iterable[Use]) -> list[Use]:
    """Uses that the authorizer refused."""
    return sorted(use for use in used if not use.allowed)


def _use(event: Object) -> Use:
    about = event["objectRef"]
    resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
    decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
    where = (about.get("apiGroup", ""), resource, about.get("namespace", ""), about.get("name", ""))
    return Use(event["verb"], *where, allowed=decision == "allow")


def _subjects(binding: Object) -> Sequence[str]:
    return [f"{subject.get('namespace', '')}/{subject['name']}" for subject in binding["subjects"]]


def _grants(role: Object, namespace: str) -> Iterable[Grant]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield Grant(role["metadata"]["name"], verb, group, resource, namespace, name)
