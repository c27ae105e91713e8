"""Services without kube-proxy and cluster DNS: names in a file, and connections to ready endpoints, by EndpointSlices."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import rest
from cluster import Cluster
from kubelet import local
from rest import Api, Object

WATCH_S = 2.0
"""Seconds after which everything is listed anew."""
CHUNK = 1 << 16


@dataclass(frozen=True)
class Endpoint:
    """A pod behind a Service, as an EndpointSlice tells."""

    address: str
    ports: tuple[tuple[str, int], ...]
    ready: bool
    terminating: bool
    serving: bool


class Services:
    """A context manager that follows the EndpointSlices of a namespace. `hosts` is the file of names: of a Service without an
    address the ready pods, as cluster DNS gives them, at once.
    """

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.namespace = namespace
        self.hosts = folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.changes: list[Callable[[], None]] = []
        """Called after each change."""
        self._api = Api(cluster.url, cluster.certificate, cluster.tokens["admin"])
        self._slices: dict[str, Object] = {}
        self._headless: set[str] = set()
        self._stop = threading.Event()
        follow = (self._stop, self._follow)
        self._thread = threading.Thread(target=rest.persist, args=follow, name=f"services of {namespace}", daemon=True)

    def __enter__(self) -> Services:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._api.close()

    def of(self, service: str) -> list[Endpoint]:
        """The endpoints of a Service, those that are not ready too."""
        found = []
        for each in list(self._slices.values()):
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == service:
                ports = tuple((port.get("name") or "", port["port"]) for port in each.get("ports") or [])
                found += [_endpoint(row, ports) for row in each.get("endpoints") or []]
        return found

    def _follow(self) -> None:
        services = self._api.get(rest.path("services", self.namespace))["items"]
        self._headless = {found["metadata"]["name"] for found in services if found["spec"].get("clusterIP") == "None"}
        where = rest.path("endpointslices", self.namespace)
        listed = self._api.get(where)
        self._slices = {found["metadata"]["name"]: found for found in listed["items"]}
        self._tell()
        for kind, found in self._api.watch(where, WATCH_S, resourceVersion=listed["metadata"]["resourceVersion"]):
            if self._stop.is_set() or kind == "ERROR":
                return
            if kind == "DELETED":
                self._slices.pop(found["metadata"]["name"], None)
            else:
                self._slices[found["metadata"]["name"]] = found
            self._tell()

    def _tell(self) -> None:
        lines = ["127.0.0.1 localhost"]
        for service in sorted(self._headless):
            names = f"{service}.{self.namespace}.svc {service}.{self.namespace}.svc.cluster.local"
            lines += [f"{local(found.address)} {names}" for found in self.of(service) if found.ready]
        text = "".join(f"{line}\n" for line in lines).encode()
        if text != self.hosts.read_bytes():
            # In place, for it is mounted; in one write, for it is read meanwhile.
            with self.hosts.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), text, 0)
                file.truncate(len(text))
        for changed in self.changes:
            changed()


class Proxy:
    """A context manager: a port of this machine that stands for a port of a Service. Each new connection goes to a ready
    endpoint by chance, and stays there until one side ends it, as with kube-proxy.
    """

    def __init__(self, services: Services, service: str, port: str) -> None:
        self.connections = 0
        self.unserved = 0
        """Connections for which there was no endpoint, or none that took them."""
        self.url = ""
        self._services = services
        self._service = service
        self._port = port
        self._opened = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy of {service}", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._opened.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._opened.set()
        self._loop.run_forever()
        self._loop.run_until_complete(_close(server))
        self._loop.close()

    def _target(self) -> tuple[str, int] | None:
        endpoints = self._services.of(self._service)
        # Where none is ready, those that end and still serve.
        wanted = [found for found in endpoints if found.ready] or [
            found for found in endpoints if found.serving and found.terminating
        ]
        if not wanted:
            return None
        chosen = random.choice(wanted)
        return local(chosen.address), dict(chosen.ports)[self._port]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        target = self._target()
        try:
            if target is None:
                raise ConnectionRefusedError
            there = await asyncio.open_connection(*target)
        except OSError:
            self.unserved += 1
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        finally:
            writer.close()
            there[1].close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    serving = asyncio.all_tasks() - {asyncio.current_task()}
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    # A transport lets go of its socket in the loop's next turn.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, until its end, which is passed on too."""
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


def _endpoint(row: Object, ports: tuple[tuple[str, int], ...]) -> Endpoint:
    conditions = row.get("conditions") or {}
    # What is not said is true, but for the end.
    ready, serving = conditions.get("ready"), conditions.get("serving")
    return Endpoint(
        address=row["addresses"][0],
        ports=ports,
        ready=ready is not False,
        serving=serving is not False,
        terminating=conditions.get("terminating") is True,
    )
