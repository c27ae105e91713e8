"""`load.py URL WORKERS`: calls over connections that are kept, until SIGTERM; then prints what became of them, as JSON.

Says `began` when each worker has had an answer. The key is in the variable LOAD_KEY. A call that fails is tried again twice,
after .5 and 1 s, as OpenAI's own clients do: `failed` are attempts, `lost` are calls that failed for good.
"""

from __future__ import annotations

import errno
import http.client
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]})
TRIED_AGAIN_AFTER_S = (0.5, 1.0)
TIMEOUT_S = 5.0
PAUSE_S = 0.01
KEPT_FOR = 100
"""Calls over one connection; then a worker connects anew, for new connections are lost where kept ones are not."""


class Load:
    """What all workers count."""

    def __init__(self, url: str, key: str, workers: int) -> None:
        self._url = urlsplit(url)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._workers = workers
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._began = threading.Barrier(workers + 1)
        self._answered: list[float] = []
        self._failures: Counter[str] = Counter()
        self._failed_at: list[float] = []
        self._lost = 0

    def end(self, *_: object) -> None:
        """Lets each worker end its call."""
        self._end.set()

    def run(self) -> None:
        """Until the end."""
        threads = [threading.Thread(target=self._work) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        self._began.wait()
        print("began", flush=True)  # noqa: T201
        for thread in threads:
            thread.join()
        took = sorted(self._answered)
        result = {
            "calls": len(took) + self._lost,
            "failed": len(self._failed_at),
            "lost": self._lost,
            "failing_s": max(self._failed_at) - min(self._failed_at) if self._failed_at else 0,
            "median_ms": 1000 * took[len(took) // 2],
            "p99_ms": 1000 * took[len(took) * 99 // 100],
            "failures": dict(self._failures),
        }
        print(json.dumps(result), flush=True)  # noqa: T201

    def _work(self) -> None:
        connection = self._connection()
        first = True
        for number in itertools.count(1):
            if self._end.is_set():
                return
            if self._call(connection) and first:
                first = False
                self._began.wait()
            if number % KEPT_FOR == 0:
                connection.close()
            time.sleep(PAUSE_S)

    def _call(self, connection: http.client.HTTPConnection) -> bool:
        for pause_s in (*TRIED_AGAIN_AFTER_S, None):
            started = time.monotonic()
            why = self._attempt(connection)
            with self._lock:
                if not why:
                    self._answered.append(time.monotonic() - started)
                    return True
                self._failures[why] += 1
                self._failed_at.append(started)
                self._lost += pause_s is None
            if pause_s is not None:
                time.sleep(pause_s)
        return False

    def _attempt(self, connection: http.client.HTTPConnection) -> str:
        """Why it failed; empty where it was answered. The library connects again where the other side closed."""
        try:
            connection.request("POST", f"{self._url.path}/chat/completions", BODY, self._headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            number = getattr(error, "errno", None)
            return errno.errorcode[number] if number else type(error).__name__
        if answer.status == 200:
            return ""
        return f"{answer.status} {(json.loads(text).get('error') or {}).get('code')}"

    def _connection(self) -> http.client.HTTPConnection:
        assert self._url.hostname is not None
        return http.client.HTTPConnection(self._url.hostname, self._url.port, timeout=TIMEOUT_S)


def main() -> None:
    """Everything."""
    load = Load(sys.argv[1], os.environ["LOAD_KEY"], int(sys.argv[2]))
    signal.signal(signal.SIGTERM, load.end)
    load.run()


if __name__ == "__main__":
    main()
