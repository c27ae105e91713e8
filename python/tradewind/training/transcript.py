"""What a model answered, and what a judge said of it: JSON Lines that survive a kill and are not asked for again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tradewind.errors import UsageError
from tradewind.training import anchors
from tradewind.training.anchors import Anchor
from tradewind.training.upstream import Reply


@dataclass(frozen=True)
class Verdict:
    """A judge's, from 0 to 1."""

    judge: str
    score: float


class Transcript:
    """The answers of one model; `None` is whichever the file is of. Lines of anchors that have changed since are passed by."""

    def __init__(self, file: Path, model: str | None) -> None:
        self._file = file
        self._model = model
        self._replies: dict[tuple[str, str], Reply] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._mend()

    def reply(self, anchor: Anchor) -> Reply | None:
        """The answer to an anchor."""
        return self._replies.get(_key(anchor))

    def verdict(self, anchor: Anchor, judge: str) -> float | None:
        """What this judge said of the answer."""
        found = self._verdicts.get(_key(anchor))
        return found.score if found is not None and found.judge == judge else None

    def add_reply(self, anchor: Anchor, reply: Reply) -> None:
        """Writes and flushes a line."""
        self._replies[_key(anchor)] = reply
        self._append(anchor, {"reply": asdict(reply)})

    def add_verdict(self, anchor: Anchor, verdict: Verdict) -> None:
        """Writes and flushes a line."""
        self._verdicts[_key(anchor)] = verdict
        self._append(anchor, {"verdict": asdict(verdict)})

    def _append(self, anchor: Anchor, said: Mapping[str, Any]) -> None:
        line = {"model": self._model, "anchor": anchor.id, "digest": anchors.digest(anchor), **said}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _mend(self) -> None:
        """Reads what is there; a last line that a kill has cut off is taken away."""
        if not self._file.exists():
            return
        content = self._file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            self._take(line, f"{self._file}:{number}")
        if len(whole) < len(content):
            self._file.write_bytes(whole)

    def _take(self, line: bytes, place: str) -> None:
        try:
            given = json.loads(line)
            model, key = given["model"], (given["anchor"], given["digest"])
            if "reply" in given:
                self._replies[key] = Reply(**given["reply"])
            else:
                self._verdicts[key] = Verdict(**given["verdict"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{place} is no line of answers: {type(error).__name__} {error}", place) from None
        self._model = self._model or model
        if model != self._model:
            raise UsageError(f"{place} is an answer of `{model}`, not of `{self._model}`: give another `--answers`", place)


def _key(anchor: Anchor) -> tuple[str, str]:
    return anchor.id, anchors.digest(anchor)
