"""The gateway as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators import COMMAND, PRICES, Upstream
from tradewind.artifacts import outcome
from tradewind.artifacts.outcome import Outcome

MODEL = """
  - name: {name}
    upstream: {{url: "{url}"}}
    price: {{inputPerMillion: "{prices[0]}", outputPerMillion: "{prices[1]}"}}
    limits: {{contextTokens: 100000, outputTokens: 10000}}
    quality: {{profile: {profile}}}"""
RESOURCES = """
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: pool, namespace: default}}
spec:
  models:{models}
---
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: route, namespace: default}}
spec:
  poolRefs: [{{name: pool}}]
  strategy: {{type: Best}}
"""


@dataclass
class Gateway:
    """`tradewind serve`, with both doors."""

    folder: Path
    process: subprocess.Popen[bytes]
    opened: dict[str, str] = field(default_factory=dict)

    def url(self, door: str) -> str:
        """Base URL of a door, without `/v1`."""
        return self.opened[door]

    def stop(self) -> list[dict[str, Any]]:
        """SIGTERM: calls in flight end, outcomes are written. Gives the ledger."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        found = list(outcome.read(self.folder / "ledger"))
        assert all(isinstance(line, Outcome) for line in found)
        return [line.document for line in found if isinstance(line, Outcome)]


@contextmanager
def gateway(folder: Path, predictor_folder: Path, preferred: Upstream, other: Upstream) -> Iterator[Gateway]:
    """Serves two upstreams, one of which is preferred; ends the process."""
    (folder / "config").mkdir()
    write(folder, resources(preferred, other))
    files = ["--config", str(folder / "config"), "--predictor", str(predictor_folder), "--ledger-dir", str(folder / "ledger")]
    command = [COMMAND, "serve", "--json", "--port", "0", "--asgi-port", "0", "--workers", "1", *files]
    with (
        (folder / "serve.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "serve.log").read_text()
            yield Gateway(folder, process, json.loads(line))
        finally:
            process.kill()


def resources(preferred: Upstream, other: Upstream) -> str:
    """A pool of both, and a policy for the best of it."""
    profiles = ((preferred, "strong"), (other, "tiny"))
    named = sorted(profiles, key=lambda pair: pair[0].name)
    models = [MODEL.format(name=found.name, url=found.url, prices=PRICES, profile=profile) for found, profile in named]
    return RESOURCES.format(models="".join(models))


def write(folder: Path, text: str) -> None:
    """Puts the resources in place at once, as an editor does."""
    draft = folder / "resources.draft"
    draft.write_text(text)
    draft.replace(folder / "config" / "resources.yaml")
