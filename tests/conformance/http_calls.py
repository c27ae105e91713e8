"""One HTTP request, nothing added that a case did not ask for, and its answer as it came."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The data of server-sent events."""
        return [line[6:] for line in self.body.decode().split("\n\n") if line.startswith("data: ")]


def call(url: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    """Sends a request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


VARYING = {"date", "server", "connection", "keep-alive", "transfer-encoding", "x-request-id"}
"""Headers of the server, not of the answer; and the upstream's own id of a request."""
DRAWN = {"x-tradewind-decision", "x-tradewind-decide-us", "retry-after"}
"""Headers that must be there, with a value that differs from call to call."""
IDS = re.compile(rb'chatcmpl-[0-9a-f]+|[0-9a-f]{16}-[0-9a-f]{16}|(?<="created":)\d+|"created": ?\d+')


def comparable(answer: Answer, *, drawn: frozenset[str] = frozenset()) -> tuple[int, dict[str, str], bytes]:
    """What two doors must agree on: ids and times are masked."""
    masked = DRAWN | drawn
    headers = {name: "*" if name in masked else value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status, headers, IDS.sub(b"*", answer.body)
