"""Reads LiteLLM's configuration key by key, and keeps account of what was carried over and what was named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from tradewind.errors import Problem
from tradewind.migration.litellm_tables import AS_HERE, REASONS, UNKNOWN
from tradewind.resources.documents import Document, Path, format_path

VARIABLE = "os.environ/"
LONGEST_TIMEOUT_MS = 86_400_000
MOST_USD_PER_MILLION = Decimal("999999.999999999")
_EXACT = Context(prec=80)
_MERGE = "<<"


class LeftOut(Exception):
    """Why a deployment cannot be a model."""

    def __init__(self, path: Path, message: str, accepted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.accepted = accepted


class Reading:
    """A configuration, and what became of its parts."""

    def __init__(self, document: Document) -> None:
        self.file = document.file
        self.lines: dict[Path, int] = {}
        self.config: dict[str, Any] = _merged(document.value, (), (), document, self.lines)
        self.problems: list[Problem] = []
        self.carried: set[Path] = set()
        self.named: set[Path] = set()
        """Places of which nothing comes along, and all below them."""
        self.said: set[tuple[Path, str]] = set()

    def name(self, path: Path, code: str, message: str, accepted: tuple[str, ...] = (), *, whole: bool = True) -> None:
        """Says something of a place, once; of what is not `assumed`, all below it needs no further word, if it is `whole`."""
        if (path, message) in self.said:
            return
        self.said.add((path, message))
        if code != "assumed" and whole:
            self.named.add(path)
        place = path
        while place not in self.lines:
            place = place[:-1]
        shown = printable(message), printable(format_path(path))
        self.problems.append(
            Problem(code, *shown, file=self.file, line=self.lines[place], accepted=accepted, severity="warning")
        )

    def refuse(self, path: Path, expected: str) -> None:
        """Names a value that cannot be read; it may be a secret, and is not shown."""
        self.name(path, "not_carried", f"expected {expected}")

    def resolved(self, given: str) -> str | None:
        """A text, or that of a variable which the configuration itself sets; none where it sets none."""
        if not given.startswith(VARIABLE):
            return given
        variables = self.config.get("environment_variables")
        found = variables.get(given.removeprefix(VARIABLE)) if isinstance(variables, dict) else None
        return found if isinstance(found, str) and not found.startswith(VARIABLE) else None

    def router(self, key: str) -> Any:
        """A setting of the router, which may stand in two places; the first counts."""
        found = self.layer(self.place(key)[:-1]).find(key)
        return found[0] if found else None

    def place(self, key: str) -> Path:
        """Where a setting of the router stands."""
        sections = ("router_settings", "litellm_settings")
        return next(((section, key) for section in sections if self.layer((section,)).has(key)), (sections[0], key))

    def layer(self, path: Path) -> Layers:
        """A section of the configuration."""
        return Layers(self, self.config.get(str(path[0])), path)

    def times(self) -> dict[str, int]:
        """`timeout` and `stream_timeout` of every call, in ms."""
        found = {}
        for key, places in (("timeout", ("timeout", "request_timeout")), ("stream_timeout", ("stream_timeout",))):
            for name in places:
                given = self.layer(self.place(name)[:-1]).times(name) if key not in found else {}
                if given:
                    found[key] = given[name]
        return found

    def name_the_rest(self) -> None:
        """Names every value that nobody has carried or named, by the outermost key that has a reason."""
        for path, value in _leaves(self.config, ()):
            around = [path[:length] for length in range(1, len(path) + 1)]
            if any(place in self.carried or place in self.named for place in around):
                continue
            if value is AS_HERE.get(str(path[-1])):
                continue
            section, key = path[0], path[1] if len(path) > 1 else None
            if section == "litellm_settings" and isinstance(key, str) and self.place(key)[0] != section and self.router(key):
                self.name(path[:2], "not_carried", f"`router_settings` has `{key}` too, which counts")
                continue
            known = next((place for place in around if place[-1] in REASONS), None)
            self.name(known or path, "not_carried", REASONS[str(known[-1])] if known else UNKNOWN)


@dataclass(frozen=True)
class Layers:
    """Maps of which the first that has a key tells its value. What is read of them counts as carried."""

    reading: Reading
    value: Any
    path: Path | None
    """None for what stands in another file: nothing is said of it."""
    below: Layers | None = None

    def over(self, other: Layers | None) -> Layers:
        """These, and others for what these do not have."""
        below = self.below.over(other) if self.below is not None else other
        return Layers(self.reading, self.value, self.path, below)

    def find(self, key: str) -> tuple[Any, Path] | None:
        """The value of a key, which is not carried yet, and where it stands."""
        if isinstance(self.value, dict) and self.value.get(key) is not None:
            return self.value[key], (*(self.path or ()), key)
        return self.below.find(key) if self.below is not None else None

    def has(self, key: str) -> bool:
        """Whether a key has a value."""
        return self.find(key) is not None

    def text(self, key: str) -> str | None:
        """A text, or none where there is none or it cannot be read, which is named."""
        for layer, value, path in self._each(key):
            found = self.reading.resolved(value) if isinstance(value, str) else None
            if layer._settled(path, found is not None, "a text"):
                return found
        return None

    def flag(self, key: str) -> bool | None:
        """Whether something is so, if that is told."""
        for layer, value, path in self._each(key):
            if layer._settled(path, isinstance(value, bool), "true or false"):
                return bool(value)
        return None

    def number(self, key: str, *, take: bool = True) -> Decimal | None:
        """A finite number of at least 0."""
        for layer, value, path in self._each(key):
            found = self._decimal(value)
            right = found is not None and found >= 0
            if not take or layer._settled(path, right, "a number of at least 0"):
                return found if right else None
        return None

    def whole(self, key: str, least: int, most: int = 1_000_000) -> int | None:
        """A whole number within limits."""
        for layer, value, path in self._each(key):
            found = self._decimal(value)
            right = found is not None and least <= found <= most and found == found.to_integral_value()
            if layer._settled(path, right, f"a whole number from {least} to {most}") and found is not None:
                return int(found)
        return None

    def times(self, *keys: str) -> dict[str, int]:
        """Durations that are given in seconds, in ms."""
        found = {}
        for key in keys:
            for layer, value, path in self._each(key):
                seconds = self._decimal(value)
                right = seconds is not None and 0 < seconds <= LONGEST_TIMEOUT_MS // 1000
                if layer._settled(path, right, "seconds, more than 0 and at most a day") and seconds is not None:
                    found[key] = max(1, round(seconds * 1000))
                    break
        return found

    def usd_per_million(self, key: str, model: Path) -> str | None:
        """A price per token as USD per million, to the nano-dollar; what is less than one is no price, for it would be free."""
        for layer, value, path in self._each(key):
            token = self._decimal(value)
            million = token.scaleb(6, _EXACT) if token is not None and 0 <= token <= 1 else None
            rounded = million.quantize(Decimal("1e-9"), context=_EXACT) if million is not None else None
            right = rounded is not None and rounded <= MOST_USD_PER_MILLION and bool(rounded) == bool(million)
            if not layer._settled(path, right, "USD per token, from 1e-15 to 0.999999, or 0") or rounded is None:
                continue
            if rounded != million:
                self.reading.name(
                    path if layer.path is not None else model, "assumed", f"`{key}` is rounded to 1e-15 USD per token"
                )
            text = format(rounded, "f")
            return text.rstrip("0").rstrip(".")
        return None

    def _each(self, key: str) -> Iterator[tuple[Layers, Any, Path]]:
        if isinstance(self.value, dict) and self.value.get(key) is not None:
            yield self, self.value[key], (*(self.path or ()), key)
        if self.below is not None:
            yield from self.below._each(key)

    def _settled(self, path: Path, right: bool, expected: str) -> bool:
        if self.path is not None and right:
            self.reading.carried.add(path)
        elif self.path is not None:
            self.reading.refuse(path, expected)
        return right

    def _decimal(self, given: Any) -> Decimal | None:
        """Exact, up to 17 digits: YAML may have read it as a float or, as it does with `3e-06`, as a text."""
        given = self.reading.resolved(given) if isinstance(given, str) else given
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            return None
        try:
            found = Decimal(given) if isinstance(given, int) else Decimal(str(given))
        except InvalidOperation:
            return None
        return found if found.is_finite() and found.adjusted() < 60 else None


def printable(text: str) -> str:
    """What may stand in a comment or on a terminal: no line ends, no control characters."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _merged(value: Any, at: Path, to: Path, document: Document, lines: dict[Path, int]) -> Any:
    """A value with its merge keys (`<<`) resolved, as LiteLLM's parser does, and the line of each part."""
    lines[to] = document.line(at)
    if isinstance(value, list):
        return [_merged(each, (*at, index), (*to, index), document, lines) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    entries = _entries(value, at)
    return {key: _merged(each, place, (*to, key), document, lines) for key, (each, place) in entries.items()}


def _entries(value: dict[str, Any], at: Path) -> dict[str, tuple[Any, Path]]:
    merge = value.get(_MERGE)
    bases = list(enumerate(merge)) if isinstance(merge, list) else [(None, merge)]
    if not all(isinstance(base, dict) for _, base in bases):
        return {key: (each, (*at, key)) for key, each in value.items()}
    found: dict[str, tuple[Any, Path]] = {}
    for index, base in reversed(bases):  # The first has a key before the others.
        found |= _entries(base, (*at, _MERGE) if index is None else (*at, _MERGE, index))
    return found | {key: (each, (*at, key)) for key, each in value.items() if key != _MERGE}


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    elif value is not None:
        yield path, value
