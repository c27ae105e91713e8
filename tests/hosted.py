"""A web server of files that keeps what it was asked for."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Hosted:
    """Where it is, and which paths were asked for."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def hosted(folder: Path, redirects: dict[str, str] | None = None) -> Iterator[Hosted]:
    """Serves a folder on loopback; `redirects` are answered in place of files."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            server.asked.append(self.path)
            to = (redirects or {}).get(self.path)
            if to is None:
                super().do_GET()
                return
            self.send_response(302)
            self.send_header("location", to)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = Hosted(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
