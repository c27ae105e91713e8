"""A cluster in a few lines of YAML, for passes without an API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from tradewind.artifacts import predictor
from tradewind.artifacts.predictor import Predictors
from tradewind.controller import reconcile
from tradewind.controller.reconcile import Form, Memory, Outcome, Snapshot
from tradewind.controller.references import Cluster
from tradewind.controller.store import Custom, Key, Namespace, Service
from tradewind.controller.vault import Entry

POOL = """
models:
- {name: small, upstream: {url: "http://small.example/v1"}, price: {inputPerMillion: "1", outputPerMillion: "2"},
   limits: {contextTokens: 1000, outputTokens: 100}, quality: {prior: "0.5"}}
- {name: large, upstream: {url: "http://large.example/v1"}, price: {inputPerMillion: "10", outputPerMillion: "20"},
   limits: {contextTokens: 1000, outputTokens: 100}, quality: {prior: "0.9"}}
"""
POLICY = """
poolRefs: [{name: chat}]
strategy: {type: Best}
"""


@cache
def predictors() -> Predictors:
    return Predictors(predictor.read())


@dataclass
class Secrets:
    """Stands for the vault."""

    values: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    def forbidden(self, namespace: str) -> bool:
        return namespace in self.closed

    def get(self, namespace: str, name: str) -> Entry | None:
        found = self.values.get((namespace, name))
        return Entry(found, {}) if found is not None and namespace not in self.closed else None


@dataclass
class World:
    """What a pass looks at; edits are assignments, `run` makes the pass and remembers what it kept."""

    customs: dict[Key, Custom] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)
    services: dict[Key, Service] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets)
    profiles: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    kept: Mapping[Key, Form] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    version: int = 0

    def put(self, kind: str, name: str, spec: str | Mapping[str, Any], *, created: str = "", uid: str = "") -> Key:
        """Creates or edits an object, named `namespace/name`."""
        namespace, _, name = name.partition("/")
        key = Key(kind, namespace, name)
        known = self.customs.get(key)
        again = known is not None and uid in ("", known.uid)
        self.version += 1
        body = {
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": known.uid if known is not None and again else uid or f"uid-{self.version}",
                "generation": known.generation + 1 if known is not None and again else 1,
                "resourceVersion": str(self.version),
                "creationTimestamp": created or "2026-01-01T00:00:00Z",
            },
            "spec": yaml.safe_load(spec) if isinstance(spec, str) else spec,
        }
        self.customs[key] = Custom.of(body)
        self.namespaces.setdefault(namespace, {})
        return key

    def service(self, name: str, *ports: int, external: bool = False) -> None:
        """Creates a Service, named `namespace/name`."""
        namespace, _, name = name.partition("/")
        key = Key("Service", namespace, name)
        self.services[key] = Service(key, "s", 1, external, frozenset(ports))

    def run(self) -> Outcome:
        """Makes a pass."""
        namespaces = {
            Key("Namespace", "", name): Namespace(Key("Namespace", "", name), "n", 1, tuple(sorted(labels.items())))
            for name, labels in self.namespaces.items()
        }
        cluster = Cluster(self.services, self.secrets, Secrets(), "tradewind-system:tradewind-controller")  # type: ignore[arg-type]
        snapshot = Snapshot(dict(self.customs), namespaces, self.profiles, cluster, predictors(), self.kept)
        outcome = reconcile.run(snapshot, self.memory)
        self.kept = outcome.kept
        return outcome


def routes(outcome: Outcome) -> dict[str, list[str]]:
    """Candidates by route."""
    return {route.id: list(route.candidates) for route in outcome.assembled.plan.routes}
