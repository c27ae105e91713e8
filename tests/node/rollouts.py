"""Pods of the install make way for others, one after another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import helm
from callers import Load
from installation import CONTROLLER, GATEWAY, SYSTEM, VALUES

if TYPE_CHECKING:
    from story import Story


def rolling_update(story: Story) -> None:
    """Under load."""
    story.begin("Rolling update of gateways")
    with Load(story) as load:
        started = time.monotonic()
        values = {**VALUES, "gateway": {**VALUES["gateway"], "podAnnotations": {"example.com/restarted": "1"}}}
        story.helm("upgrade", "tradewind", helm.CHART, values=values)
        story.gateways_available()
        took = time.monotonic() - started
        gone(story, "gateway", 2)
    story.tell("helm upgrade, until all are new", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"a rolling update lost calls: {load.result}"


def drain(story: Story) -> None:
    """Of the second node, under load."""
    story.begin("Drain of a node")
    second = story.cluster.nodes[1]
    with Load(story) as load:
        started = time.monotonic()
        story.cluster.kubectl("drain", second.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=80s")
        took = time.monotonic() - started
        story.gateways_available()
    story.tell("kubectl drain", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"a drain lost calls: {load.result}"
    story.cluster.kubectl("uncordon", second.name)
    spread(story)


def spread(story: Story) -> None:
    """One gateway on each node again."""
    for name in (CONTROLLER, GATEWAY):
        story.cluster.kubectl("--namespace", SYSTEM, "rollout", "restart", f"deployment/{name}")
    for name in (CONTROLLER, GATEWAY):
        story.cluster.available(SYSTEM, name, 120)
    gone(story, "gateway", 2)
    gone(story, "controller", 2)
    where = sorted(pod["spec"]["nodeName"] for pod in story.pods("gateway"))
    assert where == ["node1", "node2"], f"gateways are on {where}"


def gone(story: Story, component: str, remain: int, within_s: float = 90) -> None:
    """Waits until no pod of a component but so many is there, those that are being deleted included."""
    selector = f"app.kubernetes.io/component={component}"
    until = time.monotonic() + within_s
    while len(story.cluster.api.call("GET", story.path("pods"), labelSelector=selector)["items"]) > remain:
        assert time.monotonic() < until, f"more than {remain} pods of {component} after {within_s} s"
        time.sleep(0.2)
