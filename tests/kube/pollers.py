"""Data planes by script: they poll the sync channel with the token of a real pod, and answer as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

import httpx
import install
import pods
from cluster import Namespace
from install import Controller, Install
from pods import Pod

Answer = dict[str, Any]


class Poller:
    """One pod that polls one controller. What it is given it takes, unless `refuse` says why not, or `held` is set."""

    def __init__(
        self, pod: Pod, controller: Controller, trust: ssl.SSLContext, schema: int = 3, version: str = "0.1.0"
    ) -> None:
        self.pod = pod
        self._url = f"{controller.url}/v1/sync"
        self._trust = trust
        self._state: Answer = {
            "schema": schema,
            "version": version,
            "lineage": "",
            "serial": 0,
            "have": {"plan": "", "keys": "", "trust": ""},
        }
        self.refuse: Callable[[Answer], dict[str, str] | None] = lambda _: None
        self.plan: Answer = {}
        self.keys: Answer = {}
        self.identity: Answer = {}
        self.offered: list[int] = []
        self.error = ""
        self._running = threading.Event()
        self._running.set()
        self._end = threading.Event()
        self._taken = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"poller {pod.name}", daemon=True)

    def start(self) -> Poller:
        """Begins to poll."""
        self._thread.start()
        return self

    def hold(self) -> None:
        """Asks no more, until `go_on`: an open poll is still answered, but not acknowledged."""
        self._running.clear()

    def go_on(self) -> None:
        """Polls again."""
        self._running.set()

    def end(self) -> None:
        """Ends; the thread ends with the poll that is open."""
        self._end.set()
        self._running.set()

    def turn_to(self, controller: Controller) -> None:
        """Polls another replica from now on."""
        self._url = f"{controller.url}/v1/sync"

    @property
    def serial(self) -> int:
        """What it acknowledges."""
        serial: int = self._state["serial"]
        return serial

    @property
    def lineage(self) -> str:
        """What it acknowledges."""
        lineage: str = self._state["lineage"]
        return lineage

    def until(self, holds: Callable[[Poller], bool], within_s: float = 10) -> None:
        """Waits until something holds after an answer."""
        with self._taken:
            assert self._taken.wait_for(lambda: holds(self), within_s), f"{self.pod.name}: {self._state}, {self.error}"

    def _run(self) -> None:
        token = self.pod.token(install.AUDIENCE)
        with httpx.Client(timeout=40, verify=self._trust, headers={"authorization": f"Bearer {token}"}) as client:
            while not self._end.is_set():
                self._running.wait()
                try:
                    answer = client.post(self._url, json=self._state)
                except httpx.TransportError as error:
                    self.error = repr(error)
                    self._end.wait(0.05)
                    continue
                if answer.status_code == 200:
                    self._running.wait()
                    self._take(answer.json())
                elif answer.status_code != 204:
                    self.error = answer.text
                    self._end.wait(0.05)

    def _take(self, answer: Answer) -> None:
        with self._taken:
            self.identity = answer.get("identity", self.identity)
            have = self._state["have"]
            for part in ("keys", "trust"):
                if answer.get(part):
                    have[part] = answer[part]["digest"]
            self.keys = answer.get("keys") or self.keys
            if answer["lineage"] == self.lineage and answer["serial"] <= self.serial:
                # No plan, or one that comes late.
                self._taken.notify_all()
                return
            if answer.get("plan"):
                self.offered.append(answer["serial"])
                refusal = self.refuse(answer)
                self._state.pop("reject", None)
                if refusal is not None:
                    self._state["reject"] = {"plan": answer["plan_id"], **refusal}
                    self._taken.notify_all()
                    return
                self.plan = answer["plan"]
                have["plan"] = answer["plan_id"]
            if "plan_id" not in answer or have["plan"] == answer["plan_id"]:
                self._state |= {"lineage": answer["lineage"], "serial": answer["serial"]}
            self._taken.notify_all()


def trust(made: Install) -> ssl.SSLContext:
    """What an install's data planes trust."""
    return ssl.create_default_context(cafile=made.trust_file)


def gateway(made: Install, name: str, controller: int = 0, **known: Any) -> Poller:
    """A scripted gateway, whose pod is Ready."""
    pod = Pod.create(made.namespace, name, "tradewind-gateway", install.GATEWAY_LABELS)
    pod.ready()
    return Poller(pod, made.controllers[controller], trust(made), **known).start()


def sidecar(made: Install, namespace: Namespace, name: str, controller: int = 0, **known: Any) -> Poller:
    """A scripted sidecar of an application's pod."""
    pods.make_account(namespace, "app")
    pod = Pod.create(namespace, name, "app")
    pod.ready()
    return Poller(pod, made.controllers[controller], trust(made), **known).start()
