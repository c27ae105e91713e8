"""The one door into Rust: typed, with Tradewind's own errors."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from tradewind import _core
from tradewind.errors import TradewindError, from_code

__all__ = [
    "Planner",
    "Prediction",
    "check_plan",
    "error_codes",
    "feature_names",
    "feature_schema",
    "featurize",
    "onnxruntime_library",
    "tables",
    "tokenize",
    "version",
]

tokenize = _core.tokenize
featurize = _core.featurize
feature_names = _core.feature_names
feature_schema = _core.feature_schema


class Prediction(TypedDict):
    """What a predictor says of a text, before any model is looked at."""

    difficulty: list[float]
    """One value per head, logit units; larger is harder."""
    latent: list[float]
    """What tells models apart."""
    length: list[float]
    """What tells answer lengths apart."""
    similarity: list[float]
    """Cosine to each centroid of the training data."""


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
    """The core's tables: strategies, policies, capabilities, dialects, executors."""
    found: dict[str, Any] = json.loads(_core.tables())
    return found


def check_plan(plan: bytes, predictors: list[bytes]) -> list[dict[str, Any]]:
    """All problems of a plan source: code, severity, path, message, accepted. Empty if it compiles."""
    with typed_errors():
        problems: list[dict[str, Any]] = json.loads(_core.check_plan(plan, predictors))
        return problems


def onnxruntime_library() -> Path:
    """ONNX Runtime's shared library inside the installed wheel, which has no unversioned link.

    Raises `TradewindError` where the wheel is missing or holds none or several.
    """
    spec = importlib.util.find_spec("onnxruntime")
    places = spec.submodule_search_locations if spec is not None else None
    found = sorted(Path(places[0]).glob("capi/libonnxruntime.so.*")) if places else []
    if len(found) != 1:
        raise TradewindError("invalid_predictor", f"found {len(found)} ONNX Runtime libraries in the installed wheel; expected 1", "executor")
    return found[0]


class Planner:
    """A compiled plan that decides in process. Immutable; may be shared between threads."""

    def __init__(self, plan: bytes, predictors: list[bytes], executor: str = "native") -> None:
        library = onnxruntime_library() if executor == "onnxruntime" else None
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
        willingness_to_pay_usd: float | None = None,
        max_cost_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
        id: str = "",
    ) -> bytes:
        """Decides on a chat completions body; a decision as JSON. Raises `ClientError` and its kin."""
        with typed_errors():
            return self._planner.decide(
                body,
                tenant=tenant,
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
