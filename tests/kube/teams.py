"""A team: a namespace whose callers reach a simulated model through a pool and a policy of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cluster as control_plane
import httpx
import rest
from cluster import Namespace
from install import Gateway, Install
from rest import Object

CALLERS = """
apiVersion: v1
kind: Secret
metadata: {{name: callers, labels: {{tradewind.dev/caller-keys: "true"}}}}
stringData: {{app: "{key}"}}
"""
POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: chat}}
spec:
  models:
  - name: small
    upstream: {{url: "{url}", credentials: {{secretKeyRef: {{name: keys, key: small}}}}}}
    price: {{inputPerMillion: "0.123456789", outputPerMillion: "0.987654321"}}
    limits: {{contextTokens: 10000, outputTokens: 1000}}
    capabilities: [Tools]
    quality: {{prior: "0.5"}}
"""
PLAIN_POOL = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: pool}}
spec:
  models:
  - name: small
    upstream: {{url: "{url}"}}
    price: {{inputPerMillion: "1", outputPerMillion: "1"}}
    limits: {{contextTokens: 1000, outputTokens: 100}}
    quality: {{prior: "0.5"}}
"""
"""One that refers to nothing."""
POLICY = """
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: {name}}}
spec:
  poolRefs: [{{name: chat}}]
  match: {{models: ["{alias}"]}}
  strategy: {{type: Best}}
"""


@dataclass(frozen=True)
class Team:
    """A namespace with pool `chat`, policy `default` for the alias `auto`, an upstream's key and a caller's key."""

    made: Install
    namespace: Namespace

    @property
    def name(self) -> str:
        """Of the namespace."""
        return self.namespace.name

    @property
    def key(self) -> str:
        """Its caller's."""
        return f"sk-{self.name}"

    def find(self, name: str = "default", kind: str = "routingpolicies") -> Object:
        """An object as it is."""
        return self.namespace.api.get(self.namespace.path(kind, name))

    def edit(self, spec: Any, name: str = "default", kind: str = "routingpolicies") -> int:
        """Merges into a spec; gives the new generation. Without kubectl, whose start would count where seconds are counted."""
        found = self.namespace.api.merge(self.namespace.path(kind, name), {"spec": spec})
        generation: int = found["metadata"]["generation"]
        return generation

    def take(self, *aliases: str) -> int:
        """The policy takes these aliases, and `auto`."""
        return self.edit({"match": {"models": ["auto", *aliases]}})

    def add_policy(self, name: str) -> None:
        """A policy whose alias is its name."""
        self.namespace.apply(POLICY.format(name=name, alias=name))

    def until(
        self,
        condition: str,
        reason: str,
        name: str = "default",
        kind: str = "routingpolicies",
        within_s: float = 20,
        names: str = "",
    ) -> str:
        """Waits until a condition of the object's present generation has a reason, and names something; gives the message."""

        def holds(found: Object | None) -> bool:
            row = rest.condition(found, condition)
            said = row.get("reason") == reason and names in row.get("message", "")
            return said and row.get("observedGeneration") == (found or {})["metadata"]["generation"]

        found = self.namespace.api.until(self.namespace.path(kind, name), holds, within_s, f"{condition} {reason} {names}")
        message: str = rest.condition(found, condition)["message"]
        return message

    def ready(self, within_s: float = 30) -> None:
        """Waits until pool and policy are."""
        self.until("Ready", "Ready", "chat", "modelpools", within_s)
        self.until("Ready", "Ready", within_s=within_s)

    def ask(self, gateway: Gateway, model: str = "auto") -> httpx.Response:
        """A call."""
        return gateway.ask(model, key=self.key)

    def decide(self, gateway: Gateway) -> Any:
        """`/v1/decide`: how a call would be routed, and by which plan."""
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.post(f"{gateway.url()}/v1/decide", json=body, headers=headers).raise_for_status().json()


def documents(key: str, url: str) -> str:
    """A caller's key, pool and policy of a team whose model is at `url`; the upstream's key is missing."""
    return "---".join([CALLERS.format(key=key), POOL.format(url=url), POLICY.format(name="default", alias="auto")])


@contextmanager
def team(made: Install, url: str) -> Iterator[Team]:
    """Applied, and Ready where there is a data plane: wait for that. `url` is the model's."""
    with control_plane.namespace(made.cluster, "team") as namespace:
        found = Team(made, namespace)
        made.grant(namespace)
        namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=small=sk-upstream")
        namespace.apply(documents(found.key, url))
        yield found


def until(holds: Callable[[], bool], within_s: float = 10, what: str = "") -> float:
    """Asks until it holds; gives the seconds. What is asked takes its time, so nobody sleeps."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + within_s, f"not within {within_s} s: {what}"
    return time.monotonic() - began
