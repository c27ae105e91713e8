"""Callers that call through gateways all the time, so that a test can say that none was failed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

import httpx
from install import Gateway
from teams import Team


class Traffic:
    """A context manager: one caller for each gateway, without pause, until it ends."""

    def __init__(self, team: Team, gateways: Sequence[Gateway], callers: int = 1) -> None:
        self.calls = 0
        self.failures: list[str] = []
        self._team = team
        self._end = threading.Event()
        self._began = threading.Barrier(len(gateways) * callers + 1)
        self._threads = [
            threading.Thread(target=self._run, args=(gateway,), name=f"caller of {gateway.name}")
            for gateway in gateways
            for _ in range(callers)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        self._began.wait(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        assert kind is not None or not self.failures, f"{len(self.failures)} of {self.calls} failed: {self.failures[:5]}"

    def _run(self, gateway: Gateway) -> None:
        headers = {"authorization": f"Bearer {self._team.key}"}
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        with httpx.Client(base_url=gateway.url(), headers=headers, timeout=30) as client:
            self._began.wait(30)
            while not self._end.is_set():
                self.calls += 1
                try:
                    answer = client.post("/v1/chat/completions", json=body)
                except httpx.TransportError as error:
                    self.failures.append(f"{gateway.name}: {error!r}")
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{gateway.name}: {answer.status_code} {answer.text}")
