"""An upstream that answers by script, byte for byte, and keeps what it was sent."""

from __future__ import annotations

import json
import select
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import parse_headers
from typing import Self


@dataclass(frozen=True)
class Request:
    """What was sent."""

    path: str
    headers: Message
    body: bytes


class Connection(socketserver.StreamRequestHandler):
    """One request a connection."""

    server: Scripted
    request_body: bytes

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return
        headers = parse_headers(self.rfile)
        self.request_body = self.rfile.read(int(headers["content-length"]))
        self.server.requests.append(Request(line.decode().split(" ")[1], headers, self.request_body))
        self.server.answers[json.loads(self.request_body)["model"]](self)

    def left(self) -> None:
        """Waits until the other side closes."""
        while self.rfile.read(1):
            pass


Answer = Callable[[Connection], None]


class Scripted(socketserver.ThreadingTCPServer):
    """Answers each model as its row says. A context manager."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.answers = answers
        self.requests: list[Request] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Base URL, as a plan has it."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[bytes]:
        """What was sent, without heads."""
        return [request.body for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def raw(answer: bytes) -> Answer:
    """These bytes, then the end of the connection."""

    def send(connection: Connection) -> None:
        connection.wfile.write(answer)

    return send


def unary(body: bytes, status: str = "200 OK") -> Answer:
    """A JSON answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    return raw(head.encode() + body)


CHUNK = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


def begun(chunk: bytes = CHUNK) -> bytes:
    """A stream up to and with its first chunk."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"


@dataclass
class Held:
    """A stream that sends its first chunk and then stays open until the other side leaves."""

    chunk: bytes = CHUNK
    left: threading.Event = field(default_factory=threading.Event)
    """The other side has closed the connection."""

    def __call__(self, connection: Connection) -> None:
        connection.wfile.write(begun(self.chunk))
        connection.left()
        self.left.set()


@dataclass(frozen=True)
class Paused:
    """Some bytes at once, the rest after a pause in seconds, unless the other side leaves in it."""

    first: bytes
    rest: bytes
    seconds: float

    def __call__(self, connection: Connection) -> None:
        connection.wfile.write(self.first)
        left, _, _ = select.select([connection.connection], [], [], self.seconds)
        if not left:
            connection.wfile.write(self.rest)


@dataclass
class Silent:
    """No answer, until the other side leaves."""

    reached: threading.Event = field(default_factory=threading.Event)
    """A request has come."""
    left: threading.Event = field(default_factory=threading.Event)
    """The other side has closed the connection."""

    def __call__(self, connection: Connection) -> None:
        self.reached.set()
        connection.left()
        self.left.set()
