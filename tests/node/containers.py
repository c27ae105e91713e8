"""Containers of the cluster's pods: killed, and started again by a kubelet."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import nodes
from rest import Object

if TYPE_CHECKING:
    from story import Story


def kill(story: Story, pod: Object, container: str) -> None:
    """kill -9 of a container's processes."""
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"]["containerStatuses"]
    identity = next(status["containerID"] for status in statuses if status["name"] == container).removeprefix("containerd://")
    node = next(node for node in story.cluster.nodes if node.name == pod["spec"]["nodeName"])
    found = node.processes(identity)
    assert found, f"no process of {pod['metadata']['name']}/{container}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def restarted(story: Story, pod: Object, container: str, within_s: float = 60) -> float:
    """Waits until a container that was killed is started again, and gives the seconds that took."""
    before = restarts(pod, container)
    where = story.path("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
    started = time.monotonic()
    story.cluster.api.until(where, lambda found: restarts(found, container) > before and nodes.is_ready(found), within_s)
    return time.monotonic() - started


def restarts(pod: Object | None, container: str) -> int:
    status = (pod or {}).get("status", {})
    statuses = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return next((each["restartCount"] for each in statuses if each["name"] == container), 0)
