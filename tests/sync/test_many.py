"""A thousand data planes: what they cost while they wait, and how soon they hear."""

from __future__ import annotations

import asyncio
import json
import ssl
import time

from replica import Controller

from tradewind import core

PLANES = 1_000
POLL = json.dumps({"schema": 3, "version": "0.1.0", "lineage": "", "serial": 0})


async def parked(
    host: str, port: int, number: int, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    head = [
        "POST /v1/sync HTTP/1.1",
        "host: x",
        f"authorization: Bearer system.gateway.g{number}",
        f"content-length: {len(POLL)}",
    ]
    writer.write(("\r\n".join([*head, "", POLL])).encode())
    await writer.drain()
    return reader, writer


async def heard(controller: Controller, context: ssl.SSLContext) -> tuple[float, float, float]:
    """MiB at the start, MiB with all of them parked, seconds until the last one heard of a plan."""
    host, _, port = controller.address.rpartition(":")
    first = await parked(host, int(port), PLANES, context)
    before = controller.resident_mib()
    gate = asyncio.Semaphore(50)

    async def one(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            return await parked(host, int(port), number, context)

    planes = [first, *await asyncio.gather(*(one(number) for number in range(PLANES)))]
    await asyncio.to_thread(
        controller.until, lambda: sum(session["parked"] for session in controller.call("sessions")) == len(planes)
    )
    waiting = controller.resident_mib()
    begun = time.monotonic()
    plan = {"schema": "tradewind.plan/v3", "profiles": {}, "models": [], "routes": []}
    controller.call("publish", "l", 1, json.dumps(plan).encode())
    async with asyncio.timeout(30):
        lines = await asyncio.gather(*(reader.readline() for reader, _ in planes))
    spent = time.monotonic() - begun
    assert {line.split()[1] for line in lines} == {b"200"}
    for _, writer in planes:
        writer.close()
    return before, waiting, spent


def test_a_thousand_parked_data_planes_cost_less_than_50_mib_and_hear_within_two_seconds() -> None:
    authority, key = core.make_ca("test", 1)
    context = ssl.create_default_context(cadata=authority.decode())
    with Controller(certificate=core.issue_certificate(authority, key, ["127.0.0.1"], 1)) as controller:
        before, waiting, spent = asyncio.run(heard(controller, context))
    assert waiting - before < 50, (before, waiting)
    assert spent < 2, spent
