"""What `Programmed` says is what gateways do: those that lie, refuse, are silent, are old, or come in the middle."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import install
import pollers
import pytest
import rest
import teams
from cluster import Cluster
from install import Gateway, Install, installed
from pods import Pod
from pollers import Poller
from teams import Team

from simulators import COMMAND, Upstream, upstreams

REFUSAL = {"code": "missing_predictor", "message": "the disk is full"}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """A simulated model."""
    with upstreams(tmp_path_factory.mktemp("upstream"), small=()) as (found,):
        yield found


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """One controller and two gateways."""
    with installed(cluster, tmp_path_factory.mktemp("install")) as made:
        made.add_controllers()
        made.start_controllers()
        for gateway in made.start_gateways(2):
            gateway.wait()
        yield made


@pytest.fixture
def team(made: Install, upstream: Upstream) -> Iterator[Team]:
    """A team whose policy is Ready."""
    with teams.team(made, upstream.url) as found:
        found.ready()
        yield found


@contextmanager
def one_more(made: Install, **settings: str) -> Iterator[Gateway]:
    """A gateway for one test."""
    gateway = made.add_gateway(**settings)
    try:
        yield gateway
    finally:
        made.remove_gateway(gateway)


@contextmanager
def scripted(made: Install, name: str, **known: Any) -> Iterator[Poller]:
    """A scripted gateway for one test, with the first plan."""
    found = pollers.gateway(made, name, **known)
    try:
        found.until(lambda poller: poller.serial > 0)
        yield found
    finally:
        found.end()
        found.pod.delete()


def glance(made: Install, *flags: str) -> dict[str, Any]:
    """The pods of `tradewind kube status`, by their names."""
    command = [COMMAND, "kube", "status", "--namespace", made.namespace.name, "--controller", made.controllers[0].metrics_url]
    environment = {"KUBECONFIG": str(made.cluster.admin_kubeconfig), "PATH": ""}
    done = subprocess.run([*command, *flags, "--json"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return {row["pod"]: row for row in json.loads(done.stdout)["pods"]}


def test_a_gateway_that_acknowledges_what_it_does_not_route_by_is_found_by_a_probe(made: Install, team: Team) -> None:
    with one_more(made, plan_cache_after_s="0") as liar:
        liar.start()
        liar.wait()
        teams.until((liar.folder / "plans" / "current.plan").exists, what="the plan is kept")
        liar.kill()
        liar.set(sync_fault="ack_unswapped")
        liar.start()
        liar.wait()
        old = liar.plan()["plan"]
        team.take("second")
        team.until("Programmed", "Programmed")
        told, probed = glance(made), glance(made, "--probe")
        assert [row["current"] for row in told.values()] == [True] * 3
        assert {name: row["current"] for name, row in probed.items()} == {
            "gateway-0": True,
            "gateway-1": True,
            liar.name: False,
        }
        assert probed[liar.name]["routes_by"] == old != probed[liar.name]["plan"] == probed["gateway-0"]["routes_by"]
        # Calls tell it too: by the plan that a decision names, and by what is answered.
        assert team.decide(liar)["plan"] == old
        assert team.decide(made.gateways[0])["plan"] == probed["gateway-0"]["routes_by"]
        assert (team.ask(liar, "second").status_code, team.ask(made.gateways[0], "second").status_code) == (404, 200)


def test_programmed_is_false_for_as_long_as_a_gateway_does_not_acknowledge(made: Install, team: Team) -> None:
    with one_more(made, sync_fault="never_ack") as mute:
        mute.start()
        mute.wait()
        team.take("second")
        team.until("Programmed", "NotAcknowledged", names=f"`{mute.name}`")
        # It routes by the plan all the while: only its word is missing.
        teams.until(lambda: team.ask(mute, "second").status_code == 200)
        passes = count(made, "tradewind_controller_pass_seconds_count")
        for number in range(3):
            team.add_policy(f"more-{number}")
            team.until("Programmed", "NotAcknowledged", f"more-{number}", names=f"`{mute.name}`")
        where, selector = team.namespace.path("routingpolicies"), "metadata.name=default"
        seen = [rest.condition(found, "Programmed") for _, found in team.namespace.api.watch(where, 3, fieldSelector=selector)]
        assert {row["status"] for row in seen} == {"False"}
        assert count(made, "tradewind_controller_pass_seconds_count") >= passes + 3
        mute.kill()
        mute.set(sync_fault="none")
        mute.start()
        mute.wait()
        team.until("Programmed", "Programmed")
        team.until("Ready", "Ready", "more-2")


def test_programmed_falls_where_a_ready_gateway_lacks_the_plan_for_ten_seconds(made: Install, team: Team) -> None:
    with one_more(made, sync_fault="never_ack") as mute:
        mute.start()
        mute.wait()
        began = time.monotonic()
        team.until("Programmed", "NotAcknowledged", names=f"`{mute.name}`", within_s=20)
        assert time.monotonic() - began > 8
    team.until("Programmed", "Programmed")


@pytest.mark.parametrize("index", [0, 1], ids=["the one that is asked first", "another"])
def test_a_stopped_gateway_is_named_within_two_seconds_and_heals(made: Install, team: Team, index: int) -> None:
    stopped, other = made.gateways[index], made.gateways[1 - index]
    stopped.pause()
    try:
        team.take("second")
        began = time.monotonic()
        team.until("Programmed", "NotAcknowledged", names=f"`{stopped.name}` does not yet", within_s=2)
        print(f"named after {time.monotonic() - began:.2f} s")  # noqa: T201
        assert team.ask(other, "second").status_code == 200
    finally:
        stopped.resume()
    team.until("Programmed", "Programmed")
    assert team.ask(stopped, "second").status_code == 200


def test_what_the_first_gateway_refuses_reaches_no_other(made: Install, team: Team) -> None:
    refused: set[str] = set()

    def refuse(answer: pollers.Answer) -> dict[str, str]:
        refused.add(answer["plan_id"])
        return REFUSAL

    with scripted(made, "a-canary") as canary:
        canary.refuse = refuse
        team.take("second")
        message = team.until("Programmed", "Rejected")
        assert message == "`a-canary` refused the plan: missing_predictor: the disk is full"
        # What was deleted elsewhere may be published meanwhile, but never what was refused.
        routed = {published(made)["planId"], *(gateway.plan()["plan"] for gateway in made.gateways)}
        assert refused
        assert not routed & refused
        assert [team.ask(gateway).status_code for gateway in made.gateways] == [200, 200]
        assert [team.ask(gateway, "second").status_code for gateway in made.gateways] == [404, 404]
        # Other edits wait no longer than the one that heals it.
        canary.refuse = lambda _: None
        team.take("second", "third")
        team.until("Programmed", "Programmed")
        assert [team.ask(gateway, "third").status_code for gateway in made.gateways] == [200, 200]


def test_who_refuses_what_is_published_is_named(made: Install, team: Team) -> None:
    with scripted(made, "z-last") as last:
        last.refuse = lambda _: REFUSAL
        team.take("second")
        message = team.until("Programmed", "Rejected")
        assert message == "`z-last` refused the plan: missing_predictor: the disk is full"
        # The others route by it.
        assert [team.ask(gateway, "second").status_code for gateway in made.gateways] == [200, 200]
        last.refuse = lambda _: None
        team.take("third")
        team.until("Programmed", "Programmed")


def test_gateways_that_come_while_edits_are_rolled_out_make_no_lie(made: Install, team: Team) -> None:
    with ExitStack() as stack:
        new = [stack.enter_context(one_more(made)) for _ in range(2)]
        for gateway in new:
            gateway.launch()  # Not by a thread: the process would end with it.
        starting = [threading.Thread(target=gateway.opened) for gateway in new]
        for thread in starting:
            thread.start()
        came: set[str] = set()
        number = 0
        while len(came) < len(new) or any(thread.is_alive() for thread in starting):
            number += 1
            # Those that were Ready before the edit must have it, where it is said so.
            counted = [gateway for gateway in made.gateways if is_ready(gateway)]
            came |= {gateway.name for gateway in counted if gateway in new}
            team.take(f"edit-{number}")
            team.until("Programmed", "Programmed", within_s=30)
            answers = {gateway.name: team.ask(gateway, f"edit-{number}").status_code for gateway in counted}
            assert set(answers.values()) == {200}, (number, answers)
        assert number > 1


def is_ready(gateway: Gateway) -> bool:
    found = gateway.pod.namespace.api.get(gateway.pod.namespace.path("pods", gateway.name))
    return rest.condition(found, "Ready").get("status") == "True"


def test_a_new_gateway_is_ready_only_with_a_plan(made: Install) -> None:
    with one_more(made) as gateway:
        gateway.token_file.write_text("no token")
        gateway.start()
        teams.until(lambda: any(row["error"] for row in gateway.plan()["sync"]["controllers"]), 20, "it was refused")
        answer = httpx.get(gateway.readiness_url())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_plan")
        assert gateway.ask("auto").json()["error"]["code"] == "identity_unavailable"
        assert not is_ready(gateway)
        gateway.renew_token()
        gateway.wait()
        assert is_ready(gateway)


def test_a_data_plane_two_versions_old_gets_what_it_can_enforce_and_is_named_for_the_rest(made: Install, team: Team) -> None:
    with scripted(made, "gateway-old", schema=1, version="0.0.1") as old:
        condition = {"models": ["auto"], "when": "size(request.tools) > 0"}
        team.add_policy("tools")
        team.until("Programmed", "Programmed", "tools")
        team.edit({"match": condition, "priority": 5}, "tools")
        message = team.until("Programmed", "UnsupportedByDataPlane", "tools")
        assert message == "`gateway-old` cannot enforce `when`; upgrade them"
        team.until("Programmed", "Programmed")
        assert old.plan["schema"] == "tradewind.plan/v1"
        mine = [route["id"] for route in old.plan["routes"] if route["id"].startswith(f"{team.name}/")]
        assert mine == [f"{team.name}/default"]
        team.edit({"match": {"models": ["tools"], "when": None}}, "tools")
        team.until("Programmed", "Programmed", "tools")
        old.until(lambda poller: f"{team.name}/tools" in {route["id"] for route in poller.plan["routes"]})
    team.ready()


def test_a_sidecar_that_asks_for_another_namespace_is_refused_and_counted(made: Install, team: Team) -> None:
    controller = made.controllers[0]
    series = 'tradewind_controller_sync_refused{code="foreign_namespace"}'
    before = count(made, series)
    sidecar = Pod.create(team.namespace, "app")
    state = {"schema": 3, "version": "0.1.0", "lineage": "", "serial": 0, "have": {}}
    headers = {"authorization": f"Bearer {sidecar.token(install.AUDIENCE)}"}
    with httpx.Client(verify=pollers.trust(made), headers=headers, timeout=40) as client:
        own = client.post(f"{controller.url}/v1/sync?namespace={team.name}", json=state)
        assert own.json()["identity"] == {"namespace": team.name, "role": "sidecar"}
        assert {route["id"] for route in own.json()["plan"]["routes"]} == {f"{team.name}/default"}
        foreign = client.post(f"{controller.url}/v1/sync?namespace=kube-system", json=state)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "foreign_namespace")
    assert count(made, series) == before + 1


def count(made: Install, series: str) -> float:
    """A figure of the controller; 0 where there is none."""
    found = re.search(rf"^{re.escape(series)} (.+)$", made.controllers[0].metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def published(made: Install) -> dict[str, str]:
    """What the plan's ConfigMap says of itself."""
    data: dict[str, str] = made.namespace.api.get(made.namespace.path("configmaps", "tradewind-plan"))["data"]
    return data
