"""Every error that Tradewind raises in Python. Leaves say what happened, branches what to do.

    TradewindError                 code, message, path; `retry`: the same call may succeed later or elsewhere
    ├── ClientError                the caller sent something that cannot be served: change the request
    │   ├── InvalidJson · InvalidRequest · UnsupportedContent · InvalidHeader · DialIgnored · HeadTooLarge
    │   ├── BodyTooLarge · Unauthorized · Forbidden · ModelNotFound · NoRoute · NotFound · MethodNotAllowed
    │   └── NoCandidate · RequestTimeout · ClientGone
    ├── UpstreamError              a model's server failed: try again, or elsewhere
    │   ├── UpstreamConnect · UpstreamForbidden · UpstreamTimeout · UpstreamStatus · UpstreamRejected · UpstreamRateLimited
    │   └── UpstreamBroken · UpstreamInvalid · AllResting
    ├── InternalError              Tradewind itself, or what it was given to run, cannot serve now
    │   ├── Overloaded · NoPlan · CredentialMissing · IdentityUnavailable · Draining · DrainTimeout
    │   └── InvalidPlan · InvalidPredictor · PredictorFailed · Internal
    ├── ConfigurationError         resources that were refused, with all their problems
    └── UsageError                 a command used wrongly, or input that cannot be read

The first three branches mirror the list of errors of the Rust core (`core/src/error.rs`), one leaf per
code; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal


class TradewindError(Exception):
    """An error with a stable snake_case code, a sentence, and the place it is about (empty if there is
    none).
    """

    side: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False

    def __init__(self, code: str, message: str, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ClientError(TradewindError):
    """The caller sent something that cannot be served."""

    side = "client"


class InvalidJson(ClientError):
    """The body is not JSON, or is nested too deeply."""


class InvalidRequest(ClientError):
    """A field of the request is missing or has the wrong type."""


class UnsupportedContent(ClientError):
    """A content part that routing and accounting cannot handle yet."""


class InvalidHeader(ClientError):
    """A request header has a value that is not accepted."""


class DialIgnored(ClientError):
    """A dial that the route's strategy would ignore."""


class HeadTooLarge(ClientError):
    """The request line and headers exceed the limit of this gateway."""


class BodyTooLarge(ClientError):
    """The body exceeds the limit of this gateway."""


class Unauthorized(ClientError):
    """No key, or a key that is not known."""


class Forbidden(ClientError):
    """The caller may not use this."""


class ModelNotFound(ClientError):
    """No alias or model of that name that the caller may use."""


class NoRoute(ClientError):
    """No policy takes this call: the conditions of all that could do not hold."""


class NotFound(ClientError):
    """No such path."""


class MethodNotAllowed(ClientError):
    """The path exists, with another method."""


class NoCandidate(ClientError):
    """The route's policies leave no model for this call."""


class RequestTimeout(ClientError):
    """The client did not send its request in time."""

    retry = True


class ClientGone(ClientError):
    """The client left before the answer was complete."""


class UpstreamError(TradewindError):
    """A model's server failed."""

    side = "upstream"
    retry = True


class UpstreamConnect(UpstreamError):
    """No connection to the model's server."""


class UpstreamForbidden(UpstreamError):
    """The model's server is at an address that this gateway does not call."""


class UpstreamTimeout(UpstreamError):
    """The model's server was not in time."""


class UpstreamStatus(UpstreamError):
    """The model's server answered with an error."""


class UpstreamRejected(UpstreamError):
    """The model's server refused our credential or does not know the model."""


class UpstreamRateLimited(UpstreamError):
    """The model's server answered that it is overloaded."""


class UpstreamBroken(UpstreamError):
    """The model's server broke off its answer."""


class UpstreamInvalid(UpstreamError):
    """The model's server answered something that is not HTTP or too large."""


class AllResting(UpstreamError):
    """Every admitted model rests after a failure or is at its concurrency limit."""


class InternalError(TradewindError):
    """Tradewind itself, or its configuration, cannot serve now."""

    retry = True


class Overloaded(InternalError):
    """The gateway has as many calls in flight as its settings allow."""


class NoPlan(InternalError):
    """No plan is loaded yet."""


class CredentialMissing(InternalError):
    """The credential that a model needs has not been delivered to this gateway."""


class IdentityUnavailable(InternalError):
    """Who the caller is cannot be told now: keys have not come from the controller, or it cannot be asked."""


class Draining(InternalError):
    """The gateway is shutting down."""


class DrainTimeout(InternalError):
    """The gateway shut down before the answer was complete."""


class InvalidPlan(InternalError):
    """A plan that does not compile."""

    retry = False


class InvalidPredictor(InternalError):
    """A predictor that cannot be loaded, or was trained on other features."""

    retry = False


class PredictorFailed(InternalError):
    """The predictor could not be run on this call, or gave what is no forecast."""

    retry = False


class Internal(InternalError):
    """A fault of ours."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    code: str
    """Stable snake_case name."""
    message: str
    """What is wrong and what is accepted, as a sentence."""
    path: str = ""
    """Place within the document, such as `spec.models[0].price`."""
    file: str = ""
    """File it stands in; empty if it stands in none."""
    line: int | None = None
    """Line of the file, from 1."""
    accepted: tuple[str, ...] = ()
    """Accepted values, where they are a closed set."""
    severity: Literal["error", "warning"] = "error"
    """Whether it refuses the plan, or only leaves a part of it out."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "accepted": list(self.accepted)}

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigurationError(TradewindError):
    """Resources that were refused, with all their problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("invalid_configuration", "\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class UsageError(TradewindError):
    """A command used wrongly, or input that cannot be read; the sentence names the place."""

    side = "client"

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__("usage", message, path)

    def __str__(self) -> str:
        return self.message


def unknown(what: str, found: str, known: Sequence[str]) -> str:
    """``unknown strategy `cheapst`; expected one of `best`, …``: the one way to refuse a name."""
    return f"unknown {what} `{found[:80]}`; expected one of {listed(known)}"


def listed(names: Sequence[str]) -> str:
    """Names in backticks, with commas."""
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def from_code(code: str, message: str, path: str = "") -> TradewindError:
    """The leaf of a code of the Rust core."""
    kind = by_code().get(code)
    if kind is None:
        return Internal("internal", f"the core raised the unknown code `{code}`: {message}", path)
    return kind(code, message, path)


def by_code() -> dict[str, type[TradewindError]]:
    """The leaf of each code: `InvalidJson` for `invalid_json`."""
    branches: tuple[type[TradewindError], ...] = (ClientError, UpstreamError, InternalError)
    return {code(leaf): leaf for branch in branches for leaf in branch.__subclasses__()}


def code(leaf: type[TradewindError]) -> str:
    """The code of a leaf: its name in snake_case."""
    return "".join(_snake(leaf.__name__))


def _snake(name: str) -> Iterator[str]:
    for at, letter in enumerate(name):
        if letter.isupper() and at > 0:
            yield "_"
        yield letter.lower()
