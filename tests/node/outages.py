"""Something dies, or stays away, while calls go on: gateways, controllers, a kubelet, the API server, a node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import containers
import httpx
import nodes
import rest
from callers import Load
from installation import CONTROLLER, SYSTEM
from rest import Object
from rollouts import gone, spread

if TYPE_CHECKING:
    from story import Story

OUTAGE_S = 5.0
"""How long something stays away that nobody but us brings back."""


def kill_gateway(story: Story) -> None:
    """One of two, under load."""
    story.begin("kill -9 of a gateway")
    victim = story.pods("gateway")[0]
    with Load(story) as load:
        containers.kill(story, victim, "gateway")
        took = containers.restarted(story, victim, "gateway")
    story.tell("until its pod is Ready again", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.lost == 0, f"lost though tried again: {load.result}"


def kill_controller(story: Story) -> None:
    """The leader, under load."""
    story.begin("kill -9 of the leading controller")
    lease = story.cluster.api.get(story.path("leases", CONTROLLER))
    victim = next(pod for pod in story.pods("controller") if pod["metadata"]["name"] == lease["spec"]["holderIdentity"])
    with Load(story) as load:
        containers.kill(story, victim, "controller")
        took = story.edit()
        containers.restarted(story, victim, "controller", 90)
    story.tell("an edit made at that moment is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"calls failed without the controller: {load.result}"


def kill_node(story: Story) -> None:
    """The second, with a gateway on it, under load; then it comes back."""
    story.begin("Death of a node")
    node = story.cluster.nodes[1]
    where = rest.path("nodes", name=node.name)
    with Load(story) as load:
        started = time.monotonic()
        node.kill()
        story.cluster.api.until(where, lambda found: not nodes.is_ready(found), 60, "the node is NotReady")
        took = time.monotonic() - started
        took_edit = story.edit()
    story.tell("until it is NotReady (grace period of 12 s; Kubernetes' default is 50)", f"{took:.1f} s")
    story.tell("an edit after that is Programmed after", f"{took_edit:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    with Load(story) as load:
        started = time.monotonic()
        node.up()
        node.plug_in()
        node.start_runtime([])
        node.start_kubelet()
        story.cluster.ready_node(node)
        story.gateways_available()
        took = time.monotonic() - started
    story.tell("switched on again, until all gateways are Ready", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"calls failed when the node came back: {load.result}"
    spread(story)


def kill_kubelet(story: Story) -> None:
    """Of the second node, under load."""
    story.begin("kill -9 of a kubelet")
    node = story.cluster.nodes[1]
    before = _all_restarts(story)
    with Load(story) as load:
        kubelet = node.services["kubelet"]
        kubelet.kill()
        time.sleep(OUTAGE_S)
        kubelet.start()
        story.cluster.ready_node(node)
        took = story.edit()
    story.tell(f"away for {OUTAGE_S:.0f} s; an edit after that is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"calls failed without a kubelet: {load.result}"
    assert _all_restarts(story) == before, "containers were started again"


def kill_api_server(story: Story) -> None:
    """Under load."""
    story.begin("kill -9 of the API server")
    before = _all_restarts(story)
    with Load(story) as load:
        story.cluster.apiserver.kill()
        time.sleep(OUTAGE_S)
        story.cluster.apiserver.start()
        story.cluster.ready()
        took = story.edit()
    story.tell(f"away for {OUTAGE_S:.0f} s; an edit after that is Programmed after", f"{took:.1f} s")
    story.tell("calls meanwhile", str(load.result))
    assert load.result.failed == 0, f"calls failed without the API server: {load.result}"
    assert _all_restarts(story) == before, "containers were started again"


def _all_restarts(story: Story) -> dict[str, int]:
    pods = (*story.pods("gateway"), *story.pods("controller"))
    return {pod["metadata"]["name"]: containers.restarts(pod, pod["spec"]["containers"][0]["name"]) for pod in pods}


def bootstrap(story: Story) -> None:
    """A new gateway while no controller is there."""
    story.begin("A new gateway without a controller")
    api = story.cluster.api
    controllers = _scale_controllers(story, 0)
    gone(story, "controller", 0)
    victim = story.pods("gateway")[0]["metadata"]["name"]
    known = {pod["metadata"]["uid"] for pod in story.pods("gateway")}
    with Load(story) as load:
        started = time.monotonic()
        api.delete(story.path("pods", victim))
        fresh = _fresh(story, known)
        took = time.monotonic() - started
        gone(story, "gateway", 2)
        time.sleep(OUTAGE_S)
    where = story.path("pods", fresh["metadata"]["name"])
    address = api.get(where)["status"]["podIP"]
    plan = httpx.get(f"http://{address}:4002/plan").raise_for_status().json()
    assert plan["source"].startswith("/var/run/tradewind/plan"), f"its plan is of {plan['source']}"
    story.tell("until it serves the plan that is mounted from the ConfigMap", f"{took:.1f} s")
    # Callers' keys are in no ConfigMap: nobody can be known to it yet.
    answer = httpx.get(f"http://{address}:4002/readyz")
    code = answer.json()["error"]["code"]
    assert (answer.status_code, code) == (503, "identity_unavailable"), f"it answered {answer.status_code} {answer.text}"
    assert not nodes.is_ready(api.get(where)), "it is Ready, and knows no caller"
    story.tell("its `/readyz`", f"{answer.status_code} `{code}`")
    story.tell(f"calls meanwhile, and for {OUTAGE_S:.0f} s after, by the other", str(load.result))
    assert load.result.lost == 0, f"calls were lost to a gateway that knows no callers: {load.result}"
    _scale_controllers(story, controllers)
    story.cluster.available(SYSTEM, CONTROLLER, 90)
    story.gateways_available()
    story.tell("controllers are back; an edit is Programmed after", f"{story.edit():.1f} s")


def _fresh(story: Story, known: set[str], within_s: float = 30) -> Object:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for pod in story.pods("gateway"):
            started = any(container.get("started") for container in pod.get("status", {}).get("containerStatuses", ()))
            if pod["metadata"]["uid"] not in known and started:
                return pod
        time.sleep(0.05)
    raise AssertionError(f"no new gateway has started within {within_s} s")


def _scale_controllers(story: Story, replicas: int) -> int:
    """Another number of controllers. Gives what it was."""
    where = story.path("deployments", CONTROLLER)
    was: int = story.cluster.api.get(where)["spec"]["replicas"]
    story.cluster.api.merge(where, {"spec": {"replicas": replicas}})
    return was
