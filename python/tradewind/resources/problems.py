"""What pydantic found, as problems with file, line, path and the accepted values."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tradewind.errors import Problem, listed, unknown
from tradewind.resources import formats, rules
from tradewind.resources.documents import Document, Path, format_path
from tradewind.resources.shape import BROKEN_RULES

_ABOUT = {entry.pattern: entry.about for entry in formats.ALL}
_RULES = {rule.id: rule for rule in rules.TABLE}
_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}


def of(error: ValidationError, shape: type[BaseModel], document: Document) -> list[Problem]:
    """All problems of a document that did not fit its shape, in the order of its lines."""
    found = [problem for details in error.errors() for problem in _problems(details, shape, document)]
    return sorted(found, key=lambda problem: problem.line or 0)


def _problems(details: ErrorDetails, shape: type[BaseModel], document: Document) -> Iterator[Problem]:
    path: Path = tuple(part for part in details["loc"] if part != "[key]")
    if details["type"] == BROKEN_RULES:
        for rule in (_RULES[id] for id in details["ctx"]["rules"]):
            place = (*path, rule.field) if rule.field else path
            yield problem(document, place, rule.id, rule.message)
        return
    code, message, accepted = _explain(details, shape, path)
    yield problem(document, path, code, message, accepted)


def problem(
    document: Document,
    path: Path,
    code: str,
    message: str,
    accepted: tuple[str, ...] = (),
    severity: Literal["error", "warning"] = "error",
) -> Problem:
    """A problem at a place of a document."""
    return Problem(code, message, format_path(path), document.file, document.line(path), accepted, severity)


def _explain(details: ErrorDetails, shape: type[BaseModel], path: Path) -> tuple[str, str, tuple[str, ...]]:
    """Code, message and accepted values of one finding."""
    found, context = details["input"], details.get("ctx", {})
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    match details["type"]:
        case "missing":
            field = _field(shape, path)
            why = f": {field.description[:1].lower()}{field.description[1:-1]}" if field and field.description else ""
            return "missing_field", f"`{name}` is required{why}", ()
        case "extra_forbidden":
            owner = _shape(shape, path[:-1])
            known = tuple(str(field.alias) for field in owner.model_fields.values()) if owner else ()
            return "unknown_field", unknown("field", name, known), known
        case "literal_error":
            field = _field(shape, path)
            values = tuple(str(value) for value in _literals(field.annotation)) if field else ()
            return "unknown_name", unknown(_noun(field, name), str(found), values), values
        case "string_pattern_mismatch":
            about = _ABOUT.get(context["pattern"], f"a string that fits {context['pattern']}")
            return "invalid_value", f"`{str(found)[:80]}` is not accepted for `{name}`; expected {about}", ()
        case "string_too_long" | "too_long":
            return "too_long", f"`{name}` is too long; at most {context['max_length']}", ()
        case "string_too_short" | "too_short":
            part = "character" if details["type"] == "string_too_short" else "entry"
            return "too_short", f"`{name}` needs at least {context['min_length']} {part}", ()
        case "greater_than_equal":
            return "out_of_range", f"`{name}` is {found}; at least {context['ge']}", ()
        case "less_than_equal":
            return "out_of_range", f"`{name}` is {found}; at most {context['le']}", ()
        case kind if kind in _TYPES:
            hint = f'; write it in quotes: "{found}"' if kind == "string_type" and isinstance(found, int | float) else ""
            return "invalid_type", f"`{name}` is {_described(found)}; expected {_TYPES[kind]}{hint}", ()
    return "invalid_value", f"`{name}`: {details['msg']}", ()


def _described(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a map"
        case list():
            return "a list"
    return f"`{str(value)[:80]}`"


def _noun(field: FieldInfo | None, name: str) -> str:
    extra = field.json_schema_extra if field else None
    return str(extra.get("noun", name)) if isinstance(extra, dict) else name


def _shape(shape: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The shape that stands at a path."""
    if not path:
        return shape
    field = _field(shape, path)
    return next(iter(_shapes(field.annotation)), None) if field else None


def _field(shape: type[BaseModel], path: Path) -> FieldInfo | None:
    """The field that holds the value at a path."""
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            continue
        field = next((entry for entry in shape.model_fields.values() if entry.alias == part), None)
        if field is None:
            return None
        shape = next(iter(_shapes(field.annotation)), shape)
    return field


def _shapes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _shapes(argument)


def _literals(annotation: Any) -> Iterator[object]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (list, Union, UnionType):
        for argument in get_args(annotation):
            yield from _literals(argument)


__all__ = ["listed", "of", "problem"]
