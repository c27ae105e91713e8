"""The predictors that policies name by URL, fetched beside the passes."""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tradewind.artifacts import download, predictor
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.controller.store import Custom
from tradewind.errors import TradewindError, UsageError

FETCHERS = 2
"""Predictors fetched at once."""
FETCH_AGAIN_S = 30
"""Seconds after which a predictor that could not be fetched is tried again."""


class Fetcher:
    """What is there of them, and what is on its way. `fetched` is called where that has changed."""

    def __init__(self, default: Artifact, folder: Path | None, fetched: Callable[[], None], *, trusting: bool) -> None:
        self.default = default
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tradewind-predictors-")  # Removed with us.
            folder = Path(self._temporary.name)
        self._folder = folder
        self._fetched = fetched
        # Tenants write these URLs, and the controller asks in its own name: it reaches no place for them that they could not.
        self._reachable = download.anywhere if trusting else download.beyond_this_machine
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._found: dict[str, Artifact] = {}
        self._failed: dict[str, str] = {}
        # Threads of their own: a host that answers slowly must not keep passes waiting for one.
        self._threads = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")

    def for_policies(self, customs: Iterable[Custom], added: Callable[[bytes], str]) -> Predictors:
        """What is there by now of what policies name; the rest is on its way, and what none names any more is forgotten."""
        named: set[str] = set()
        for custom in customs:
            if b'"sha256"' not in custom.spec:
                continue
            first = json.loads(custom.spec).get("predictor") or {}
            for wanted in (first, first.get("secondTier") or {}):
                if "url" not in wanted or "sha256" not in wanted:
                    continue
                key = (wanted["url"], "sha256:" + wanted["sha256"].removeprefix("sha256:"))
                named.add(key[1])
                if key[1] not in self._found and key not in self._tasks:
                    self._tasks[key] = asyncio.create_task(self._fetch(key, added))
        for known in (self._found, self._failed):
            for digest in known.keys() - named:
                del known[digest]
        return Predictors(self.default, dict(self._found), dict(self._failed))

    async def _fetch(self, key: tuple[str, str], added: Callable[[bytes], str]) -> None:
        url, digest = key
        try:
            loop = asyncio.get_running_loop()
            fetch = functools.partial(predictor.fetch, url, digest, self._folder, self._reachable)
            artifact = await loop.run_in_executor(self._threads, fetch)
            if artifact.own:  # A gateway would refuse it, and with it the plan of everyone.
                raise UsageError("it is a graph of a user's own, and gateways in a cluster load no ONNX Runtime to run it", url)
            await asyncio.to_thread(added, artifact.graph)
        except TradewindError as error:
            self._failed[digest] = error.message
            self._fetched()
            await asyncio.sleep(FETCH_AGAIN_S)
        else:
            self._failed.pop(digest, None)
            self._found[digest] = artifact
        del self._tasks[key]
        self._fetched()
