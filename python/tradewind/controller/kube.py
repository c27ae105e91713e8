"""The API server, by path: plain JSON in and out, over the client library's configuration, TLS and tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

log = logging.getLogger("tradewind.controller")

Object = dict[str, Any]

REQUEST_S = 10.0
"""Seconds for an answer; a hanging API server must not hang the controller."""
PAGE = 50
"""Objects of one page of a list: at 20 models a pool, 2 MB of JSON, and twenty times that as values."""
WATCH_S = 290
"""Seconds after which a watch is asked for anew, as the API server itself does; a query may say another."""
SILENT_S = 75
"""Seconds without an event or bookmark (one a minute) after which a watch is dead."""

BACKOFFS = (0.2, 0.5, 1.0, *[2.0] * 300)
"""Seconds between kopf's attempts to watch, ten minutes in all: its own grow to 21 s, in which no edit would be seen."""

APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused: its status code, reason and sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """The API server could not be asked."""


@dataclass(frozen=True)
class Kube:
    """A connection to the API server."""

    client: ApiClient
    permitted: tuple[str, ...] = ()
    """Paths that our own Roles let us read, whatever others permit."""

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
    ) -> Object:
        """Sends a request. Raises `ApiError` for a refusal, `Unreachable` where there is no answer."""
        response = await self._send(method, path, query, body, content, aiohttp.ClientTimeout(total=REQUEST_S))
        try:
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            response.release()
        if response.status >= 400:
            raise _refusal(response.status, text)
        try:
            document: Object = json.loads(text) if text else {}
        except ValueError as error:
            raise Unreachable(f"{method} {path}: the answer is no JSON") from error
        return document

    async def get(self, path: str) -> Object | None:
        """One object; none where there is none."""
        try:
            return await self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def items(
        self, path: str, query: Mapping[str, str] | None = None, cut: Callable[[Object], Any] = lambda body: body
    ) -> tuple[list[Any], str]:
        """All objects of a list, each cut down to what is kept of it before the next page comes, and the version they are of: a
        consistent read.
        """
        while True:
            try:
                return await self._pages(path, query or {}, cut)
            except ApiError as error:
                if error.status != 410:  # The list took longer than the API server keeps its pages.
                    raise

    async def _pages(self, path: str, query: Mapping[str, str], cut: Callable[[Object], Any]) -> tuple[list[Any], str]:
        found: list[Any] = []
        asked = {**query, "limit": str(PAGE)}
        while True:
            page = await self.request("GET", path, asked)
            found += map(cut, page["items"])
            following = page["metadata"].get("continue")
            if not following:
                return found, page["metadata"]["resourceVersion"]
            asked["continue"] = following

    async def knows_roles(self) -> bool:
        """Whether the API server can say what is permitted: one that has just started refuses whatever it is asked."""
        for path in self.permitted:
            try:
                await self.request("GET", path, {"limit": "1"})
            except ApiError as error:
                if error.status != 404:
                    return False
            except Unreachable:
                return False
        return True

    async def watch(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[tuple[str, Object]]:
        """What changes after a version, until the API server ends the watch. Raises `ApiError` 410 for one that is too old."""
        asked = {
            "timeoutSeconds": str(WATCH_S),
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_S, sock_read=SILENT_S)
        response = await self._send("GET", path, asked, None, "application/json", timeout)
        try:
            if response.status >= 400:
                raise _refusal(response.status, await response.read())
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(int(status.get("code", 500)), str(status.get("reason", "")), str(status.get("message", "")))
                yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"watch {path}: {error or type(error).__name__}") from error
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content: str,
        patience: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            _, url, sent, _, _ = await self.client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self.client.rest_client.request(method, url, headers=sent, body=body, _request_timeout=patience)  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError, ConfigException) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        response: aiohttp.ClientResponse = answer.response
        return response


def _refusal(status: int, text: bytes) -> ApiError:
    """What stands before an API server, and the server itself when it is busy, refuse in plain text."""
    try:
        document = json.loads(text)
        return ApiError(status, str(document["reason"]), str(document["message"]))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "", text[:200].decode(errors="replace").strip() or f"status {status}")


async def connect() -> Kube:
    """The API server of the cluster this runs in, else that of the kubeconfig. Raises `ConfigException`."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # Watches hold their connections; unbounded, they cannot starve the rest.
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return Kube(ApiClient(configuration))


@dataclass(frozen=True)
class Informer:
    """Follows a list: `replace` gets all of it, at the start and whenever events may have been missed, so that nothing stays
    that is gone.
    """

    kube: Kube
    path: str
    query: Mapping[str, str]
    replace: Callable[[list[Object], int], None]
    """Gets all objects, and the version that they are of."""
    apply: Callable[[str, Object], None]
    forbidden: Callable[[ApiError], None]
    """Called where we may not read it; asked again every `FORBIDDEN_S`."""

    async def run(self) -> None:
        """Follows until cancelled."""
        attempt, refused = 0, False
        while True:
            try:
                found, version = await self.kube.items(self.path, self.query)
                self.replace(found, int(version))
                attempt, refused = 0, False
                await self._follow(version)
            except ApiError as error:
                if error.status == 403 and refused:
                    self.forbidden(error)
                    await asyncio.sleep(FORBIDDEN_S if attempt < FORBIDDEN_SOON else FORBIDDEN_LATER_S * random.uniform(0.5, 1))
                    attempt += 1
                elif error.status == 403 and await self.kube.knows_roles():
                    refused = True  # If it says so again.
                elif error.status != 410:
                    attempt = await backoff(attempt)
            except Unreachable:
                attempt = await backoff(attempt)
            except Exception:  # One odd answer must not end the watch, which nobody would miss.
                log.exception("the watch of %s begins anew", self.path)
                attempt = await backoff(attempt)

    async def _follow(self, version: str) -> None:
        while True:
            async for kind, found in self.kube.watch(self.path, self.query, version):
                version = found["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    self.apply(kind, found)


FORBIDDEN_S = 5.0
"""Seconds between looks at what we may not read: how soon a new RoleBinding is noticed, in the first minutes."""
FORBIDDEN_SOON = 24
"""Looks after which nobody seems to mean to permit it."""
FORBIDDEN_LATER_S = 60.0
"""Seconds between looks from then on, so that hundreds of closed namespaces cost little."""


async def backoff(attempt: int) -> int:
    """Waits before the next attempt: 0.1 s, doubling to 5 s, with jitter so that replicas do not march in step."""
    await asyncio.sleep(min(5.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))
    return attempt + 1
