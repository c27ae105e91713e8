"""What Tradewind does in a real Kubernetes, step by step: each step asserts, and gives figures."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helm
import httpx
import installation
import outages
import rest
import rollouts
import sidecars
from installation import CONTROLLER, DEMO, GATEWAY, SYSTEM
from nodes import Nodes
from rest import Object


@dataclass(frozen=True)
class Row:
    """A figure of a step."""

    step: str
    what: str
    figure: str


@dataclass
class Story:
    """What is needed to tell it, and what has been told."""

    cluster: Nodes
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    edits: int = 0
    step: str = ""

    def begin(self, step: str) -> None:
        """Another step."""
        self.step = step
        self.say(f"— {step}")

    def tell(self, what: str, figure: str) -> None:
        """A figure of the step."""
        self.rows.append(Row(self.step, what, figure))
        self.say(f"    {what}: {figure}")

    def path(self, resource: str, name: str = "", namespace: str = SYSTEM) -> str:
        """Of a resource."""
        return rest.path(resource, namespace, name)

    def helm(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """Runs Helm in the install's namespace."""
        where = ("--namespace", SYSTEM)
        return helm.run(*arguments, *where, values=values, kubeconfig=self.cluster.admin_kubeconfig)

    def pods(self, component: str) -> list[Object]:
        """Pods of the install that are not being deleted."""
        selector = f"app.kubernetes.io/component={component}"
        found = self.cluster.api.call("GET", self.path("pods"), labelSelector=selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def gateways_available(self, within_s: float = 120) -> None:
        """Waits for all gateways."""
        self.cluster.available(SYSTEM, GATEWAY, within_s)

    @property
    def url(self) -> str:
        """Of the gateways' Service."""
        return f"http://{self.cluster.api.get(self.path('services', GATEWAY))['spec']['clusterIP']}/v1"

    def ask(self, url: str = "") -> httpx.Response:
        """A call that a policy routes."""
        body = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.post(f"{url or self.url}/chat/completions", json=body, headers=headers, timeout=10)

    def answered(self, url: str = "", within_s: float = 30) -> httpx.Response:
        """Asks until there is an answer."""
        url = url or self.url
        until = time.monotonic() + within_s
        last = ""
        while time.monotonic() < until:
            try:
                answer = self.ask(url)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if answer.status_code == 200:
                    return answer
                last = f"{answer.status_code} {answer.text}"
            time.sleep(0.02)
        raise AssertionError(f"no answer within {within_s} s; last: {last}")

    def edit(self, within_s: float = 60) -> float:
        """Edits the policy, waits until it is Programmed, and gives the seconds that took."""
        self.edits += 1
        where = self.path("routingpolicies", "default", DEMO)
        started = time.monotonic()
        spec = {"strategy": {"type": "Utility", "utility": {"willingnessToPayUSD": f"0.0{15 + self.edits}"}}}
        edited = self.cluster.api.merge(where, {"spec": spec})
        self.programmed(where, edited["metadata"]["generation"], within_s)
        return time.monotonic() - started

    def programmed(self, where: str, generation: int, within_s: float) -> None:
        """Waits until a generation of a resource is acknowledged by every Ready gateway."""

        def holds(found: Object | None) -> bool:
            condition = rest.condition(found, "Programmed")
            return condition.get("status") == "True" and condition.get("observedGeneration") == generation

        self.cluster.api.until(where, holds, within_s, f"{where} is Programmed")


def tell(cluster: Nodes, say: Callable[[str], None]) -> list[Row]:
    """All steps. Raises AssertionError with the reason where one does not hold."""
    story = Story(cluster, say)
    try:
        _tell(story)
    except (AssertionError, helm.RefusedError, rest.RefusedError, httpx.TransportError) as error:
        raise AssertionError(f"{story.step}: {error}\n\n{_state(story)}") from error
    return story.rows


def _tell(story: Story) -> None:
    before = installation.inventory(story.cluster)
    for step in (
        installation.install,
        installation.first_answer,
        sidecars.sidecar,
        sidecars.hop,
        rollouts.rolling_update,
        rollouts.drain,
        outages.kill_gateway,
        outages.kill_controller,
        outages.kill_node,
        outages.kill_kubelet,
        outages.bootstrap,
        outages.kill_api_server,
        installation.helm_test,
    ):
        step(story)
    installation.uninstall(story, before)


def _state(story: Story) -> str:
    """What somebody who looks for the reason would ask first."""
    asked = (
        ("get", "nodes,pods", "--all-namespaces", "--output=wide"),
        ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
        *(("logs", "--namespace", SYSTEM, f"deployment/{name}", "--tail=20", "--all-pods") for name in (CONTROLLER, GATEWAY)),
        ("logs", "--namespace", DEMO, "--selector=tradewind.dev/sidecar=enabled", "--container=tradewind", "--tail=20"),
    )
    said = [story.cluster.kubectl(*arguments, check=False) for arguments in asked]
    return "\n".join(part[-6000:] for done in said for part in (done.stdout, done.stderr))
