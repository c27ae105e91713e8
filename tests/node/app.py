"""An application that asks its sidecar without pause, until SIGTERM and some seconds after it: the sidecar must outlive it.

Runs in a pod with the standard library alone. Tells of its first call, of each failing and mending, and last what it counted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}).encode()
GOES_ON_S = 3.0


def ask() -> str:
    """Why it failed; empty where it was answered."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(URL, BODY, {"content-type": "application/json"}), timeout=5
        ) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return repr(error)
    return ""


def main() -> None:
    """Everything."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    calls = failed = after = 0
    failing_since: float | None = None
    until: float | None = None
    while until is None or time.monotonic() < until:
        started = time.monotonic()
        why = ask()
        calls += 1
        failed += bool(why)
        after += until is not None
        if calls == 1:
            say(first=why or "answered")
        if why and failing_since is None:
            failing_since = started
            say(failing=why)
        if not why and failing_since is not None:
            say(mended_after_s=time.monotonic() - failing_since, failed=failed)
            failing_since = None
        if told.is_set() and until is None:
            until = time.monotonic() + GOES_ON_S
        time.sleep(0.01)
    say(calls=calls, failed=failed, after_sigterm=after)


def say(**what: object) -> None:
    """A line of JSON."""
    json.dump(what, sys.stdout)
    print(flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
