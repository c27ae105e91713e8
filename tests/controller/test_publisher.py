"""How plans are offered, refused, withdrawn and published, over one ConfigMap and scripted sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from small_cluster import POLICY, POOL, World
from test_published import Server, place

from tradewind.artifacts import plan
from tradewind.controller.metrics import Metrics
from tradewind.controller.plane import Sessions
from tradewind.controller.published import Published
from tradewind.controller.publisher import Publisher
from tradewind.controller.reconcile import Outcome
from tradewind.controller.store import Key

Answer = Callable[[dict[str, Any], int, bytes], None]


def take(row: dict[str, Any], serial: int, _: bytes) -> None:
    """Acknowledges an offer."""
    row |= {"serial": serial, "plan": row["expected"]["plan"], "reject": None}


def refuse(row: dict[str, Any], _: int, __: bytes) -> None:
    """Refuses an offer."""
    row["reject"] = {"plan": row["expected"]["plan"], "code": "no", "message": "not today"}


def nothing(_: dict[str, Any], __: int, ___: bytes) -> None:
    """Is silent."""


class Channel:
    """Stands for the sync server."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Answer] = {}
        self.served: list[int] = []

    def add(self, name: str, answer: Answer, **known: Any) -> None:
        """A session."""
        row = {"pod": name, "pod_uid": name, "namespace": "tw", "role": "gateway", "version": "1", "lineage": "L", "serial": 0}
        row |= {"plan": "", "reject": None, "lacks": [], "trust": "", "expected": None, "schema": plan.VERSION, "parked": True}
        self.rows[name] = row | known
        self.answers[name] = answer

    def offer(self, uid: str, lineage: str, serial: int, given: bytes) -> str:
        row = self.rows[uid]
        row["expected"] = {"lineage": lineage, "serial": serial, "plan": f"sha256:{hash(given)}"}
        self.answers[uid](row, serial, given)
        return str(row["expected"]["plan"])

    def withdraw(self) -> None:
        """Nothing to do."""

    def publish(self, lineage: str, serial: int, given: bytes) -> str:
        self.served.append(serial)
        for row in self.rows.values():
            row["expected"] = {"lineage": lineage, "serial": serial, "plan": f"sha256:{hash(given)}"}
            if self.answers[row["pod_uid"]] is not nothing and serial > row["serial"]:
                row |= {"serial": serial, "plan": row["expected"]["plan"]}
        return ""

    def sessions(self) -> bytes:
        return json.dumps(list(self.rows.values())).encode()


class Case:
    """A publisher over a small cluster."""

    def __init__(self) -> None:
        self.world = World()
        self.world.put("ModelPool", "a/chat", POOL)
        self.world.put("RoutingPolicy", "a/default", POLICY)
        self.channel = Channel()
        self.server = Server()
        self.warnings: list[str] = []
        self.sessions = Sessions()
        self.sessions.attach(self.channel)  # type: ignore[arg-type]
        self.publisher = Publisher(
            place(self.server),
            self.channel,
            self.sessions,
            Metrics(),
            lambda reason, _: self.warnings.append(reason),  # type: ignore[arg-type]
        )

    async def publish(self) -> Outcome:
        """A pass, and its publication."""
        outcome = self.world.run()
        self.sessions.read()

        async def retreat(old: Published) -> Outcome:
            before = World(dict(self.world.customs), self.world.namespaces, kept=old.kept)
            for key in [*before.customs]:
                if key in old.kept:
                    form = old.kept[key]
                    custom = before.customs[key]
                    before.customs[key] = type(custom)(
                        key, custom.uid, custom.version, form.generation, custom.created, form.spec, {}
                    )
                else:
                    del before.customs[key]
            return before.run()

        await self.publisher.publish(outcome, retreat)
        return outcome

    @property
    def serial(self) -> int:
        published = self.publisher.published
        return published.serial if published is not None else 0


def check(story: Callable[[Case], Any]) -> None:
    async def run() -> None:
        await story(Case())

    asyncio.run(run())


def test_without_a_gateway_a_plan_is_published_unasked() -> None:
    async def story(case: Case) -> None:
        await case.publish()
        assert (case.serial, case.warnings) == (1, [])
        await case.publish()
        assert case.serial == 1

    check(story)


def test_one_gateway_of_each_version_tries_a_plan_first() -> None:
    async def story(case: Case) -> None:
        case.channel.add("a", take)
        case.channel.add("b", take)
        case.channel.add("old", take, version="0")
        await case.publish()
        assert case.serial == 1
        assert case.channel.served == [1]
        assert not case.publisher.astray()

    check(story)


def test_a_refused_plan_is_not_published_and_not_offered_again_unchanged() -> None:
    async def story(case: Case) -> None:
        case.channel.add("a", take)
        await case.publish()
        case.channel.answers["a"] = refuse
        case.world.put("RoutingPolicy", "a/default", POLICY + "retry: {attempts: 1}\n")
        await case.publish()
        refusal = case.publisher.refusal
        assert refusal is not None
        assert (refusal.reason, case.serial) == ("Rejected", 1)
        case.channel.answers["a"] = take
        await case.publish()
        assert case.serial == 1  # Until it changes, or is reconsidered.
        case.world.put("RoutingPolicy", "a/default", POLICY + "retry: {attempts: 3}\n")
        await case.publish()
        assert (case.publisher.refusal, case.serial) == (None, 2)

    check(story)


def test_a_refusal_holds_up_no_deletion() -> None:
    async def story(case: Case) -> None:
        case.world.put("RoutingPolicy", "a/other", POLICY + "match: {models: [other]}\n")
        case.channel.add("a", take)
        await case.publish()
        case.channel.answers["a"] = refuse
        case.world.put("RoutingPolicy", "a/default", POLICY + "retry: {attempts: 1}\n")
        del case.world.customs[Key("RoutingPolicy", "a", "other")]
        await case.publish()
        published = case.publisher.published
        assert published is not None
        assert b"a/other" not in published.plan
        assert b'"retry_attempts": 1' not in published.plan
        assert case.publisher.refusal is not None

    check(story)


def test_a_gateway_that_took_what_another_refused_is_led_back() -> None:
    async def story(case: Case) -> None:
        case.channel.add("new", take)
        case.channel.add("old", take, version="0")
        await case.publish()
        case.channel.answers["old"] = refuse
        case.world.put("RoutingPolicy", "a/default", POLICY + "retry: {attempts: 1}\n")
        await case.publish()
        published = case.publisher.published
        assert published is not None
        assert b'"retry_attempts": 1' not in published.plan
        assert published.serial == case.channel.rows["new"]["serial"] == 3

    check(story)


def test_a_sidecar_s_word_does_not_move_the_serial() -> None:
    async def story(case: Case) -> None:
        await case.publish()
        case.channel.add("evil", nothing, role="sidecar", serial=2**60)
        case.sessions.read()
        assert not case.publisher.astray()
        case.world.put("RoutingPolicy", "a/default", POLICY + "retry: {attempts: 1}\n")
        await case.publish()
        assert case.serial == 2

    check(story)


def test_a_gateway_ahead_of_what_is_published_is_overtaken() -> None:
    async def story(case: Case) -> None:
        await case.publish()
        case.channel.add("a", take, serial=9, plan="sha256:lost")
        case.sessions.read()
        assert case.publisher.astray()
        await case.publish()
        assert case.serial == 10

    check(story)


def test_a_silent_gateway_delays_a_plan_and_does_not_stop_it() -> None:
    async def story(case: Case) -> None:
        case.channel.add("a", nothing)
        await case.publish()
        assert (case.serial, case.warnings) == (1, ["CanarySilent"])

    check(story)
