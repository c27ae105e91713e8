"""What the kinds of anchors share: their row, and where the answer is in what a model writes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tradewind.training.anchors import Anchor

_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_ANSWER = re.compile(
    r"^\W*(?:final answer|answer|antwort|réponse|respuesta|答案)\W*?[:：]\**\s*(.+)$", re.IGNORECASE | re.MULTILINE
)
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A row: how answers of a kind are asked for and checked."""

    name: str
    about: str
    instruction: str
    """Sent as the system message, so that the user's message is the anchor's text alone; empty: none is sent."""
    expects: str
    """What an anchor's answer must be, as the end of a sentence that begins with 'expected'."""
    accepts: Callable[[Any], bool]
    """Whether an anchor's answer is that."""
    score: Callable[[Anchor, str], float]
    """From 0 to 1, of what a model wrote."""


def without_thoughts(text: str) -> str:
    """What remains of an answer without a reasoning model's thoughts."""
    return _THOUGHTS.sub("", text).strip()


def marked(text: str) -> str | None:
    """What stands after the last `Answer:`, else in the last `\\boxed{}`."""
    said = _ANSWER.findall(text)
    return str(said[-1]).strip() if said else _boxed(text)


def final(text: str) -> str:
    """What is marked as the answer, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = marked(text)
    return found if found is not None else lines[-1] if lines else ""


def fenced(text: str, languages: tuple[str, ...]) -> list[str]:
    """The contents of code blocks in one of these languages, or in none, in order."""
    return [str(body) for language, body in _FENCE.findall(text) if language.lower() in ("", *languages)]


def plain(text: str) -> str:
    """Without case, mark-up, quotes, and punctuation and white space at the ends; one space between words."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-")
    folded = re.sub(r"\\(?:text|mathrm|boxed)\{(.*?)\}", r"\1", folded)
    folded = re.sub(r"[*`\"“”„«»$]", "", folded)
    return " ".join(folded.split()).strip(" .,;:!?'。，；！？")


def _boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for at in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : at]
    return None
