"""What is observed of a configuration: its problems, or what a gateway decides, answers and sends by it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import table
import yaml
from table import ABSENT, Ask, Effect, Object, Shown

import hosted
import own_graph
import scripted
import tiny_predictor
from scripted import Connection, Scripted
from tradewind import core, engine
from tradewind.artifacts import predictor
from tradewind.resources import documents, folder
from tradewind.resources.assemble import Assembled, assemble

TENANTS = ("default", "other")
CREDENTIALS = {f"default/{secret}/{key}": f"sk-{secret}-{key}" for secret in ("keys", "others") for key in ("small", "large")}
HOSTS = ["a.default.svc=127.0.0.1", "b.default.svc=127.0.0.1"]
PAUSE_S = 1.0
"""Silence of upstreams that are slow: long beside a timeout of 100 ms, and waited for only where no timeout ends it."""
STEEPNESS = -3.0
"""Of the predictor that is fetched: by it, no model can do anything about a short prompt."""

USAGE = b'"usage":{"prompt_tokens":1000,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":1000}}'
WHOLE = b'{"choices":[{"index":0,"message":{"content":"a"}}],' + USAGE + b"}"
END = b"data: [DONE]\n\n"


@dataclass
class Held:
    """Holds a stream until it is let go; answers everything else."""

    reached: threading.Event
    free: threading.Event

    def __call__(self, connection: Connection) -> None:
        if json.loads(connection.request_body).get("stream"):
            self.reached.set()
            self.free.wait(20)
        scripted.unary(WHOLE)(connection)


def _answers(held: Held) -> Mapping[str, scripted.Answer]:
    whole = scripted.unary(WHOLE)
    chunked_end = f"{len(END):x}\r\n".encode() + END + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return {
        **dict.fromkeys(("cheap", "small", "dear", "big", "cached", "Qwen/Qwen3-8B"), whole),
        "fails": scripted.unary(b"{}", "503 Service Unavailable"),
        "late": scripted.Paused(b"", head + f"content-length: {len(WHOLE)}\r\n\r\n".encode() + WHOLE, PAUSE_S),
        "pauses": scripted.Paused(scripted.begun(), chunked_end, PAUSE_S),
        "held": held,
    }


class Stage:
    """The upstreams and predictors that configurations name."""

    def __init__(self, upstreams: tuple[Scripted, Scripted], held: Held, folder: Path, site: str) -> None:
        self.upstreams = upstreams
        self.held = held
        self.default = predictor.read(tiny_predictor.write(folder / "default"))
        self._caches = (folder / f"cache-{number}" for number in itertools.count())
        other = predictor.read(tiny_predictor.write(folder / "site", STEEPNESS))
        graph = own_graph.build(tokens=False, quality=np.array([0.99, 0.01, 0.5], np.float32))
        second = predictor.read(own_graph.write(folder / "site" / "second", graph, models=["cheap", "dear", "other"]))
        self.names = {
            "url": upstreams[0].url.removesuffix("/v1"),
            "port": upstreams[0].server_address[1],
            "port2": upstreams[1].server_address[1],
            "predictor": f"{site}/{predictor.GRAPH}",
            "digest": other.digest.removeprefix("sha256:"),
            "second": f"{site}/second/{predictor.GRAPH}",
            "second_digest": second.digest.removeprefix("sha256:"),
        }

    def assembled(self, effect: Effect, value: Any) -> Assembled:
        """The configuration of a row with a value of its field."""
        found = [documents.Document(each["kind"], each, {(): 0}) for each in named(objects(effect, value), self.names)]
        resources = folder.parse(found)
        return assemble(resources, engine.fetch_predictors(resources, self.default, next(self._caches)))

    def requests(self) -> list[scripted.Request]:
        """What the upstreams were sent."""
        return [request for upstream in self.upstreams for request in upstream.requests]


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Opens everything; ends it."""
    (folder / "site").mkdir()
    held = Held(threading.Event(), threading.Event())
    answers = _answers(held)
    with Scripted(answers) as one, Scripted(answers) as two, hosted.hosted(folder / "site") as site:
        yield Stage((one, two), held, folder, site.url)


def objects(effect: Effect, value: Any) -> list[Object]:
    """The objects of a row with a value of its field."""
    found = {document["kind"]: document for document in map(yaml.safe_load, (table.POOL, table.POLICY))}
    for path, given in {**effect.given, effect.at or effect.field: value}.items():
        kind, *steps = re.findall(r"[^.\[\]]+|\[\d*\]", path)
        _put(found[kind], steps, deepcopy(given))
    return [*found.values(), *deepcopy(list(effect.beside))]


def _put(place: Any, steps: list[str], value: Any) -> None:
    *ways, last = (int(step.strip("[]") or 0) if step.startswith("[") else step for step in steps)
    for way in ways:
        place = place[way] if isinstance(way, int) else place.setdefault(way, {})
    if value is ABSENT:
        place.pop(last, None)
    else:
        place[last] = value


def named(value: Any, names: Mapping[str, Any]) -> Any:
    """A value with the names in its texts replaced; one that is nothing but a name becomes what it stands for."""
    if isinstance(value, dict):
        return {key: named(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [named(each, names) for each in value]
    if not isinstance(value, str):
        return value
    if value[1:-1] in names and value == f"{{{value[1:-1]}}}":
        return names[value[1:-1]]
    return re.sub(r"\{(\w+)\}", lambda found: str(names[found[1]]), value)


def observe(effect: Effect, value: Any, stage: Stage) -> str:
    """What the row shows, with a value of its field."""
    assembled = stage.assembled(effect, value)
    errors = [problem for problem in assembled.problems if problem.severity == "error"]
    if effect.shown == "problem":
        return errors[0].code if errors else table.NONE
    assert not errors, errors
    for upstream in stage.upstreams:
        upstream.requests.clear()
    with _opened(assembled) as url, httpx.Client(base_url=url, timeout=20) as client:
        return SHOWN[effect.shown](Call(client, effect.ask, stage))


@contextmanager
def _opened(assembled: Assembled) -> Iterator[str]:
    keys = [{"sha256": hashlib.sha256(f"sk-{name}".encode()).hexdigest(), "tenant": name} for name in TENANTS]
    gateway = core.Gateway(
        assembled.plan.to_json(),
        assembled.predictors.graphs,
        settings={"workers": 1, "hosts": HOSTS, "drain_s": 5},
        keys=json.dumps({"keys": keys}).encode(),
        credentials=CREDENTIALS,
    )
    try:
        yield f"http://{gateway.listen('127.0.0.1:0')}"
    finally:
        gateway.drain()


@dataclass(frozen=True)
class Call:
    """A call that is about to be made."""

    client: httpx.Client
    ask: Ask
    stage: Stage

    def decision(self) -> dict[str, Any]:
        """What is decided on it."""
        answer = self._post("decide", self.ask.more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def answer(self) -> httpx.Response:
        """What it is answered."""
        if not self.ask.beside:
            return self._post("chat/completions", self.ask.more)
        held = self.stage.held
        held.reached.clear()
        held.free.clear()
        other = threading.Thread(target=self._post, args=("chat/completions", {"stream": True}))
        other.start()
        assert held.reached.wait(20)
        try:
            return self._post("chat/completions", self.ask.more)
        finally:
            held.free.set()
            other.join()

    def sent(self) -> scripted.Request:
        """What an upstream is sent for it."""
        assert self.answer().status_code == 200
        (request,) = self.stage.requests()
        return request

    def _post(self, path: str, more: Mapping[str, Any]) -> httpx.Response:
        where = f"/ns/{self.ask.namespace}/v1" if self.ask.namespace is not None else "/v1"
        body = {"model": self.ask.model, "messages": [{"role": "user", "content": self.ask.text}], **more}
        return self.client.post(f"{where}/{path}", json=body, headers={"authorization": f"Bearer sk-{self.ask.tenant}"})


def _status(answer: httpx.Response) -> str:
    return f"{answer.status_code}" + (f" {answer.json()['error']['code']}" if answer.is_error else "")


def _reason(decision: dict[str, Any]) -> str:
    (candidate,) = (each for each in decision["candidates"] if each["model"] == table.CHEAP)
    return candidate["reason"] or table.NONE


def _end(answer: httpx.Response) -> str:
    last = answer.text.strip().rsplit("data: ", 1)[1]
    return last if last == "[DONE]" else str(json.loads(last)["error"]["code"])


SHOWN: dict[Shown, Callable[[Call], str]] = {
    "chosen model": lambda call: str(call.decision()["chosen"]),
    "why `cheap` is not admitted": lambda call: _reason(call.decision()),
    "route": lambda call: str(call.decision()["route"]),
    "probability of the chosen model": lambda call: str(call.decision()["propensity"]),
    "answer": lambda call: _status(call.answer()),
    "answering model": lambda call: call.answer().headers["x-tradewind-model"],
    "end of the stream": lambda call: _end(call.answer()),
    "cost in USD": lambda call: call.answer().headers["x-tradewind-cost-usd"],
    "upstream's path": lambda call: call.sent().path,
    "upstream's host": lambda call: str(call.sent().headers["host"]),
    "upstream's model": lambda call: str(json.loads(call.sent().body)["model"]),
    "upstream's authorization": lambda call: str(call.sent().headers["authorization"]),
}
