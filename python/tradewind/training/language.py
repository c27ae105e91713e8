"""A guess at a text's language: by its script, and for Latin script by its commonest words. Good enough to see
whether a router fails in one of them; nothing routes by it."""

from __future__ import annotations

import re

OTHER = "other"

SCRIPTS = (
    ("ja", re.compile(r"[぀-ヿ]")),
    ("ko", re.compile(r"[가-힯]")),
    ("zh", re.compile(r"[㐀-䶿一-鿿]")),
    ("ru", re.compile(r"[Ѐ-ӿ]")),
    ("ar", re.compile(r"[؀-ۿ]")),
    ("hi", re.compile(r"[ऀ-ॿ]")),
)
"""Kana before Han: Japanese has both."""
SCRIPT_SHARE = 0.15
"""of all letters: less is a quotation"""

WORDS = {
    "en": "the of and to in is that for it with as was are which what how if from",
    "de": "der die das und ist nicht ein eine zu den mit von auf für wie sich wenn",
    "fr": "le la les des et est une dans que pour qui sur pas avec vous du au quelle",
    "es": "el los las que una por con para es del se cuál como y si su está",
    "it": "il di che è una per con non sono gli della nel quale come del si più",
    "pt": "o os que uma para com não é do da em por se qual como são mais",
}
CODE = re.compile(r"\bdef \w+\(|\breturn\b.*[;:]|[{};]\s*$|\bfunction\b|\bimport \w+|=>|</\w+>", re.MULTILINE)
CODE_MARKS = 3
"""Lines that look like a program, from which on a text counts as one."""

_WORD = re.compile(r"[^\W\d_]+")
_SETS = {name: frozenset(words.split()) for name, words in WORDS.items()}


def guess(text: str) -> str:
    """ISO 639-1, `code`, or `other`."""
    letters = _WORD.findall(text.lower())
    count = sum(map(len, letters))
    for name, script in SCRIPTS:
        if count and len(script.findall(text)) >= SCRIPT_SHARE * count:
            return name
    if len(CODE.findall(text)) >= CODE_MARKS:
        return "code"
    hits = {name: sum(word in words for word in letters) for name, words in _SETS.items()}
    best = max(hits, key=lambda name: hits[name])
    # A short Latin text without one of these words is most often English in these sets, but that would be a guess at the set.
    return best if hits[best] else OTHER
