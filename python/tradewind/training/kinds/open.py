"""An answer that no rule can check: a judge reads it."""

from __future__ import annotations

from typing import Any

from tradewind.errors import UsageError
from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry


def accepts(answer: Any) -> bool:
    """Nothing, or a text that tells the judge what a good answer is."""
    return answer is None or isinstance(answer, str)


def score(anchor: Anchor, _written: str) -> float:
    """Raises `UsageError`: a model has to be asked."""
    raise UsageError(f"anchor `{anchor.id}` is `open`: only a judge can score it (`--judge URL --judge-model NAME`)", anchor.id)


ENTRY = Entry(
    name="open",
    about="a judge says how good the answer is",
    instruction="",
    expects="nothing, or a text for the judge",
    accepts=accepts,
    score=score,
)
