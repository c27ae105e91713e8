"""The Rust core as Python sees it. Import `tradewind.core`, the one door; this stub is its manual.

Bytes in, bytes out: bodies and documents cross as JSON, so nothing is converted twice. Every call that does work releases
the GIL. Errors are `CoreError(code, message, path)`, which `tradewind.core` turns into the typed ones of `tradewind.errors`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import final

__all__ = [
    "Call",
    "CoreError",
    "Gateway",
    "Mailbox",
    "Planner",
    "Simulator",
    "SyncServer",
    "__version__",
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
    "plan_id",
    "run_simulator",
    "tables",
    "tokenize",
]

__version__: str

class CoreError(Exception):
    """An error of the core: (code, message, path)."""

def tokenize(text: str) -> list[int]:
    """WordPiece ids without special tokens: at most the first and the last 256; `[0]` for a text without words."""

def featurize(texts: list[str]) -> tuple[bytes, bytes, bytes]:
    """Features of n texts as little-endian arrays: ids int32[total], offsets int64[n + 1], surface float32[n, F]."""

def feature_names() -> list[str]:
    """Names of the F surface features, in order."""

def feature_schema() -> str:
    """`sha256:` of how features are computed; a predictor trained on another schema is refused."""

def error_codes() -> str:
    """The list of errors as JSON: `[{code, side, retry, status, type, about}]`."""

def describe_graph(file: bytes) -> str:
    """What an ONNX file is as a predictor, as JSON: `{kind, inputs, models, output_tokens}`; `models` counts the columns of a
    graph of a user's own. One that is no predictor is refused.
    """

def tables() -> str:
    """The core's tables as JSON: strategies, policies, kinds of graphs, capabilities, dialects, executors."""

def plan_id(plan: bytes) -> str:
    """The id that a plan source has once it is compiled, `sha256:`."""

def check_plan(plan: bytes, predictors: list[bytes]) -> str:
    """All problems of a plan source as JSON: `[{code, severity, path, message, accepted}]`; empty if it compiles."""

@final
class Planner:
    """A compiled plan. Immutable; may be shared between threads."""

    def __new__(
        cls, plan: bytes, predictors: list[bytes], executor: str = "native", library: str | Path | None = None
    ) -> Planner:
        """Compiles a plan source with the ONNX files of its predictors.

        `executor` is `native` or `onnxruntime`; the latter and graphs of a user's own need the path of ONNX Runtime's library.
        """

    @property
    def id(self) -> str:
        """`sha256:` of the canonical plan source."""

    @property
    def warnings(self) -> str:
        """Problems that did not refuse the plan, as JSON."""

    def decide(
        self,
        body: bytes,
        *,
        tenant: str = "default",
        namespace: str | None = None,
        labels: dict[str, str] | None = None,
        willingness_to_pay_usd: float | None = None,
        max_cost_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
        id: str = "",
    ) -> bytes:
        """Decides on a chat completions body; gives a decision as JSON. USD per request; time in Unix nanoseconds.

        `tenant` and `labels` are the caller's; `namespace` is whose routes it addresses, by default its own.
        """

    def decide_lines(self, lines: bytes, *, tenant: str = "default", at_ns: int = 0, seed: int = 0) -> bytes:
        """Decides on JSON Lines `{"id", "body" | "text", "willingness_to_pay_usd"?, "max_cost_usd"?,
        "template_bytes"?}`, in order. The last one is the reading of an earlier decision: what was left out of its text.

        Each output line is a decision or `{"id", "error": {code, message, path}}`.
        """

    def decide_again(self, capture: bytes, id: str) -> bytes:
        """Decides a recorded call again, from the `capture` of an outcome as JSON."""

    def classify(self, text: str) -> dict[str, list[float]]:
        """What the predictor says of a text: difficulty, latent, length, similarity, quality, output_tokens; those that it does
        not say are empty.
        """

    def cost(self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Nano-dollars of an answer at a model's prices; `model` is an id or its last part."""

@final
class Gateway:
    """An engine with threads of its own, which the native listener and the ASGI app share. Thread-safe."""

    def __new__(cls, settings: bytes, predictors: list[bytes]) -> Gateway:
        """`settings` as JSON, each with a default; starts threads and serves nothing yet."""

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, in bytes."""

    @property
    def body_read_timeout_s(self) -> float:
        """Seconds in which a request body must be complete."""

    def listen(self, address: str | None = None) -> str:
        """Starts the native listener; gives its address."""

    def listen_tls(self) -> str | None:
        """Starts the TLS door of the settings, if they want one; gives its address."""

    def listen_health(self) -> str | None:
        """Starts the health listener of the settings, if they want one; gives its address."""

    def leave(self) -> None:
        """Says from now on that the gateway leaves; calls are taken still."""

    def follow(self) -> None:
        """Serves what was kept of the controllers of the settings, if anything was, and polls them until `drain`."""

    def swap(self, plan: bytes, predictors: list[bytes], source: str) -> str:
        """Takes a plan source; gives its id and warnings as JSON. A bad one raises and the old one stays."""

    def refuse(self, problems: bytes, source: str) -> None:
        """Remembers problems (a JSON list) of an edit that never became a plan source."""

    def set_keys(self, keys: bytes | None) -> None:
        """Takes callers' keys as JSON."""

    def set_credentials(self, credentials: dict[str, str]) -> None:
        """Takes upstream credentials by name."""

    def plan_status(self) -> bytes:
        """What `GET /plan` answers, as JSON."""

    def drain(self) -> bool:
        """Refuses new calls, waits for those in flight, cuts the rest, closes listener and ledger.

        Gives whether all ended in time.
        """

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
        """Hands the engine a whole request; does not block. `target` is path and query as they came, percent-encoded."""

    def fail(self, mailbox: Mailbox, id: int, code: str) -> Call:
        """Answers what happened before there was a whole request: `body_too_large` or `request_timeout`."""

@final
class Mailbox:
    """Where calls say that they have news: one for each event loop.

    Rust threads never run Python: they add an id to a list and, if it was empty, make a file descriptor readable.
    """

    def __new__(cls) -> Mailbox: ...
    def fileno(self) -> int:
        """Readable while `ready` has something; for `loop.add_reader`."""

    def ready(self) -> list[int]:
        """Ids of calls with news since the last time; an id may stand there for news that was taken already."""

@final
class Call:
    """A request in the engine. Dropping or cancelling it breaks off the upstream call."""

    def take(self) -> tuple[int | None, list[tuple[bytes, bytes]] | None, bytes, bool] | None:
        """News: status and headers (once, at the start), the body bytes since the last time, whether more will come.

        `None` if there is no news yet. While more than 256 KiB wait to be taken, nothing more is read from the upstream.
        Raises `ConnectionAbortedError` where the answer broke off so that the client must see it.
        """

    def cancel(self) -> None:
        """The client left."""

@final
class Simulator:
    """An OpenAI-compatible upstream on a thread of its own."""

    def __new__(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        models: str | None = None,
        first_token_ms: int = 0,
        token_rate: float = 0.0,
        fail: list[str] = ...,
        seed: int = 0,
        answers: str | Path | None = None,
        log: str | Path | None = None,
        api_key: str | None = None,
    ) -> Simulator:
        """Binds and serves. The arguments are the flags of `tradewind simulate`."""

    @property
    def url(self) -> str:
        """`http://host:port`."""

    def totals(self) -> str:
        """What it served, as JSON."""

    def stop(self) -> str:
        """Lets answers in flight end for two seconds, then stops; gives the totals as JSON."""

def run_simulator(
    on_ready: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: str | None = None,
    first_token_ms: int = 0,
    token_rate: float = 0.0,
    fail: list[str] = ...,
    seed: int = 0,
    answers: str | Path | None = None,
    log: str | Path | None = None,
    api_key: str | None = None,
) -> str:
    """Runs a simulator on this thread until SIGINT or SIGTERM; gives the totals as JSON."""

@final
class SyncServer:
    """The controller's end of the channel to data planes, on threads of its own. Thread-safe; every method releases the GIL."""

    def __new__(cls, settings: bytes, identify: Callable[[str], bytes], changed: Callable[[], None]) -> SyncServer:
        """`settings` as JSON, each with a default (`gateway/src/sync/server/settings.rs`).

        `identify(token)` gives JSON `{"namespace", "service_account", "pod", "pod_uid", "node"}`; a `ValueError` is answered
        401, whatever else it raises 503. `changed()` is called, on a thread of its own, when a session appeared, acknowledged,
        refused or fell silent; not again until `sessions()` was read, and 5 ms after that at the soonest.
        """

    def set_certificate(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Serves this certificate from the next handshake on. Without one before `listen`, plain HTTP is served."""

    def listen(self) -> str:
        """Listens and serves; gives `host:port`."""

    def publish(self, lineage: str, serial: int, plan: bytes) -> str:
        """Gives every data plane its rendering of a plan source; gives the id for gateways of this version."""

    def offer(self, pod_uid: str, lineage: str, serial: int, plan: bytes) -> str:
        """Gives a plan source to one data plane, as a trial; gives the id for gateways of this version."""

    def withdraw(self) -> None:
        """Forgets all offers. The data planes keep what they took."""

    def set_keys(self, keys: bytes) -> None:
        """Takes `{"callers": [{sha256, tenant, name, labels}], "credentials": {"ns/secret/key": value}, "revision"?: n}`."""

    def set_trust(self, bundle_pem: bytes) -> None:
        """Takes the certificates that data planes are to trust."""

    def set_gateway_certificate(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Takes the certificate of the TLS door of gateways; no sidecar gets it."""

    def add_predictor(self, onnx: bytes) -> str:
        """Offers a predictor for download; gives its digest."""

    def keep_predictors(self, digests: list[str]) -> None:
        """Forgets predictors that are neither among these nor named by what is published or offered."""

    def sessions(self) -> bytes:
        """Every session as JSON."""

    def counters(self) -> bytes:
        """Figures as JSON."""

    def stop(self) -> None:
        """Ends parked polls and closes. Blocks for moments; may be called again."""

def make_ca(common_name: str, days: int) -> tuple[bytes, bytes]:
    """An authority of one's own: certificate and key as PEM."""

def issue_certificate(ca_pem: bytes, ca_key_pem: bytes, names: list[str], hours: int) -> tuple[bytes, bytes]:
    """A certificate for DNS names and IP addresses that an authority signs: chain and key as PEM."""

def bench_bodies(lines: str | None, count: int, seed: int) -> dict[int, list[bytes]]:
    """Distinct bodies by prompt tokens: of JSON Lines, or `count` seeded ones of 20, 100, 500 and 2,000 tokens each."""

def bench_decide(
    plan: bytes, predictors: list[bytes], executor: str, bodies: dict[int, list[bytes]], library: str | Path | None = None
) -> str:
    """Times body bytes → decision in Rust, by size, as JSON: p50_us, p90_us, p99_us, n, per_s_core."""

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
) -> str:
    """Sends bodies over keep-alive connections for some seconds after one to warm up; figures as JSON."""
