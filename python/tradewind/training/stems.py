"""Names a question whatever its formatting, so that no question is on both sides of a split."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tradewind.errors import UsageError

# An option marker opens a line after the first: `A. `, `B) `, `(c) `.
OPTION_MARKER = re.compile(r"\n\s*\(?[A-Ja-j][.)]\s")
# Latin letters, digits, and the CJK blocks (kana, unified ideographs with extension A, hangul).
DROPPED = re.compile(r"[^a-z0-9぀-ヿ㐀-䶿一-鿿가-힯]+")


def before_options(text: str) -> str:
    """The text up to its first option marker; all of it where there is none or nothing stands before it."""
    marker = OPTION_MARKER.search(text)
    head = text[: marker.start()] if marker else ""
    return head if head.strip() else text


def normalise(text: str) -> str:
    """NFKC, lower case, cut at the first option marker, only `[a-z0-9]` and CJK kept."""
    lowered = unicodedata.normalize("NFKC", text).lower()
    # A text in another script keeps what there is rather than nothing, or all such questions would be one.
    return DROPPED.sub("", before_options(lowered)) or lowered.strip()


def digest(text: str) -> str:
    """SHA-256 of the normalised stem, hex."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def read(path: Path) -> frozenset[str]:
    """The digests of an exclusion file: one SHA-256 a line; blank lines and `#` comments are skipped."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", str(path)) from None
    lines = (line.strip() for line in text.splitlines())
    digests = frozenset(line.lower() for line in lines if line and not line.startswith("#"))
    for line in digests:
        if not re.fullmatch(r"[0-9a-f]{64}", line):
            raise UsageError(f"`{line[:80]}` is not a SHA-256 in hex", str(path))
    return digests


def write(path: Path, digests: Iterable[str]) -> None:
    """Writes digests sorted, one a line."""
    path.write_text("".join(f"{line}\n" for line in sorted(set(digests))), encoding="utf-8")


def bucket(stem_digest: str, seed: int) -> float:
    """A number in [0, 1) that depends on the stem and the seed alone: the same question falls on the same
    side in every set."""
    mixed = hashlib.sha256(f"{seed}:{stem_digest}".encode()).digest()
    return int.from_bytes(mixed[:8], "big") / 2**64
