"""The CustomResourceDefinitions are those of the shapes, and are such as an API server takes and kubectl explains."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tradewind.resources import crds, rules
from tradewind.resources.crds import KINDS, Kind, Schema

FOLDER = Path(__file__).parents[2] / "crds"

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)


def schema(kind: Kind) -> Schema:
    versions = crds.definition(kind)["spec"]["versions"]
    found: Schema = versions[0]["schema"]["openAPIV3Schema"]
    return found


def walk(given: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, given
    for name, each in given.get("properties", {}).items():
        yield from walk(each, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in given:
            yield from walk(given[name], f"{path}[]")


def at(kind: Kind, path: str) -> Schema:
    return dict(walk(schema(kind)))[path]


POOL, POLICY = KINDS


@each_kind
def test_the_committed_files_are_those_of_the_shapes(kind: Kind) -> None:
    file = FOLDER / f"{kind.plural}.yaml"
    assert file.read_text(encoding="utf-8") == crds.text(kind), "run `make crds`"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == crds.definition(kind)


def test_nothing_else_lies_beside_them(tmp_path: Path) -> None:
    crds.write(tmp_path / "crds")
    assert {file.name for file in (tmp_path / "crds").iterdir()} == {file.name for file in FOLDER.iterdir()}


@each_kind
def test_every_field_is_explained_and_bounded(kind: Kind) -> None:
    for path, each in walk(schema(kind)):
        parent = path.rpartition(".")[0]
        named = path and not path.endswith("[]") and path != ".metadata"
        assert not named or each.get("description"), path
        limits = {
            "array": {"maxItems"},
            "integer": {"minimum", "maximum"} if not path.endswith("observedGeneration") else {"minimum"},
            "string": {"maxLength"},
            "object": set() if "properties" in each else {"maxProperties"},
        }[each["type"]]
        free = "enum" in each or each.get("format") == "date-time" or path in (".apiVersion", ".kind", ".metadata")
        assert free or limits <= each.keys(), f"{path} of {parent}"


@each_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    known = {
        *("type", "description", "default", "enum", "format", "properties", "required", "items", "additionalProperties"),
        *("pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations"),
        "x-kubernetes-preserve-unknown-fields",
    }
    for path, each in walk(schema(kind)):
        assert each.keys() <= known, path
        # What is not pruned must be refused.
        assert "x-kubernetes-preserve-unknown-fields" not in each or each["maxProperties"] == 0, path
        assert set(each.get("required", ())) <= each.get("properties", {}).keys(), path
        # A default is held to the rules before those below it are filled in, so it must be whole.
        below = {name: part["default"] for name, part in each.get("properties", {}).items() if "default" in part}
        assert "default" not in each or not below or each["default"] == below, path


def test_every_rule_with_cel_stands_in_a_schema_wherever_its_shape_does() -> None:
    found = [
        (rule["rule"], rule["message"])
        for kind in KINDS
        for _, each in walk(schema(kind))
        for rule in each.get("x-kubernetes-validations", ())
    ]
    for rule in rules.TABLE:
        times = 2 if rule.shape == "Audience" else 1
        assert found.count((rule.cel, rule.message)) == (times if rule.cel else 0), rule.id


def test_rules_point_at_fields_that_are_there() -> None:
    for kind in KINDS:
        for path, each in walk(schema(kind)):
            for rule in each.get("x-kubernetes-validations", ()):
                assert rule["reason"]
                assert rule.get("fieldPath", ".")[1:] in ("", *each.get("properties", {})), path


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (POOL, ".spec.allowedNamespaces", {"from": "Same"}),
        (POOL, ".spec.models[].upstream.dialect", "OpenAI"),
        (POOL, ".spec.models[].upstream.service.path", "/v1"),
        (POLICY, ".spec.callers", {"from": "Same"}),
        (POLICY, ".spec.match", {"models": ["auto"]}),
        (POLICY, ".spec.priority", 0),
        (POLICY, ".spec.constraints", {"whenUnsatisfied": "Reject"}),
        (POLICY, ".spec.timeouts", {"request": "60s", "firstToken": "15s", "streamIdle": "30s"}),
        (POLICY, ".spec.retry", {"attempts": 2}),
        (POLICY, ".spec.predictor", None),  # One that an API server filled in would stay beside `url`.
    ],
)
def test_defaults_are_in_the_schema(kind: Kind, path: str, expected: object) -> None:
    assert at(kind, path).get("default") == expected


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (POOL, ".spec.models", ("map", ["name"])),
        (POOL, ".spec.models[].capabilities", ("set", None)),
        (POLICY, ".spec.poolRefs", ("atomic", None)),
        (POLICY, ".spec.match.models", ("atomic", None)),  # A set would keep the default beside what is applied.
        (POLICY, ".spec.strategy.weighted.weights", ("map", ["model"])),
        (POLICY, ".status.conditions", ("map", ["type"])),
    ],
)
def test_lists_merge_as_people_mean_them(kind: Kind, path: str, expected: tuple[str, Any]) -> None:
    found = at(kind, path)
    assert (found["x-kubernetes-list-type"], found.get("x-kubernetes-list-map-keys")) == expected


def test_references_and_selectors_are_replaced_whole() -> None:
    whole = {path for kind in KINDS for path, each in walk(schema(kind)) if each.get("x-kubernetes-map-type") == "atomic"}
    assert whole == {
        ".spec.allowedNamespaces.selector",
        ".spec.callers.selector",
        ".spec.constraints.models",
        ".spec.models[].quality.profileRef",
        ".spec.models[].upstream.credentials.secretKeyRef",
    }


@each_kind
def test_kubectl_shows_what_one_looks_for(kind: Kind) -> None:
    found = crds.definition(kind)
    names = found["spec"]["names"]
    assert (found["metadata"]["name"], names["shortNames"], names["categories"]) == (
        f"{kind.plural}.tradewind.dev",
        [kind.short_name],
        ["tradewind"],
    )
    version = found["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    columns = [(column["name"], column.get("priority", 0)) for column in version["additionalPrinterColumns"]]
    first = "Usable" if kind is POOL else "Strategy"
    assert columns[:4] == [(name, 0) for name in (first, "Programmed", "Ready", "Age")]
    assert columns[4:] == [(name, 1) for name in ("Accepted", "Refs", "Reason", "Message")], "with `-o wide`"


def test_whoever_changes_a_schema_counts_up_its_revision() -> None:
    """A controller tells older definitions by it. After a change: count `crds.REVISION` up, and add the digest to the table."""
    digests = {1: "b3c45f712cbe0eac", 2: "7f11565b9b8a2d97"}
    schemas = json.dumps([schema(kind) for kind in KINDS], sort_keys=True)
    assert digests[crds.REVISION] == hashlib.sha256(schemas.encode()).hexdigest()[:16]
    assert max(digests) == crds.REVISION
