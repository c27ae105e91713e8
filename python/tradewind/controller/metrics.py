"""The controller's metrics, all of them, and the small server that shows them beside probes and sessions."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

PASSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """One set a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.leader = Gauge("tradewind_controller_leader", "Whether this replica leads.", registry=registry)
        self.passes = Histogram(
            "tradewind_controller_pass_seconds", "Time of a pass, compilation included.", buckets=PASSES, registry=registry
        )
        self.failures = Counter(
            "tradewind_controller_failures", "What was tried in vain and is tried again.", ["what"], registry=registry
        )
        self.publishes = Counter("tradewind_controller_publishes", "Offered plans by result.", ["result"], registry=registry)
        self.serial = Gauge("tradewind_controller_plan_serial", "Serial of the published plan.", registry=registry)
        self.statuses = Counter("tradewind_controller_status_writes", "Statuses written.", registry=registry)
        self.objects = Gauge("tradewind_controller_objects", "Objects seen, by kind.", ["kind"], registry=registry)
        self.ghosts = Counter("tradewind_controller_ghosts", "Objects whose deletion only a list told.", registry=registry)
        self.forbidden = Counter(
            "tradewind_controller_forbidden", "Refusals of the API server to show Secrets or ConfigMaps.", registry=registry
        )
        self.laggards = Counter(
            "tradewind_controller_trust_laggards",
            "Sessions that a renewal of the authority no longer waits for.",
            registry=registry,
        )
        self.sessions = Gauge("tradewind_controller_sessions", "Sessions by role.", ["role"], registry=registry)
        self.refused = Gauge(
            "tradewind_controller_sync_refused", "Polls that the sync channel refused, by code.", ["code"], registry=registry
        )
        self.acknowledged = Histogram(
            "tradewind_controller_acknowledged_seconds",
            "From publishing until the last Ready gateway acknowledged.",
            buckets=PASSES,
            registry=registry,
        )


async def serve(
    metrics: Metrics, address: str, ready: Callable[[], bool], collect: Callable[[], None], sessions: Callable[[], bytes]
) -> web.AppRunner:
    """Answers `/healthz`, `/readyz`, `/metrics` and `/sessions` until the runner is cleaned up."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ready" if ready() else "starting"}, status=200 if ready() else 503)

    async def exposition(_: web.Request) -> web.Response:
        collect()
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def who(_: web.Request) -> web.Response:
        return web.Response(body=b'{"sessions":' + sessions() + b"}", content_type="application/json")

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposition), web.get("/sessions", who)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    return runner
