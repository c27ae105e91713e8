"""Callers that call all the time over kept connections, and count what they lose."""

from __future__ import annotations

import threading
from types import TracebackType

import httpx

TOKENS = {"unary": 2, "streamed": 60}
"""Longest answers; at 20 tokens a second a streamed one takes 3 s."""


class Load:
    """A context manager: callers of a kind, each with a connection that it keeps as long as it may."""

    def __init__(self, url: str, key: str, **callers: int) -> None:
        self.answered = dict.fromkeys(callers, 0)
        self.lost: list[str] = []
        self._url = f"{url}/v1/chat/completions"
        self._headers = {"authorization": f"Bearer {key}"}
        self._end = threading.Event()
        self._counted = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(kind,), name=f"{kind} caller {number}")
            for kind, count in callers.items()
            for number in range(count)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def more(self, calls: int, within_s: float = 30) -> None:
        """Waits for so many further answers of each kind."""
        with self._counted:
            wanted = {kind: count + calls for kind, count in self.answered.items()}
            came = self._counted.wait_for(lambda: all(self.answered[kind] >= count for kind, count in wanted.items()), within_s)
        assert came, f"no {calls} further answers within {within_s} s: {self}"

    def __str__(self) -> str:
        return f"answered {self.answered}, lost {len(self.lost)}: {self.lost[:5]}"

    def _run(self, kind: str) -> None:
        body = {"model": "auto", "max_tokens": TOKENS[kind], "messages": [{"role": "user", "content": "hello"}]}
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while not self._end.is_set():
                try:
                    why = _stream(client, self._url, body) if kind == "streamed" else _ask(client, self._url, body)
                except httpx.TransportError as error:
                    why = repr(error)
                with self._counted:
                    if why:
                        self.lost.append(f"{kind}: {why}")
                    else:
                        self.answered[kind] += 1
                    self._counted.notify_all()


def _ask(client: httpx.Client, url: str, body: dict[str, object]) -> str:
    """Why the call is lost; empty where it is not."""
    answer = client.post(url, json=body)
    return "" if answer.status_code == 200 and answer.json()["choices"] else f"{answer.status_code} {answer.text}"


def _stream(client: httpx.Client, url: str, body: dict[str, object]) -> str:
    with client.stream("POST", url, json={**body, "stream": True}) as answer:
        lines = [line for line in answer.iter_lines() if line]
    return "" if answer.status_code == 200 and lines[-1:] == ["data: [DONE]"] else f"{answer.status_code} {lines[-2:]}"
