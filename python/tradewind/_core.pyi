"""The Rust core as Python sees it. Import `tradewind.core`, the one door; this stub is its manual.

Bytes in, bytes out: bodies and documents cross as JSON, so nothing is converted twice. Every call that does work releases
the GIL. Errors are `CoreError(code, message, path)`, which `tradewind.core` turns into the typed ones of `tradewind.errors`.
"""

from pathlib import Path
from typing import final

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

def tables() -> str:
    """The core's tables as JSON: strategies, policies, capabilities, dialects, executors."""

def check_plan(plan: bytes, predictors: list[bytes]) -> str:
    """All problems of a plan source as JSON: `[{code, severity, path, message, accepted}]`; empty if it compiles."""

@final
class Planner:
    """A compiled plan. Immutable; may be shared between threads."""

    def __new__(
        cls, plan: bytes, predictors: list[bytes], executor: str = "native", library: str | Path | None = None
    ) -> Planner:
        """Compiles a plan source with the ONNX files of its predictors.

        `executor` is `native` or `onnxruntime`; the latter needs the path of ONNX Runtime's library.
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
        willingness_to_pay_usd: float | None = None,
        max_cost_usd: float | None = None,
        at_ns: int = 0,
        seed: int = 0,
        id: str = "",
    ) -> bytes:
        """Decides on a chat completions body; gives a decision as JSON. USD per request; time in Unix nanoseconds."""

    def decide_lines(self, lines: bytes, *, tenant: str = "default", at_ns: int = 0, seed: int = 0) -> bytes:
        """Decides on JSON Lines `{"id", "body" | "text", "willingness_to_pay_usd"?, "max_cost_usd"?}`, in order.

        Each output line is a decision or `{"id", "error": {code, message, path}}`.
        """

    def decide_again(self, capture: bytes, id: str) -> bytes:
        """Decides a recorded call again, from the `capture` of an outcome as JSON."""

    def classify(self, text: str) -> dict[str, list[float]]:
        """What the predictor says of a text: difficulty, latent, length, similarity."""

    def cost(self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Nano-dollars of an answer at a model's prices; `model` is an id or its last part."""
