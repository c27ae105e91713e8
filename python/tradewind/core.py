"""The one door into Rust: typed, with Tradewind's own errors."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, cast

from tradewind import _core
from tradewind.errors import TradewindError, from_code

if TYPE_CHECKING:
    from tradewind._core import Call as Call
    from tradewind._core import Mailbox as Mailbox

__all__ = [
    "OWN_GRAPH",
    "Gateway",
    "Graph",
    "Planner",
    "Prediction",
    "Simulator",
    "SimulatorFlags",
    "SyncServer",
    "bench_bodies",
    "bench_decide",
    "bench_http",
    "check_plan",
    "describe_graph",
    "error_codes",
    "feature_names",
    "feature_schema",
    "featurize",
    "issue_certificate",
    "make_ca",
    "onnxruntime_library",
    "plan_id",
    "run_simulator",
    "tables",
    "tokenize",
    "version",
]

tokenize = _core.tokenize
featurize = _core.featurize
feature_names = _core.feature_names
feature_schema = _core.feature_schema


class Prediction(TypedDict):
    """What a predictor says of a text, before any model's profile is looked at. What its graph does not say is empty."""

    difficulty: list[float]
    """One value per head, logit units; larger is harder."""
    latent: list[float]
    """What the direct forecasts of known models weigh."""
    length: list[float]
    """What tells answer lengths apart."""
    similarity: list[float]
    """Cosine to each centroid of the training data."""
    topics: list[float]
    """How likely the text is of each topic; they sum to 1."""
    quality: list[float]
    """Of a graph of a user's own: expected quality by column, from 0 to 1."""
    output_tokens: list[float]
    """Of such a graph that says them: expected tokens of an answer by column."""


class Graph(TypedDict):
    """What an ONNX file is as a predictor."""

    kind: str
    """A row of the core's table `graphs`."""
    inputs: list[str]
    """What it is fed."""
    models: int
    """How many models a graph of a user's own knows: the M of its outputs."""
    output_tokens: bool
    """Whether such a graph says how long models answer."""


OWN_GRAPH = "own/1"
"""The kind of a graph of a user's own."""


def version() -> str:
    """Version of the extension, which is the package's."""
    return _core.__version__


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turns the core's errors into those of `tradewind.errors`."""
    try:
        yield
    except _core.CoreError as error:
        code, message, path = error.args
        raise from_code(code, message, path) from None


def error_codes() -> list[dict[str, Any]]:
    """The core's list of errors: code, side, retry, status, type, about."""
    rows: list[dict[str, Any]] = json.loads(_core.error_codes())
    return rows


def tables() -> dict[str, Any]:
    """The core's tables: strategies, policies, kinds of graphs, capabilities, dialects, executors."""
    found: dict[str, Any] = json.loads(_core.tables())
    return found


def describe_graph(file: bytes) -> Graph:
    """What an ONNX file is as a predictor. Raises `InvalidPredictor` with what was found and what is accepted."""
    with typed_errors():
        described: Graph = json.loads(_core.describe_graph(file))
        return described


def plan_id(plan: bytes) -> str:
    """The id that a plan source has once it is compiled, `sha256:`. Raises `InvalidPlan` where it cannot be read."""
    with typed_errors():
        return _core.plan_id(plan)


def check_plan(plan: bytes, predictors: list[bytes]) -> list[dict[str, Any]]:
    """All problems of a plan source: code, severity, path, message, accepted. Empty if it compiles."""
    with typed_errors():
        problems: list[dict[str, Any]] = json.loads(_core.check_plan(plan, predictors))
        return problems


def onnxruntime_library() -> Path:
    """ONNX Runtime's shared library inside the installed wheel, which has no unversioned link.

    Whoever asks is about to load it, so its telemetry is switched off, which only the environment can do.
    Raises `TradewindError` where the wheel is missing or holds none or several.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    spec = importlib.util.find_spec("onnxruntime")
    places = spec.submodule_search_locations if spec is not None else None
    found = sorted(Path(places[0]).glob("capi/libonnxruntime.so.*")) if places else []
    if len(found) != 1:
        raise TradewindError(
            "invalid_predictor",
            f"found {len(found)} ONNX Runtime libraries in the installed wheel; expected 1",
            "executor",
        )
    return found[0]


def _library(executor: str, graphs: Sequence[bytes]) -> Path | None:
    """Where ONNX Runtime is, if the executor or one of the graphs needs it."""
    needed = executor == "onnxruntime" or any(describe_graph(graph)["kind"] == OWN_GRAPH for graph in graphs)
    return onnxruntime_library() if needed else None


class Planner:
    """A compiled plan that decides in process. Immutable; may be shared between threads."""

    def __init__(self, plan: bytes, predictors: list[bytes], executor: str = "native") -> None:
        library = _library(executor, predictors)
        with typed_errors():
            self._planner = _core.Planner(plan, predictors, executor, library)

    @property
    def id(self) -> str:
        """`sha256:` of the canonical plan source."""
        return self._planner.id

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Problems that did not refuse the plan."""
        found: list[dict[str, Any]] = json.loads(self._planner.warnings)
        return found

    def decide(
        self,
        body: bytes,
        *,
        tenant: str = "default",
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        willingness_to_pay_usd: float | None = None,
        max_cost_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
        id: str = "",
    ) -> bytes:
        """Decides on a chat completions body; a decision as JSON. Raises `ClientError` and its kin.

        `tenant` and `labels` are the caller's; `namespace` is whose routes it addresses, by default its own.
        """
        with typed_errors():
            return self._planner.decide(
                body,
                tenant=tenant,
                namespace=namespace,
                labels=dict(labels) if labels is not None else None,
                willingness_to_pay_usd=willingness_to_pay_usd,
                max_cost_usd=max_cost_usd,
                at_ns=at_ns,
                seed=seed,
                id=id,
            )

    def decide_lines(self, lines: bytes, *, tenant: str = "default", at_ns: int = 0, seed: int = 0) -> bytes:
        """Decides on JSON Lines, in order; an error is a line too."""
        return self._planner.decide_lines(lines, tenant=tenant, at_ns=at_ns, seed=seed)

    def decide_again(self, capture: bytes, id: str) -> bytes:
        """Decides a recorded call again, from the `capture` of an outcome as JSON."""
        with typed_errors():
            return self._planner.decide_again(capture, id)

    def classify(self, text: str) -> Prediction:
        """What the predictor says of a text, before any model is looked at."""
        with typed_errors():
            return cast(Prediction, self._planner.classify(text))

    def cost(self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Nano-dollars of an answer at a model's prices."""
        with typed_errors():
            return self._planner.cost(model, input_tokens, output_tokens, cached_tokens)


class Gateway:
    """The data plane in process: one engine with threads of its own, shared by native listener and ASGI app.

    Thread-safe. `settings` are those of the gateway (`gateway/src/settings.rs`), each with a default; unknown
    ones are refused. Without a plan, calls are answered 503 `no_plan` until `swap` brings one.
    """

    def __init__(
        self,
        plan: bytes | None = None,
        predictors: Sequence[bytes] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        keys: bytes | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        given = dict(settings or {})
        if given.get("onnxruntime_library") is None:  # Any plan to come may name a graph that needs it.
            given["onnxruntime_library"] = str(onnxruntime_library())
        with typed_errors():
            self._gateway = _core.Gateway(json.dumps(given).encode(), list(predictors))
        if keys is not None:
            self.set_keys(keys)
        if credentials is not None:
            self.set_credentials(credentials)
        if plan is not None:
            self.swap(plan)

    def listen(self, address: str | None = None) -> str:
        """Starts the native door at `host:port`, by default the settings' `listen`; gives the address.

        Raises `Forbidden` for a host beyond loopback without keys, `Internal` where it cannot be had.
        """
        with typed_errors():
            return self._gateway.listen(address)

    def listen_tls(self) -> str | None:
        """Starts the TLS door at the settings' `tls_port`; gives its address, `None` where they want no such door.

        Handshakes fail until a controller gives a certificate. Raises `Internal` where the port cannot be had.
        """
        with typed_errors():
            return self._gateway.listen_tls()

    def listen_health(self) -> str | None:
        """Starts the health listener at the settings' `health_listen`; gives its address, `None` where they want none.

        Raises `Internal` where it cannot be had.
        """
        with typed_errors():
            return self._gateway.listen_health()

    def leave(self) -> None:
        """Says from now on that the gateway leaves: `/readyz` is 503, and each answer closes its connection. Calls are taken
        until `drain`.
        """
        self._gateway.leave()

    def follow(self) -> None:
        """Serves the last plan of the controllers that the settings name, if one was kept, and polls them until `drain`.

        Raises `ClientError` where a URL, or a folder of the settings, cannot be used.
        """
        with typed_errors():
            self._gateway.follow()

    def swap(self, plan: bytes, predictors: Sequence[bytes] = (), *, source: str = "memory") -> dict[str, Any]:
        """Takes a plan source from the next call on; gives its id (`plan`) and `warnings`.

        `predictors` are added to those that are loaded; `source` is where it came from, for `/plan`. Raises
        `InvalidPlan` with all problems; then the old plan stays, and `/plan` names the refusal.
        """
        with typed_errors():
            status: dict[str, Any] = json.loads(self._gateway.swap(plan, list(predictors), source))
            return status

    def refuse(self, problems: Sequence[Mapping[str, Any]], *, source: str = "memory") -> None:
        """Lets `/plan` name the problems of an edit that never became a plan source; the plan stays."""
        with typed_errors():
            self._gateway.refuse(json.dumps(list(problems)).encode(), source)

    def set_keys(self, keys: bytes | None) -> None:
        """Takes callers' keys, `{"keys": [{"sha256", "tenant", "name", "labels"}]}`; `None` for none."""
        with typed_errors():
            self._gateway.set_keys(keys)

    def set_credentials(self, credentials: Mapping[str, str]) -> None:
        """Takes upstream credentials by the plan's name, `namespace/secret/key`. They are never logged."""
        with typed_errors():
            self._gateway.set_credentials(dict(credentials))

    def plan_status(self) -> dict[str, Any]:
        """What `GET /plan` answers: plan id, source, when it was loaded, warnings, the last refusal."""
        status: dict[str, Any] = json.loads(self._gateway.plan_status())
        return status

    def drain(self) -> bool:
        """Takes no new calls, waits `drain_s` for those in flight, cuts the rest, closes the doors of its own and the ledger.

        Gives whether all of them ended in time. Blocks, with the GIL released; may be called again.
        """
        return self._gateway.drain()

    def mailbox(self) -> Mailbox:
        """Where the calls of one event loop say that they have news."""
        return _core.Mailbox()

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, in bytes."""
        return self._gateway.max_body_bytes

    @property
    def body_read_timeout_s(self) -> float:
        """Seconds in which a request body must be complete."""
        return self._gateway.body_read_timeout_s

    def call(
        self,
        mailbox: Mailbox,
        id: int,
        method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        peer: str | None,
    ) -> Call:
        """Hands the engine a whole request; `mailbox.ready()` names `id` when `Call.take()` has something."""
        return self._gateway.call(mailbox, id, method, target, headers, body, peer)

    def fail(self, mailbox: Mailbox, id: int, code: Literal["body_too_large", "request_timeout"]) -> Call:
        """Answers what happened before there was a whole request, as the native door does."""
        return self._gateway.fail(mailbox, id, code)


class SimulatorFlags(TypedDict, total=False):
    """The flags of `tradewind simulate`, which says what they mean; one that is absent has its default there."""

    host: str
    port: int
    models: str | None
    first_token_ms: int
    token_rate: float
    fail: list[str]
    seed: int
    answers: Path | None
    log: Path | None
    api_key: str | None


class Simulator:
    """An OpenAI-compatible upstream that answers without a model, on a thread of its own."""

    def __init__(self, **flags: Unpack[SimulatorFlags]) -> None:
        with typed_errors():
            self._simulator = _core.Simulator(**flags)

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return self._simulator.url

    def totals(self) -> dict[str, Any]:
        """What it served, in all and by model."""
        totals: dict[str, Any] = json.loads(self._simulator.totals())
        return totals

    def stop(self) -> dict[str, Any]:
        """Lets answers in flight end for two seconds, then stops; gives the totals. May be called again."""
        totals: dict[str, Any] = json.loads(self._simulator.stop())
        return totals

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def run_simulator(on_ready: Callable[[str], None], **flags: Unpack[SimulatorFlags]) -> dict[str, Any]:
    """Runs a simulator on this thread until SIGINT or SIGTERM; `on_ready` gets its URL. Gives the totals."""
    with typed_errors():
        totals: dict[str, Any] = json.loads(_core.run_simulator(on_ready, **flags))
        return totals


class SyncServer:
    """The controller's end of the channel to data planes: plans, keys and trust out, acknowledgements in.

    Thread-safe, on threads of its own from `listen` on. `settings` are those of `gateway/src/sync/server/settings.rs` as
    JSON, each with a default. `identify(token)` gives the JSON of who holds a ServiceAccount
    token, `{"namespace", "service_account", "pod", "pod_uid", "node"}`: a `ValueError` is answered 401, whatever else it
    raises 503; it is remembered by the token's hash. `changed()` says, on a thread of its own, that a session appeared,
    acknowledged, refused or fell silent; it is not called again until `sessions` was read, and 5 ms after that at the
    soonest.
    """

    def __init__(self, settings: bytes, identify: Callable[[str], bytes], changed: Callable[[], None]) -> None:
        with typed_errors():
            self._server = _core.SyncServer(settings, identify, changed)

    def set_certificate(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Serves this certificate from the next handshake on. Without one before `listen`, plain HTTP is served."""
        with typed_errors():
            self._server.set_certificate(chain_pem, key_pem)

    def listen(self) -> str:
        """Listens and serves; gives `host:port`."""
        with typed_errors():
            return self._server.listen()

    def publish(self, lineage: str, serial: int, plan: bytes) -> str:
        """Gives every data plane its rendering of a plan source; gives the id for gateways of this version."""
        with typed_errors():
            return self._server.publish(lineage, serial, plan)

    def offer(self, pod_uid: str, lineage: str, serial: int, plan: bytes) -> str:
        """Gives a plan source to one data plane, as a trial; gives the id for gateways of this version.

        Several may try at once. A refusal names the id of that data plane's own rendering: its session's `expected`.
        """
        with typed_errors():
            return self._server.offer(pod_uid, lineage, serial, plan)

    def withdraw(self) -> None:
        """Forgets all offers. The data planes keep what they took."""
        self._server.withdraw()

    def set_keys(self, keys: bytes) -> None:
        """Takes callers' keys and upstream credentials; a sidecar gets its own namespace's credentials only.

        `{"callers": [{sha256, tenant, name, labels}], "credentials": {"ns/secret/key": value}, "revision"?: n}`; of what
        several replicas give, the largest revision counts.
        """
        with typed_errors():
            self._server.set_keys(keys)

    def set_trust(self, bundle_pem: bytes) -> None:
        """Takes the certificates that data planes are to trust."""
        with typed_errors():
            self._server.set_trust(bundle_pem)

    def set_gateway_certificate(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Takes the certificate of the TLS door of gateways; no sidecar gets it.

        Raises `ClientError` where key and chain do not fit.
        """
        with typed_errors():
            self._server.set_gateway_certificate(chain_pem, key_pem)

    def add_predictor(self, onnx: bytes) -> str:
        """Offers a predictor for download; gives its digest."""
        with typed_errors():
            return self._server.add_predictor(onnx)

    def keep_predictors(self, digests: Sequence[str]) -> None:
        """Forgets predictors that are neither among these nor named by the plan that is published or by an offer."""
        self._server.keep_predictors(list(digests))

    def sessions(self) -> bytes:
        """Every session, as a JSON list: who it is, what it has (`lineage`, `serial`, `plan`, `keys`, `trust`), what it
        refused (`reject`), what it is to have (`expected`), which features its version `lacks`, whether a poll is
        `parked`, and the seconds since the last one (`silent_s`).
        """
        return self._server.sessions()

    def counters(self) -> bytes:
        """Figures since the start, as JSON: polls, updates, unchanged, predictors, identified, bytes, refused by code; and the
        connections that are open.
        """
        return self._server.counters()

    def stop(self) -> None:
        """Ends parked polls and closes. Blocks for moments; may be called again."""
        self._server.stop()


def make_ca(common_name: str, days: int) -> tuple[bytes, bytes]:
    """An authority of one's own: certificate and key as PEM."""
    with typed_errors():
        return _core.make_ca(common_name, days)


def issue_certificate(ca_pem: bytes, ca_key_pem: bytes, names: Sequence[str], hours: int) -> tuple[bytes, bytes]:
    """A certificate for DNS names and IP addresses that an authority signs: chain and key as PEM."""
    with typed_errors():
        return _core.issue_certificate(ca_pem, ca_key_pem, list(names), hours)


def bench_bodies(lines: bytes | None, count: int, seed: int) -> dict[int, list[bytes]]:
    """Distinct bodies by prompt tokens: a user's JSON Lines, or `count` seeded ones of each size."""
    with typed_errors():
        return _core.bench_bodies(lines.decode() if lines is not None else None, count, seed)


def bench_decide(plan: bytes, predictors: list[bytes], executor: str, bodies: dict[int, list[bytes]]) -> dict[str, Any]:
    """Times body bytes → decision in Rust, by size: p50_us, p90_us, p99_us, n, per_s_core."""
    library = _library(executor, predictors)
    with typed_errors():
        timings: dict[str, Any] = json.loads(_core.bench_decide(plan, predictors, executor, bodies, library))
        return timings


def bench_http(
    url: str,
    headers: dict[str, str],
    bodies: list[bytes],
    *,
    model: str | None,
    connections: int,
    stream: bool,
    warm_up_s: float,
    seconds: float,
    cpu: int | None,
) -> dict[str, Any]:
    """Sends bodies over keep-alive connections for some seconds: sent, requests, errors, rps, percentiles in µs."""
    with typed_errors():
        report: dict[str, Any] = json.loads(
            _core.bench_http(
                url,
                headers,
                bodies,
                model=model,
                connections=connections,
                stream=stream,
                warm_up_s=warm_up_s,
                seconds=seconds,
                cpu=cpu,
            )
        )
        return report
