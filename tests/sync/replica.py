"""A replica of the controller in a process of its own, told by lines: for tests that count its memory, kill it or stop it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self


class Controller:
    """`core.SyncServer` at an address. Tokens are `namespace.account.pod`."""

    def __init__(self, settings: Mapping[str, Any] | None = None, certificate: tuple[bytes, bytes] | None = None) -> None:
        command = [
            sys.executable,
            str(Path(__file__)),
            json.dumps({"gateway_accounts": ["system/gateway"], **(settings or {})}),
        ]
        if certificate is not None:
            command += [part.decode() for part in certificate]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.url = f"{'http' if certificate is None else 'https'}://{self.address}"

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls a method; what it gives as JSON or text. Bytes go as text."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        plain = [argument.decode("latin-1") if isinstance(argument, bytes) else argument for argument in arguments]
        kinds = [isinstance(argument, bytes) for argument in arguments]
        self.process.stdin.write(json.dumps([name, plain, kinds]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def session(self, pod: str) -> dict[str, Any]:
        """The session of a pod; empty where there is none."""
        found: list[dict[str, Any]] = self.call("sessions")
        return next((session for session in found if session["pod"] == pod), {})

    def until(self, holds: Callable[[], bool], seconds: float = 15) -> None:
        """Waits until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.call("sessions")
            time.sleep(0.01)

    def resident_mib(self) -> float:
        """Memory that it holds."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def end(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


def main(settings: str, certificate: list[str]) -> None:
    """Serves, and does what the lines say."""
    from tradewind import core

    def identify(token: str) -> bytes:
        namespace, account, pod = token.split(".")
        return json.dumps({"namespace": namespace, "service_account": account, "pod": pod, "pod_uid": f"uid-{pod}"}).encode()

    server = core.SyncServer(settings.encode(), identify, lambda: None)
    if certificate:
        server.set_certificate(certificate[0].encode(), certificate[1].encode())
    say(server.listen())
    for line in sys.stdin:
        name, plain, kinds = json.loads(line)
        arguments = [value.encode("latin-1") if is_bytes else value for value, is_bytes in zip(plain, kinds, strict=True)]
        given = getattr(server, name)(*arguments)
        say(given.decode() if isinstance(given, bytes) else json.dumps(given))


def say(line: str) -> None:
    """To whoever started this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
