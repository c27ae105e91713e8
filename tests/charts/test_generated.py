"""What in `charts/` is made of something else is as `make charts` makes it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import generate
import pytest
import yaml

from tradewind.settings import ControllerSettings, Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", generate.files(), ids=str)
def test_it_is_current(path: Path) -> None:
    assert (ROOT / path).read_text() == generate.files()[path], "run `make charts`"


def test_each_definition_is_a_template_and_nothing_else_is() -> None:
    templates = {path.name for path in (ROOT / "charts/tradewind-crds/templates").iterdir()}
    assert templates == {path.name for path in (ROOT / "crds").iterdir()} | {"NOTES.txt"}


def test_a_definition_has_one_annotation_more_whether_it_had_some_or_not() -> None:
    annotated = "kind: X\nmetadata:\n  name: x\n  annotations:\n    a: b\nspec: {}\n"
    for definition in (annotated, annotated.replace("  annotations:\n    a: b\n", "")):
        found = yaml.safe_load(generate.kept(definition))
        assert found["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
        before = yaml.safe_load(definition)
        before["metadata"].setdefault("annotations", {})
        assert found == before


def test_a_definition_that_helm_would_change_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\{\{"):
        generate.kept('metadata:\n  name: "{{ x }}"\n')


@pytest.mark.parametrize("kind", [Settings, ControllerSettings])
def test_every_setting_can_be_given_or_is_the_charts_own(kind: type) -> None:
    offered = set(generate.settings(kind)["properties"])
    assert not offered & generate.RESERVED[kind]
    assert {entry.name for entry in fields(kind)} <= offered | generate.RESERVED[kind]


def test_a_value_without_a_comment_is_refused() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    assert [value.about for value in generate.values("# One.\na: x\n# Two.\nb: y\n", schema)] == ["One.", "Two."]
    with pytest.raises(ValueError, match="`b`"):
        generate.values("# One.\na: x\nb: y\n", schema)
