"""A word or phrase, compared without case, mark-up and punctuation at its ends."""

from __future__ import annotations

from typing import Any

from tradewind.training import marking
from tradewind.training.anchors import Anchor
from tradewind.training.marking import Entry


def accepts(answer: Any) -> bool:
    """A text, or several of which any is right."""
    texts = answer if isinstance(answer, list) else [answer]
    return bool(texts) and all(isinstance(text, str) and marking.plain(text) for text in texts)


def score(anchor: Anchor, written: str) -> float:
    """1 where the final answer is one of the anchor's."""
    right = anchor.answer if isinstance(anchor.answer, list) else [anchor.answer]
    return float(marking.plain(marking.final(written)) in {marking.plain(text) for text in right})


ENTRY = Entry(
    name="exact",
    about="the final answer is a word or phrase",
    instruction="Think first if you need to. End with a line of the form `Answer: …` that holds nothing but the answer.",
    expects="a text, or a list of texts of which any is right",
    accepts=accepts,
    score=score,
)
