"""Reads a log of calls: lines that `decide` takes, with what was observed of them, and outcomes of our own ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind.artifacts import outcome
from tradewind.errors import UsageError

OBSERVED = ("model", "input_tokens", "output_tokens", "cost_usd")
"""Members of a line that tell what happened to the call; `decide` does not take them."""


@dataclass(frozen=True)
class Observed:
    """What is known of the answer that a call got."""

    model: str
    """By id, or by its name within its pool."""
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Call:
    """A call that can be decided again: from its request, or from what an outcome kept of it."""

    file: Path
    number: int
    """Line of the file, from 1."""
    id: str
    request: bytes = b""
    """A line of `decide`; empty where there is a capture."""
    capture: Mapping[str, Any] | None = None
    observed: Observed | None = None


@dataclass(frozen=True)
class Unusable:
    """A line that is left out, and why."""

    file: Path
    number: int
    id: str | None
    code: str
    message: str

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"place": f"{self.file.name}:{self.number}", "id": self.id, "code": self.code, "message": self.message}


class Unreadable(ValueError):
    """A line of which nothing can be made; the sentence says what was expected."""


def read(place: Path, alias: str | None = None) -> Iterator[Call | Unusable]:
    """The calls of a file, or of the folder of a ledger. With an alias, all of them ask for it.

    Raises `UsageError` where nothing can be read at all.
    """
    for file in outcome.files(place) if place.is_dir() else [place]:
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}", str(file)) from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield read_line(file, number, line, alias)


def read_line(file: Path, number: int, line: bytes, alias: str | None) -> Call | Unusable:
    """One line. Whatever is no object at all is left to `decide`, which says what is wrong with it."""
    try:
        given = json.loads(line.decode())
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return Call(file, number, "", line)
    id = given["id"] if isinstance(given.get("id"), str) else None
    try:
        if "attempts" in given:
            return _recorded(file, number, line, alias)
        request = _request(line.decode(), alias) if alias is not None or any(name in given for name in OBSERVED) else line
        return Call(file, number, id or "", request, observed=_observed(given))
    except Unreadable as error:
        return Unusable(file, number, id, "invalid_request", str(error))


def members(text: str) -> list[tuple[str, str]]:
    """Names of a JSON object's members with their values' own text: input tokens are estimated from the bytes of a body."""
    decoder = json.JSONDecoder()
    found: list[tuple[str, str]] = []
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        begin = _skip(text, _skip(text, at) + 1)
        _, end = decoder.raw_decode(text, begin)
        found.append((name, text[begin:end]))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _joined(found: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in found) + "}"


def _request(line: str, alias: str | None) -> bytes:
    """The line without what was observed; its body asks for the alias, if there is one."""
    found = [(name, value) for name, value in members(line) if name not in OBSERVED]
    if alias is not None:
        found = [_asking(name, value, alias) for name, value in found]
    return _joined(found).encode()


def _asking(name: str, value: str, alias: str) -> tuple[str, str]:
    given = json.loads(value)
    if name == "text" and isinstance(given, str):
        body = {"model": alias, "messages": [{"role": "user", "content": given}]}
        return "body", json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if name == "body" and isinstance(given, dict):
        return name, _with_model(value, alias)
    return name, value


def _with_model(body: str, alias: str) -> str:
    rest = [(name, value) for name, value in members(body) if name != "model"]
    return _joined([("model", json.dumps(alias)), *rest])


def _observed(given: Mapping[str, Any]) -> Observed | None:
    model, cost = given.get("model"), given.get("cost_usd")
    tokens = given.get("input_tokens"), given.get("output_tokens")
    if model is None and cost is None and tokens == (None, None):
        return None
    if not isinstance(model, str):
        raise Unreadable("what was observed needs `model`, the name of the model that answered")
    if any(count is not None and (type(count) is not int or count < 0) for count in tokens):
        raise Unreadable("`input_tokens` and `output_tokens` are whole numbers from 0")
    if cost is not None and (type(cost) not in (int, float) or not 0 <= cost < float("inf")):
        raise Unreadable("`cost_usd` is an amount of USD, a number from 0")
    return Observed(model, cost, *tokens)


def _recorded(file: Path, number: int, line: bytes, alias: str | None) -> Call | Unusable:
    try:
        found = outcome.from_json(line)
        capture = dict(found.document.get("capture") or {})
        kept = capture.get("inputs")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable("an outcome of the ledger that cannot be read") from None
    if not isinstance(kept, dict):
        message = "nothing was captured of this call: set `capture` to `features` or `text`"
        return Unusable(file, number, found.id, "not_captured", message)
    if alias is not None:
        capture["inputs"] = {**kept, "model": alias}
    answered = found.answered_by
    observed = Observed(answered, found.cost_nanousd / 1e9) if answered is not None else None
    return Call(file, number, found.id, capture=capture, observed=observed)
