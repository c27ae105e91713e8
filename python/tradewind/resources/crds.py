"""The CustomResourceDefinitions, from the shapes and the rule table: `python -m tradewind.resources.crds` writes `crds/`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tradewind.resources import formats, rules
from tradewind.resources.model_pool import ModelPool
from tradewind.resources.routing_policy import RoutingPolicy

GROUP, VERSION = "tradewind.dev", "v1alpha1"
REVISION = 2
"""Of the schemas: counted up with every change of them, so that a controller knows definitions that are older than itself."""
REVISION_ANNOTATION = "tradewind.dev/revision"
HEADER = "# Made by `make crds` from the shapes in python/tradewind/resources/; a test compares.\n"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One custom resource: its shape and what kubectl shows of it."""

    shape: type[ModelPool] | type[RoutingPolicy]
    plural: str
    short_name: str
    first_column: Schema
    status: Schema


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    name = kind.shape.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"annotations": {REVISION_ANNOTATION: str(REVISION)}, "name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["tradewind"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [kind.first_column, *_COLUMNS],
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def text(kind: Kind) -> str:
    """The file of a kind."""
    return HEADER + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def write(folder: Path) -> None:
    """Writes a file a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / f"{kind.plural}.yaml").write_text(text(kind), encoding="utf-8")


def _root(kind: Kind) -> Schema:
    given = kind.shape.model_json_schema()
    spec = _schema(given["properties"]["spec"], given["$defs"])
    return {
        "type": "object",
        "description": kind.shape.__doc__,
        "properties": {
            "apiVersion": {"type": "string", "description": f"`{GROUP}/{VERSION}`."},
            "kind": {"type": "string", "description": f"`{kind.shape.__name__}`."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": kind.status,
        },
        "required": ["spec"],
    }


def _schema(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A structural schema of what pydantic gives: nothing referred to, nothing said twice, nothing that it forbids."""
    shape, keys = "", list[Schema]()
    if "anyOf" in given:  # Absent, or that; Kubernetes drops a null of what is not nullable.
        (present,) = (choice for choice in given["anyOf"] if choice.get("type") != "null")
        given = {**present, **{key: value for key, value in given.items() if key not in ("anyOf", "default")}}
    if "$ref" in given:
        shape = given["$ref"].rsplit("/", 1)[1]
        given = {**definitions[shape], **given}
    made: Schema = {"type": given["type"], "description": given.get("description")}
    made["default"] = given.get("default")
    made["enum"] = [given["const"]] if "const" in given else given.get("enum")
    made |= {key: given.get(key) for key in _AS_THEY_ARE}
    if made["type"] == "integer":
        made["format"] = "int32"
    if "properties" in given:
        made["properties"] = {
            name: _optional(each, definitions) if name not in given.get("required", ()) else _schema(each, definitions)
            for name, each in given["properties"].items()
        }
        made["required"] = given.get("required")
    if "patternProperties" in given:
        ((pattern, value),) = given["patternProperties"].items()
        made["additionalProperties"] = _schema(value, definitions)
        keys = _keys_fit(pattern)
    if "items" in given:
        made["items"] = _schema(given["items"], definitions)
    made |= {key: value for key, value in given.items() if key.startswith("x-kubernetes-")}
    made["x-kubernetes-validations"] = keys + _validations(shape)
    return {key: value for key, value in made.items() if value not in (None, [])}


def _optional(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A property that may be absent. Kubernetes looks for defaults only within what is there, so that what has some below is
    there by default; whole, for rules are held to a default before those below it are filled in.
    """
    made = _schema(given, definitions)
    below = {name: each["default"] for name, each in made.get("properties", {}).items() if "default" in each}
    if "anyOf" in given or "default" in made or not below:
        return made
    return {"type": made.pop("type"), "description": made.pop("description"), "default": below, **made}


def _keys_fit(pattern: str) -> list[Schema]:
    """A structural schema has no patterns of keys."""
    (about,) = (entry.about for entry in formats.ALL if entry.pattern == pattern)
    return [
        {"rule": f"self.all(key, key.matches({pattern!r}))", "message": f"each key is {about}", "reason": "FieldValueInvalid"}
    ]


def _validations(shape: str) -> list[Schema]:
    return [
        {
            "rule": rule.cel,
            "message": rule.message,
            "reason": rule.reason,
            **({"fieldPath": f".{rule.field}"} if rule.field else {}),
        }
        for rule in rules.of(shape)
        if rule.cel
    ]


_AS_THEY_ARE = (
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)


def _condition_column(name: str, description: str, shown: str = "status", condition: str = "", wide: bool = False) -> Schema:
    return {
        "name": name,
        "type": "string",
        "description": description,
        "jsonPath": f'.status.conditions[?(@.type=="{condition or name}")].{shown}',
        **({"priority": 1} if wide else {}),
    }


_AGE: Schema = {
    "name": "Age",
    "type": "date",
    "description": "Time since it was made.",
    "jsonPath": ".metadata.creationTimestamp",
}
_COLUMNS: tuple[Schema, ...] = (
    _condition_column("Programmed", "Whether every ready gateway serves this generation."),
    _condition_column("Ready", "Whether calls are served by it."),
    _AGE,
    _condition_column("Accepted", "Whether it is valid.", wide=True),
    _condition_column(
        "Refs", "Whether everything that it refers to is there and allowed.", condition="ResolvedRefs", wide=True
    ),
    _condition_column("Reason", "Why it is ready or not.", "reason", condition="Ready", wide=True),
    _condition_column("Message", "The same as a sentence.", "message", condition="Ready", wide=True),
)

_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_GENERATION: Schema = {"type": "integer", "format": "int64", "minimum": 0}
_CONDITION: Schema = {
    "type": "object",
    "description": "One side of the state.",
    "properties": {
        "type": {
            "type": "string",
            "description": "`Accepted`, `ResolvedRefs`, `Programmed` or `Ready`.",
            "pattern": f"^({_DNS_NAME}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
            "maxLength": 316,
        },
        "status": {"type": "string", "description": "Whether it holds.", "enum": ["True", "False", "Unknown"]},
        "observedGeneration": {**_GENERATION, "description": "Generation of the object that this is about."},
        "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When `status` last changed."},
        "reason": {
            "type": "string",
            "description": "Why, in a word of a closed set.",
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            "minLength": 1,
            "maxLength": 1024,
        },
        "message": {"type": "string", "description": "Why, as a sentence.", "maxLength": 32768},
    },
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
}
_CONDITIONS: Schema = {
    "type": "array",
    "description": "State, one side each; the controller writes all of them together.",
    "maxItems": 8,
    "items": _CONDITION,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


def _status(**more: Schema) -> Schema:
    observed = {**_GENERATION, "description": "Generation of the object that the controller last looked at."}
    return {
        "type": "object",
        "description": "What the controller made of it.",
        "properties": {"observedGeneration": observed, **more, "conditions": _CONDITIONS},
    }


KINDS: tuple[Kind, ...] = (
    Kind(
        shape=ModelPool,
        plural="modelpools",
        short_name="mpool",
        first_column={
            "name": "Usable",
            "type": "string",
            "description": "Models that can be called, of all.",
            "jsonPath": ".status.usableModels",
        },
        status=_status(
            usableModels={
                "type": "string",
                "description": "Models that can be called, of all: `3/4`.",
                "maxLength": 16,
            }
        ),
    ),
    Kind(
        shape=RoutingPolicy,
        plural="routingpolicies",
        short_name="rpol",
        first_column={
            "name": "Strategy",
            "type": "string",
            "description": "How candidates are ordered.",
            "jsonPath": ".spec.strategy.type",
        },
        status=_status(),
    ),
)


class _Dumper(yaml.SafeDumper):
    """Without anchors: a schema is read by people too."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("crds"))
