"""Bytes from an http or https URL, with limits of size and time: what a plan refers to may lie anywhere."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tradewind.errors import UsageError

CONNECT_S = 10
"""Seconds to connect, and for each read."""
WHOLE_S = 120
"""Seconds for a whole file."""
PIECE_BYTES = 1 << 20

Reachable = Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]


def anywhere(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whoever wrote the URL may reach as much as this process."""
    return True


def beyond_this_machine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """For URLs of others: neither this machine nor what only its network segment should see, such as cloud metadata."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    return not (mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast)


def fetch(url: str, largest: int, reachable: Reachable = anywhere) -> bytes:
    """The file at a URL, of at most `largest` bytes; redirects are followed. Raises `UsageError` with the reason."""
    try:
        with _opener(reachable).open(url, timeout=CONNECT_S) as answer:
            return _read(answer, largest, time.monotonic() + WHOLE_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise UsageError(f"{url} cannot be fetched: it is answered {error.code}", url) from None
    except _Refused as refused:
        raise UsageError(f"{url} cannot be fetched: {refused}", url) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UsageError(f"{url} cannot be fetched: {reason}", url) from None


class _Refused(Exception):
    """A reason of our own."""


def _read(answer: Any, largest: int, deadline: float) -> bytes:
    content = bytearray()
    while piece := answer.read1(PIECE_BYTES):
        content += piece
        if len(content) > largest:
            raise _Refused(f"it is larger than {largest} bytes")
        if time.monotonic() > deadline:
            raise _Refused(f"it takes longer than {WHOLE_S} s")
    if answer.length:  # What was announced and did not come.
        raise _Refused("it ends early")
    return bytes(content)


def _opener(reachable: Reachable) -> urllib.request.OpenerDirector:
    """Speaks http and https alone: `build_opener` would also read files and FTP, which a redirect might ask for."""

    def connect(*arguments: Any, **settings: Any) -> socket.socket:
        connected = socket.create_connection(*arguments, **settings)
        address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
        if reachable(address):
            return connected
        connected.close()
        raise _Refused(f"{address} is not a place that it may lie at")

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(_connection(http.client.HTTPConnection, connect), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(_connection(http.client.HTTPSConnection, connect), request)

    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Http(),
        Https(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def _connection(kind: type[http.client.HTTPConnection], connect: Callable[..., socket.socket]) -> Any:
    def made(*arguments: Any, **settings: Any) -> http.client.HTTPConnection:
        connection = kind(*arguments, **settings)
        connection._create_connection = connect  # type: ignore[attr-defined]
        return connection

    return made
