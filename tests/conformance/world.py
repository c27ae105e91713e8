"""What the cases talk to: an upstream of each kind, a route for each rule, a gateway in each state."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import doors
import routing
import scripted
from doors import Doors
from scripted import Scripted
from tradewind import core
from tradewind.artifacts import plan, predictor

KEYS = {"sk-default": "default", "sk-other": "other", "sk-gold": "guest"}
"""Keys of the gateway that has some, each with its tenant."""
LABELS = {"sk-gold": {"tier": "gold"}}
"""Labels of the keys that have some."""

STRATEGIES = {
    "best": "best",
    "cheapest": "cheapest",
    "pinned": {"type": "pinned", "pinned": {"model": "medium"}},
    "utility": {"type": "utility", "utility": {"willingness_to_pay_usd": 0.0001}},
    "weighted": {"type": "weighted", "weighted": {"weights": {"tiny": 1, "small": 3}}},
}
"""A route for each row of the core's table."""

ODD = (
    b'{"choices": [ {"message":{"content":"\\u00e9 \xc3\xa9"}} ],\n "new_field":1e5 ,'
    b' "usage":{"prompt_tokens":7,"completion_tokens":2}}\n'
)
"""An answer that no serialiser of ours would write."""
REFUSED = b'{"error":{"message":"temperature is too high","type":"invalid_request_error","param":null}}'

ANSWERS = {
    "odd": scripted.unary(ODD),
    "refuses": scripted.unary(REFUSED, "400 Bad Request"),
    "fails": scripted.unary(b"{}", "503 Service Unavailable"),
    "denies": scripted.unary(b"{}", "401 Unauthorized"),
    "throttles": scripted.unary(b"{}", "429 Too Many Requests"),
    "breaks": scripted.raw(b""),
    "babbles": scripted.raw(b"this is no HTTP\r\n\r\n"),
    "silent": scripted.Silent(),
    "cuts": scripted.raw(scripted.begun()),
    "unpaid": scripted.unary(b"{}"),
}
"""Upstreams that do one thing each."""


def plan_source(simulator: str, odd: str, digest: str) -> plan.PlanSource:
    """A route for each strategy, each policy and each fault; its alias is its name."""
    good = [routing.model(name, f"{simulator}/v1", like=name) for name in routing.PRICES]
    by_name = {name: routing.model(name, odd, pool="odd") for name in ANSWERS}
    by_name["unpaid"] = routing.model("unpaid", odd, pool="odd", credential="default/keys/unpaid")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    by_name["unreachable"] = routing.model("unreachable", closed, pool="odd")
    plain = routing.model("plain", f"{simulator}/v1", capabilities=())
    short = routing.model("short", f"{simulator}/v1", limits=plan.Limits(context_tokens=500, output_tokens=8))
    late = routing.model("late", f"{simulator}/v1", latency=plan.Latency(first_token_ms=1000.0))
    slow = routing.model("slow", f"{simulator}/v1", latency=plan.Latency(output_tokens_per_second=1.0))

    def route(name: str, models: list[plan.Model], strategy: object = "best", **more: object) -> plan.Route:
        return routing.route(name, digest, models, strategy, **more)  # type: ignore[arg-type]

    routes = [
        route("auto", good, STRATEGIES["utility"]),
        *(route(name, good, strategy) for name, strategy in STRATEGIES.items()),
        route("failover", [by_name["fails"], good[0]], {"type": "pinned", "pinned": {"model": "fails"}}),
        *(route(f"to-{name}", [by_name[name]], retry_attempts=0) for name in by_name if name != "silent"),
        route("to-silent", [by_name["silent"]], timeouts=plan.Timeouts(first_token_ms=50, stream_idle_ms=50), retry_attempts=0),
        route("labels", good, constraints=plan.Constraints(match_labels={"region": "eu"})),
        route("capability", [plain]),
        route("lengths", [short]),
        route("min_quality", good, constraints=plan.Constraints(min_quality=1.0)),
        route("first_token", [late], constraints=plan.Constraints(first_token_ms=1.0)),
        route("duration", [slow], timeouts=plan.Timeouts(request_ms=900)),
        # Of these, the first whose condition holds takes the call.
        route("with-tools", good, "cheapest", aliases=("conditional", "strict"), when='"look" in request.tools'),
        route("of-ada", good, aliases=("conditional", "strict"), when='request.metadata.author == "ada"'),
        route("otherwise", [good[1]], aliases=("conditional",)),
        route("for-other", [good[2]], aliases=("shared",), callers=plan.Callers("listed", ("other",))),
        route("for-gold", good, aliases=("shared", "gold"), callers=plan.Callers("all"), when='caller.labels.tier == "gold"'),
    ]
    return routing.source([*good, *by_name.values(), plain, short, late, slow], routes)


class World:
    """Gateways by the state they are in, each opened when first asked for; all on the same upstreams."""

    def __init__(self, stack: ExitStack, graph: bytes, executor: str) -> None:
        self._stack = stack
        self._graph = graph
        self._executor = executor
        self._open: dict[str, Doors] = {}
        self.upstream = stack.enter_context(Scripted(ANSWERS))
        models = ",".join((routing.SIMULATED, "plain:1:1", "short:1:1", "late:1:1", "slow:1:1"))
        self.simulator = stack.enter_context(core.Simulator(models=models))
        digest = predictor.digest_of(graph)
        self.plan = plan_source(self.simulator.url, self.upstream.url, digest).to_json()

    def doors(self, state: str) -> Doors:
        """A gateway in a state: a row of the methods below."""
        if state not in self._open:
            self._open[state] = getattr(self, f"_{state}")()
        return self._open[state]

    def _usual(self) -> Doors:
        return self._gateway()

    def _fed(self) -> Doors:
        """By controllers, which have given it the plan and will give it nothing more."""
        return self._keyed(controllers=["https://192.0.2.1:8443"])

    def _keyed(self, **settings: Any) -> Doors:
        entries = [
            {"sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": tenant, "labels": LABELS.get(key, {})}
            for key, tenant in KEYS.items()
        ]
        return self._gateway(keys=json.dumps({"keys": entries}).encode(), **settings)

    def _without_plan(self) -> Doors:
        return self._gateway(planned=False)

    def _full(self) -> Doors:
        return self._gateway(max_calls_in_flight=0)

    def another(self, **settings: int) -> AbstractContextManager[Doors]:
        """A gateway of one's own with other settings, on the same upstreams."""
        return doors.opened(self.plan, [self._graph], {"executor": self._executor, **settings})

    def _gateway(self, *, planned: bool = True, keys: bytes | None = None, **settings: Any) -> Doors:
        given = {"executor": self._executor, **settings}
        plan_bytes = self.plan if planned else None
        return self._stack.enter_context(doors.opened(plan_bytes, [self._graph], given, keys=keys))


@contextmanager
def opened(graph: bytes, executor: str) -> Iterator[World]:
    """A world for one executor; ends everything."""
    with ExitStack() as stack:
        yield World(stack, graph, executor)
