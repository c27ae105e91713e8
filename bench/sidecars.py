"""Many sidecars by script, in one process and cheaply: each polls the sync channel with its own token, takes what it is given
and says so. Reads `{host, port, trust, tokens}` from stdin, writes a line when each has its first plan, ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

HANDSHAKES = 16
"""Connections opened at once."""


class Sidecar(asyncio.Protocol):
    """One that polls; a connection that ends, ends the program."""

    def __init__(self, token: str) -> None:
        self._head = f"POST /v1/sync HTTP/1.1\r\nhost: controller\r\nauthorization: Bearer {token}\r\ncontent-length: "
        self._have: dict[str, Any] = {"schema": 3, "version": "0.1.0", "lineage": "", "serial": 0, "have": {}}
        self._received = bytearray()
        self._awaited = 0
        """Bytes of the answer that is coming in, head included; zero before its head is there."""
        self.served = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._poll()

    def data_received(self, data: bytes) -> None:
        """Takes an answer once all of it is there."""
        self._received += data
        if not self._awaited and (end := self._received.find(b"\r\n\r\n")) >= 0:
            self._awaited = end + 4 + _length(bytes(self._received[:end]))
        if self._awaited and len(self._received) >= self._awaited:
            head, _, body = bytes(self._received).partition(b"\r\n\r\n")
            self._received.clear()
            self._awaited = 0
            if body:
                assert head.startswith(b"HTTP/1.1 200"), (head, body)
                self._take(json.loads(body))
            self._poll()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody ends it while it is measured."""
        if not self.served.done():
            self.served.set_exception(ConnectionError(str(exc)))

    def _poll(self) -> None:
        body = json.dumps(self._have)
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode())

    def _take(self, answer: dict[str, Any]) -> None:
        have = self._have["have"]
        have |= {part: answer[part]["digest"] for part in ("keys", "trust") if part in answer}
        if "plan_id" in answer:
            have["plan"] = answer["plan_id"]
            self._have |= {"lineage": answer["lineage"], "serial": answer["serial"]}
            if not self.served.done():
                self.served.set_result(None)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def main() -> None:
    """Connects all, and polls."""
    given = json.loads(await asyncio.to_thread(sys.stdin.readline))
    context = ssl.create_default_context(cadata=given["trust"])
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(HANDSHAKES)

    async def open_one(token: str) -> Sidecar:
        async with gate:
            _, sidecar = await loop.create_connection(lambda: Sidecar(token), given["host"], given["port"], ssl=context)
            await sidecar.served
        return sidecar

    await asyncio.gather(*map(open_one, given["tokens"]))
    sys.stdout.write("served\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
