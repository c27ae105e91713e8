"""`tradewind serve`: the gateway behind its doors, fed from files or by controllers, until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.cli import options, output
from tradewind.cli.ledger import FOLDER
from tradewind.cli.options import Executor
from tradewind.errors import TradewindError, UsageError

if TYPE_CHECKING:
    import uvicorn

    from tradewind.serving import Serving
    from tradewind.settings import Settings


class Door(StrEnum):
    """Which listeners start."""

    native = "native"
    asgi = "asgi"
    both = "both"


class Capture(StrEnum):
    """What an outcome keeps of a call."""

    none = "none"
    features = "features"
    text = "text"


class LogLevel(StrEnum):
    """Least level that is logged."""

    error = "error"
    warning = "warning"
    info = "info"
    debug = "debug"


def serve(
    config: Annotated[Path | None, typer.Option(help="Folder or file of resources. The shipped example where absent.")] = None,
    predictor: options.Predictor = None,
    predictor_cache: options.PredictorCache = None,
    keys: Annotated[Path | None, typer.Option(help="File of caller keys. Without it only loopback is served.")] = None,
    secrets_dir: Annotated[Path | None, typer.Option(help="Folder of upstream credentials, `secret/key` below it.")] = None,
    controllers: Annotated[
        list[str] | None, typer.Option(help="URL of a controller, `https://host:port`, in place of files; may be repeated.")
    ] = None,
    controller_token: Annotated[Path | None, typer.Option(help="File of the token that controllers know this pod by.")] = None,
    controller_trust: Annotated[Path | None, typer.Option(help="Certificates (PEM) to trust controllers by.")] = None,
    plan_cache: Annotated[Path | None, typer.Option(help="Folder for the controllers' last plan that served well.")] = None,
    bootstrap_plan: Annotated[Path | None, typer.Option(help="Plan to begin with: `plan.json` or `plan.json.gz`.")] = None,
    keys_cache: Annotated[Path | None, typer.Option(help="Folder in memory (tmpfs) for the controllers' keys.")] = None,
    allow_upstreams: Annotated[
        list[str] | None,
        typer.Option(
            help="Network, `127.0.0.0/8`, that a gateway with controllers may call though it is its own; may be repeated."
        ),
    ] = None,
    ledger_dir: Annotated[Path | None, typer.Option(help="Folder of the outcome log. `ledger` where absent.")] = None,
    door: Annotated[Door | None, typer.Option(help="Which listeners start.", show_default="both")] = None,
    host: Annotated[str | None, typer.Option(help="Address of both doors.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Native port.", show_default="4000")] = None,
    asgi_port: Annotated[int | None, typer.Option(min=0, max=65535, help="ASGI port.", show_default="4001")] = None,
    executor: Annotated[Executor | None, typer.Option(help="What runs the predictor.", show_default="native")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Threads of the native door.", show_default="one a core")] = None,
    capture: Annotated[Capture | None, typer.Option(help="What an outcome keeps of a call.", show_default="features")] = None,
    drain_s: Annotated[
        int | None, typer.Option(min=0, help="Seconds for calls in flight after SIGTERM.", show_default="30")
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least level that is logged.", show_default="info")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout when the doors are open.")] = False,
) -> None:
    """Serve the model API. Every flag has a variable: TRADEWIND_PORT for --port; more are in
    `tradewind.settings`.
    """
    from tradewind import serving
    from tradewind.settings import from_environment

    settings = from_environment(
        os.environ,
        config=config,
        predictor=predictor,
        predictor_cache=predictor_cache,
        keys=keys,
        secrets_dir=secrets_dir,
        controllers=options.listed(controllers),
        controller_token=controller_token,
        controller_trust=controller_trust,
        plan_cache=plan_cache,
        bootstrap_plan=bootstrap_plan,
        keys_cache=keys_cache,
        allow_upstreams=options.listed(allow_upstreams),
        ledger_dir=ledger_dir,
        door=door and door.value,
        host=host,
        port=port,
        asgi_port=asgi_port,
        executor=executor and executor.value,
        workers=workers,
        capture=capture and capture.value,
        drain_s=drain_s,
        log_level=log_level and log_level.value,
    )
    if settings.ledger_dir is None:
        settings = replace(settings, ledger_dir=FOLDER)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    check_host(settings)
    output.need_folder(settings.ledger_dir)
    stop = threading.Event()
    with stopped_by(stop, signal.SIGTERM, signal.SIGINT):
        run(serving.start(settings), stop, as_json)


def run(serving: Serving, stop: threading.Event, as_json: bool) -> None:
    """Opens the doors, watches the files, and drains when told to stop."""
    from tradewind import serving as files

    settings = serving.settings
    opened: dict[str, str] = {}
    shim: Shim | None = None
    # First: whoever waits for the doors may ask there.
    health = listened("health listener", serving.gateway.listen_health, health="http")
    if settings.door in ("native", "both"):
        opened |= listened("native door", serving.gateway.listen, native="http")
    opened |= listened("TLS door", serving.gateway.listen_tls, tls="https")
    if settings.door in ("asgi", "both"):
        shim = Shim(serving)
        opened["asgi"] = shim.start(stop)
    watcher = threading.Thread(target=files.watch, args=(serving, stop), name="watch")
    watcher.start()
    announce(serving, opened, health, as_json)
    stop.wait()
    serving.gateway.leave()
    if settings.linger_s:
        output.words().print(f"stopping: calls are taken for {settings.linger_s} s still")
        time.sleep(settings.linger_s)
    output.words().print("stopping: calls in flight are finished first")
    if shim is not None:
        shim.stop()
    in_time = serving.gateway.drain()
    if shim is not None:
        shim.join()
    watcher.join()
    if not in_time:
        output.complain(f"calls were still in flight after {settings.drain_s} s and were broken off")


def listened(what: str, listen: Callable[[], str | None], **scheme: str) -> dict[str, str]:
    """Opens a listener; gives its URL by its name, or nothing where the settings do not want it."""
    try:
        address = listen()
    except TradewindError as error:
        raise UsageError(f"the {what} cannot listen: {error.message}") from None
    return {name: f"{kind}://{address}" for name, kind in scheme.items() if address is not None}


def announce(serving: Serving, opened: dict[str, str], health: dict[str, str], as_json: bool) -> None:
    """Says what is served, where, and to whom."""
    words = output.words()
    for name, url in opened.items():
        words.print(f"{name} door: {url}/v1")
    for url in health.values():
        words.print(f"health and metrics: {url}/metrics")
    if serving.settings.controllers:
        words.print(f"plans, keys and trust come from {', '.join(serving.settings.controllers)}")
    elif serving.settings.keys is None:
        words.print("without keys: only callers on this machine are served, as namespace `default`")
    if as_json:
        output.document({**opened, **health, "plan": serving.gateway.plan_status().get("plan")})


class Shim:
    """The ASGI door on a thread of its own."""

    def __init__(self, serving: Serving) -> None:
        import uvicorn

        from tradewind import asgi
        from tradewind.asgi import bounds

        settings = serving.settings
        head_timeout_s = settings.header_read_timeout_ms / 1000
        self._address = (settings.host, settings.asgi_port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                asgi.create_app(serving.gateway),
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                http=bounds.protocol(settings.max_connections, head_timeout_s),
                timeout_keep_alive=max(1, round(head_timeout_s)),
                # Longer than the gateway's, which cuts the calls that are left and says so in their outcomes.
                timeout_graceful_shutdown=settings.drain_s + 1,
            )
        )
        # Signals are the command's; uvicorn would take them only on the main thread.
        self._server.capture_signals = _no_signals  # type: ignore[method-assign]
        self._thread: threading.Thread | None = None

    def start(self, stop: threading.Event) -> str:
        """Listens; gives the URL. If the server ends by itself, so does the command."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        try:
            listener = socket.create_server(self._address, family=family, backlog=2048)
        except OSError as error:
            host, port = self._address
            raise UsageError(f"the ASGI door cannot listen: {host}:{port}: {error.strerror}") from None
        self._thread = threading.Thread(target=_until_end, args=(self._server, listener, stop), name="asgi")
        self._thread.start()
        host, port = listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Takes no new connections."""
        self._server.should_exit = True

    def join(self) -> None:
        """Waits for the last answer."""
        if self._thread is not None:
            self._thread.join()


def check_host(settings: Settings) -> None:
    """Without keys anybody who reaches the port could spend the pool's money."""
    if settings.keys is not None or settings.controllers or settings.host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(f"--host {settings.host} needs --keys: without keys only loopback is served", "--host")


@contextmanager
def stopped_by(stop: threading.Event, *signals: signal.Signals) -> Iterator[None]:
    """Sets an event on the first signal; a second one ends the process at once, whatever it waits for."""
    before = {number: signal.getsignal(number) for number in signals}

    def end(_number: int, _frame: object) -> None:
        for number in signals:
            # Not Python's own handler: it would run only when the main thread comes back from its wait.
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in signals:
        signal.signal(number, end)
    try:
        yield
    finally:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


def _until_end(server: uvicorn.Server, listener: socket.socket, stop: threading.Event) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
