"""`tradewind kube selftest`: whether an install does what it is for, asked from inside. `helm test` runs it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp

from tradewind.controller import kube
from tradewind.controller.kube import ApiError, Kube, Object, Unreachable

ASK_S = 5
PAUSE_S = 1
"""Seconds between two looks at what does not hold yet."""
SIDECAR = "tradewind"
"""Name of the container that a labelled pod gets."""


class Failed(Exception):
    """What does not hold, as a sentence."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    problem: str
    """Why it does not hold; empty where it does."""


@dataclass(frozen=True)
class Wanted:
    """What to look at."""

    gateways: tuple[str, ...]
    """Base URLs, without `/v1`."""
    trust: Path | None
    """PEM bundle to trust them by; the system's where absent."""
    token: str = field(repr=False)
    """Of audience `tradewind`, by which they know the caller; none is shown where empty."""
    injection: str
    """Namespace in which a labelled pod gets a sidecar; not looked at where empty."""
    within_s: float
    """Seconds until which all must hold."""


async def run(wanted: Wanted) -> list[Check]:
    """Looks at everything, again and again until it holds or the time is over."""
    until = time.monotonic() + wanted.within_s
    trust = ssl.create_default_context(cafile=wanted.trust)
    checks: list[Awaitable[Check]] = []
    for url in wanted.gateways:
        checks.append(_until(f"{url}/readyz", until, partial(_ready, url, trust)))
        checks.append(_until(f"{url}/v1/models", until, partial(_models, url, trust, wanted.token)))
    if wanted.injection:
        connection = await kube.connect()
        try:
            name = f"sidecar in {wanted.injection}"
            injected = _until(name, until, partial(_injected, connection, wanted.injection))
            return list(await asyncio.gather(*checks, injected))
        finally:
            await connection.client.close()  # type: ignore[no-untyped-call]
    return list(await asyncio.gather(*checks))


async def _until(name: str, until: float, look: Callable[[], Awaitable[None]]) -> Check:
    while True:
        try:
            await look()
            return Check(name, "")
        except Failed as failed:
            if time.monotonic() + PAUSE_S > until:
                return Check(name, str(failed))
            await asyncio.sleep(PAUSE_S)


async def _ready(url: str, trust: ssl.SSLContext) -> None:
    status, text = await _get(f"{url}/readyz", trust, {})
    if status != 200:
        raise Failed(f"answers {status}: {text[:200]}")


async def _models(url: str, trust: ssl.SSLContext, token: str) -> None:
    """That the caller is known, which takes gateway, controller and API server; it may have no model yet."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    status, text = await _get(f"{url}/v1/models", trust, headers)
    if status != 200:
        raise Failed(f"answers {status}: {text[:200]}")
    try:
        document = json.loads(text)
        well = document["object"] == "list" and all(isinstance(entry["id"], str) for entry in document["data"])
    except (ValueError, KeyError, TypeError):
        well = False
    if not well:
        raise Failed(f"is no list of models: {text[:200]}")


async def _get(url: str, trust: ssl.SSLContext, headers: dict[str, str]) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as client, client.get(url, ssl=trust) as answer:
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Failed(f"does not answer: {error or type(error).__name__}") from error


async def _injected(connection: Kube, namespace: str) -> None:
    """Makes a pod as a dry run: nothing is stored, but admission is as ever."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    try:
        pod = await connection.request("POST", path, {"dryRun": "All"}, _pod())
    except ApiError as error:
        raise Failed(f"the API server refuses: {error.message}") from None
    except Unreachable as error:
        raise Failed(f"the API server cannot be asked: {error}") from None
    inits = pod["spec"].get("initContainers") or []
    if not any(entry["name"] == SIDECAR and entry.get("restartPolicy") == "Always" for entry in inits):
        raise Failed(f"a pod labelled tradewind.dev/sidecar: enabled has no init container `{SIDECAR}`")
    (app,) = pod["spec"]["containers"]
    if not any(entry["name"] == "OPENAI_BASE_URL" for entry in app.get("env") or ()):
        raise Failed("its container is not told of the sidecar: OPENAI_BASE_URL is absent")


def _pod() -> Object:
    """One that passes Pod Security `restricted`, and asks for a sidecar."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "tradewind-selftest-", "labels": {"tradewind.dev/sidecar": "enabled"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "app", "image": "none", "securityContext": security}],
        },
    }
