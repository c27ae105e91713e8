"""Settings: facts of one process, read once from flags and variables (`TRADEWIND_*`, `TRADEWIND_CONTROLLER_*`), then frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from tradewind.errors import UsageError, unknown

Door = Literal["native", "asgi", "both"]
Executor = Literal["native", "onnxruntime"]
Capture = Literal["none", "features", "text"]
SyncFault = Literal["none", "ack_unswapped", "never_ack"]
LogLevel = Literal["error", "warning", "info", "debug"]

PREFIX = "TRADEWIND_"
CONTROLLER_PREFIX = "TRADEWIND_CONTROLLER_"


@dataclass(frozen=True)
class Settings:
    """One field a setting: unit, default, reason. A flag wins over its variable, `TRADEWIND_` and the name
    in capitals.

    What the gateway reads has the name and default that it has there (`gateway/src/settings.rs`).
    """

    config: Path | None = None
    """File or folder of resources; the shipped example where absent."""
    predictor: Path | None = None
    """Folder of the predictor artifact; the shipped one where absent."""
    predictor_cache: Path | None = None
    """Folder of predictors that policies name by URL, fetched once each; `~/.cache/tradewind/predictors` where absent."""
    keys: Path | None = None
    """File of caller keys (hashes). Without it only loopback is served."""
    secrets_dir: Path | None = None
    """Folder of upstream credentials: `secret/key` below it."""
    controllers: tuple[str, ...] = ()
    """URLs of controllers, `https://host:port`, with commas between them: they give plans, keys and trust, in place of files.
    Each replica that a host resolves to is polled. Plain `http` to loopback only."""
    controller_token: Path | None = None
    """File of the token that controllers know this pod by; read for each poll."""
    controller_trust: Path | None = None
    """PEM bundle of certificates to trust controllers by, until they give another; those of the system where absent."""
    controller_trust_pem: str = ""
    """The bundle itself, PEM, in place of the file `controller_trust`."""
    plan_cache: Path | None = None
    """Folder for the last plan that has served well, so that a restart needs no controller."""
    plan_cache_after_s: int = 10
    """Seconds that a plan serves before it is kept in `plan_cache`."""
    bootstrap_plan: Path | None = None
    """Plan to begin with while there is no other: `plan.json`, `plan.json.gz`, or the folder of one; it may be missing."""
    keys_cache: Path | None = None
    """Folder in memory (tmpfs) for keys and credentials, so that a restart needs no controller."""
    allow_upstreams: tuple[str, ...] = ()
    """Networks, with commas between them, that may be called though they are this machine's, a controller's, the API server's
    or nobody's. A gateway without controllers calls everything; through one with controllers, whoever may write a pool would
    reach what only the gateway can."""
    api_server: str = ""
    """Host of the API server, which a gateway with controllers does not call; where empty, `KUBERNETES_SERVICE_HOST`."""
    hosts: tuple[str, ...] = ()
    """Addresses of upstream hosts, `host=address` with commas between them, that are not asked of DNS; a host may have several.
    Outside of a cluster this is where a `service` is."""
    sync_fault: SyncFault = "none"
    """A fault to play, for conformance tests of controllers: plans are acknowledged unserved, or served unacknowledged."""
    ledger_dir: Path | None = None
    """Folder of the outcome log. `tradewind serve` takes `ledger`; a mounted app writes no file unasked."""
    door: Door = "both"
    """Which listeners start: the native one is fast, the ASGI one can be mounted."""
    host: str = "127.0.0.1"
    """Address of both doors. Loopback, for nothing else is safe without keys."""
    port: int = 4000
    """TCP port of the native door; 0 takes a free one."""
    asgi_port: int = 4001
    """TCP port of the ASGI door; 0 takes a free one."""
    tls_port: int | None = None
    """TCP port of the TLS door, on `host`; 0 takes a free one, none is no such door. Controllers give its certificate, which is
    held in memory only; until they do, handshakes fail."""
    health_listen: str = ""
    """Address, `host:port`, of `/healthz`, `/readyz`, `/startupz`, `/metrics` and `/plan` alone, for kubelet and Prometheus:
    plain HTTP, no keys. Where empty, only the doors tell."""
    startup_wait_s: int = 30
    """Seconds after which `/startupz` is 200 though no plan is loaded: a pod's app starts without controllers then."""
    log_level: LogLevel = "info"
    """Least level that is logged, to stderr."""
    executor: Executor = "native"
    """What runs the predictor; both agree to 1e-4, the native one is faster."""
    workers: int = 0
    """Threads of the native door, each with its own connections; 0 is one a core."""
    capture: Capture = "features"
    """What an outcome keeps of a call: `text` stores prompts, so it is no default."""
    drain_s: int = 30
    """Seconds that calls in flight have when the doors have closed: what Kubernetes grants."""
    linger_s: int = 0
    """Seconds from SIGTERM in which calls are still taken, each answered with `connection: close`, while `/readyz` is 503; then
    the doors close. A connection of the native door whose last answer began before stays for as long after its end. In a pod,
    2: whoever sends calls hears late that it leaves."""
    max_body_bytes: int = 10 << 20
    """Bytes of a request body: longer than any context window."""
    max_header_bytes: int = 64 << 10
    """Bytes of request line and headers; more are answered 431."""
    max_connections: int = 16_384
    """Client connections of a door at once. More wait to be accepted at the native door, and are closed at the ASGI door of
    `serve`; another ASGI server has its own limits."""
    max_calls_in_flight: int = 4_096
    """Calls at once; more are answered 429 instead of waiting."""
    header_read_timeout_ms: int = 30_000
    """Milliseconds for a request head, and for an idle connection (at the ASGI door of `serve` in whole seconds)."""
    body_read_timeout_ms: int = 30_000
    """Milliseconds for a request body."""
    connect_timeout_ms: int = 2_000
    """Milliseconds for an upstream to accept a connection, TLS included."""
    max_idle_connections: int = 256
    """Idle connections kept per upstream and worker."""
    idle_connection_ms: int = 60_000
    """Milliseconds after which an idle upstream connection is not used again."""
    max_answer_bytes: int = 32 << 20
    """Bytes of a unary answer of an upstream."""
    rest_ms: int = 1_000
    """Milliseconds that a model rests after its first failure; doubles with each."""
    max_rest_ms: int = 30_000
    """Longest rest in milliseconds, also of what an upstream asks for."""
    max_sessions: int = 100_000
    """Sessions remembered at once (`x-tradewind-session`)."""
    session_ttl_s: int = 3_600
    """Seconds after which an unused session is forgotten."""
    second_tier_timeout_ms: int = 100
    """Milliseconds that a call waits for a second tier, before it goes on with what the first has said."""
    ledger_rotate_bytes: int = 64 << 20
    """Bytes after which the outcome log goes on in another file."""

    def gateway(self) -> dict[str, Any]:
        """What the gateway reads, as JSON has it; the rest is Python's."""
        document = {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self) if entry.name not in _OURS}
        if self.workers == 0:
            del document["workers"]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return {"listen": f"{host}:{self.port}", **document}


# Keys, credentials and plans are given to the gateway as they change, not as settings.
_OURS = {"config", "predictor", "predictor_cache", "keys", "secrets_dir", "door", "host", "port", "asgi_port", "log_level"}


@dataclass(frozen=True)
class ControllerSettings:
    """Settings of `tradewind controller`; a variable is `TRADEWIND_CONTROLLER_` and the name in capitals."""

    namespace: str = ""
    """Namespace of the install: of Lease, plan, trust and gateways. Where empty, the pod's own, else `tradewind-system`."""
    identity: str = ""
    """Name of this replica in the Lease; where empty, the host's name, which in a pod is the pod's."""
    account: str = "tradewind-controller"
    """Name of the controller's own ServiceAccount, for the commands that messages give."""
    listen: str = "127.0.0.1:8443"
    """Address of the sync channel."""
    tls: bool = True
    """Whether the sync channel speaks TLS; without it, only on loopback."""
    tls_secret: str = ""
    """A Secret with `tls.crt`, `tls.key`, `ca.crt` of somebody else; where empty, the controller is its own authority."""
    gateway_tls_secret: str = ""
    """A Secret with `tls.crt`, `tls.key` for gateways' TLS doors, beside `tls_secret`, whose `ca.crt` sidecars trust it by.
    Where empty, the controller's own authority issues one for the host of `gateway_url`, if that is https; with `tls_secret`,
    gateways get none."""
    names: str = ""
    """Names and addresses under which data planes reach this replica, separated by commas: what its certificate is for."""
    metrics_listen: str = "127.0.0.1:8081"
    """Address of `/healthz`, `/readyz` and `/metrics`."""
    gateway_accounts: str = ""
    """ServiceAccounts that gateways run as, `namespace/name`, separated by commas; where empty, `tradewind-gateway` of the
    install's namespace. Any other pod is a sidecar."""
    gateway_selector: str = "app.kubernetes.io/name=tradewind,app.kubernetes.io/component=gateway"
    """Label selector of gateway pods in the install's namespace."""
    gateway_url: str = ""
    """URL up to and with `/v1` by which sidecars reach a gateway, which adds the keys of other namespaces' pools. Its host is
    what the certificate of gateways' TLS doors is for."""
    audience: str = "tradewind"
    """Audience that data planes' ServiceAccount tokens must be for."""
    predictor: Path | None = None
    """Folder of the default predictor artifact; the shipped one where absent."""
    predictor_cache: Path | None = None
    """Folder that fetched predictors are kept in; a temporary one where absent."""
    trust_predictor_urls: bool = False
    """Whether predictors may be fetched from this machine and its network segment too, which only tests want."""
    plan_name: str = "tradewind-plan"
    """ConfigMap of the plan."""
    lease_name: str = "tradewind-controller"
    """Lease of the leader."""
    ca_secret: str = "tradewind-ca"
    """Secret of the controller's certificate authority."""
    trust_name: str = "tradewind-trust"
    """ConfigMap of the public bundle."""
    resync_s: int = 60
    """Seconds between complete lists, which remove what a lost event left behind, and until a
    revoked RoleBinding is noticed."""
    certificates_s: int = 600
    """Seconds between looks at certificates: a renewal of the authority goes on by one step a look."""
    log_level: LogLevel = "info"
    """Least level that is logged, to stderr."""


Kind = TypeVar("Kind", Settings, ControllerSettings)


def from_environment(environment: Mapping[str, str], **flags: Any) -> Settings:
    """Settings of a data plane from the variables of a process and the flags that were given (`None` was not).

    An unknown `TRADEWIND_` variable is an error: a misspelt one would silently do nothing.
    """
    theirs = _variables(ControllerSettings, CONTROLLER_PREFIX)
    ours = {name: text for name, text in environment.items() if name not in theirs}
    # In a pod, Kubernetes says where it is.
    ours.setdefault(f"{PREFIX}API_SERVER", environment.get("KUBERNETES_SERVICE_HOST", ""))
    return _read(Settings, PREFIX, ours, flags)


def controller_from_environment(environment: Mapping[str, str], **flags: Any) -> ControllerSettings:
    """Settings of the controller, as `from_environment`."""
    theirs = _variables(Settings, PREFIX)
    return _read(
        ControllerSettings, CONTROLLER_PREFIX, {name: text for name, text in environment.items() if name not in theirs}, flags
    )


def _read(kind: type[Kind], prefix: str, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Kind:
    known = _variables(kind, prefix)
    links = _service_links(environment)
    given: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(prefix) or variable in links:
            continue
        if variable not in known:
            raise UsageError(unknown("environment variable", variable, sorted(known)), variable)
        given[known[variable]] = _parse(kind, known[variable], text, variable)
    given |= {name: _checked(kind, name, value, name) for name, value in flags.items() if value is not None}
    return kind(**given)


def _variables(kind: type[Kind], prefix: str) -> dict[str, str]:
    return {prefix + entry.name.upper(): entry.name for entry in fields(kind)}


def _service_links(environment: Mapping[str, str]) -> set[str]:
    """Variables that a kubelet sets for each Service of a pod's namespace, `TRADEWIND_GATEWAY_SERVICE_HOST` and others of
    `tradewind-gateway`. They are none of ours.
    """
    services = [name.removesuffix("_SERVICE_HOST") for name in environment if name.endswith("_SERVICE_HOST")]
    return {
        variable
        for variable, text in environment.items()
        for service in services
        if variable.startswith(service)
        and (link := _LINK.fullmatch(variable, len(service)))
        and (link[1] is None or "://" in text)
    }


# `_PORT` is a link only as a URL: `TRADEWIND_PORT` is a setting of ours.
_LINK = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(?:_.+)?|(_PORT)|_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_PROTO|_PORT|_ADDR)?")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _parse(kind: type[Kind], name: str, text: str, where: str) -> Any:
    wanted = get_type_hints(kind)[name]
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{where} is `{text}`; expected `true` or `false`", where)
        return text.lower() == "true"
    number = next((number for number in (int, float) if wanted is number or number in get_args(wanted)), None)
    if number is not None:
        try:
            return _checked(kind, name, number(text), where)
        except ValueError:
            what = "an integer" if number is int else "a number"
            raise UsageError(f"{where} is `{text}`; expected {what}", where) from None
    if wanted == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return _checked(kind, name, Path(text) if Path in get_args(wanted) else text, where)


def _checked(kind: type[Kind], name: str, value: Any, where: str) -> Any:
    accepted = get_args(get_type_hints(kind)[name])
    if isinstance(value, str) and accepted and value not in accepted:
        raise UsageError(unknown(name, value, [str(choice) for choice in accepted]), where)
    if isinstance(value, int | float) and value < 0:
        raise UsageError(f"{where} is {value}; expected 0 or more", where)
    return value
