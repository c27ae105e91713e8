"""Models that answer anchors as often right as they are told to, by domain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from tradewind.training.anchors import Anchor


def right(anchor: Anchor) -> str:
    """An answer that is right."""
    if anchor.kind == "json":
        return json.dumps(anchor.answer)
    if anchor.kind in ("code", "regex"):
        assert anchor.reference is not None
        return anchor.reference
    answer = anchor.answer[0] if isinstance(anchor.answer, list) else anchor.answer
    return f"Let me see.\n\nAnswer: {answer}"


WRONG = "Answer: I do not know"


def drawn(anchors: Sequence[Anchor], accuracy: Mapping[str, float], seed: int) -> dict[str, bool]:
    """By anchor, whether it is answered right."""
    rng = np.random.default_rng(seed)
    return {anchor.id: bool(rng.random() < accuracy[anchor.domain]) for anchor in anchors}


def table(anchors: Sequence[Anchor], correct: Mapping[str, bool]) -> str:
    """As `tradewind simulate --answers` reads it."""
    rows = ({"prompt": each.text, "answer": right(each) if correct[each.id] else WRONG} for each in anchors)
    return "".join(json.dumps(row) + "\n" for row in rows)
