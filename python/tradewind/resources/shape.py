"""The base of every shape in a resource: strict, frozen, camelCase outside, held to the rules of its row in
the table.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tradewind.resources import formats, rules

BROKEN_RULES = "broken_rules"
_NOT_KEPT: set[str] = set()
LONGEST_ANNOTATION = 256 << 10
"""Characters; all annotations of an object have at most as many bytes."""


class Shape(BaseModel):
    """No field is guessed, none is converted, none is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        broken = [rule.id for rule in rules.of(type(self).__name__) if not rule.holds(self)]
        if broken:
            raise PydanticCustomError(BROKEN_RULES, "breaks {rules}", {"rules": broken})
        # Nobody asks which fields were given, and these sets are a third of the memory of what a controller has parsed.
        object.__setattr__(self, "__pydantic_fields_set__", _NOT_KEPT)
        return self


Labels = dict[formats.LabelKey, formats.LabelValue]
Annotations = dict[formats.AnnotationKey, Annotated[str, Field(max_length=LONGEST_ANNOTATION)]]


class LabelSelector(Shape):
    """Objects that carry every one of some labels."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: Labels = Field(min_length=1, max_length=32, description="Labels that must all be carried.")


class Metadata(Shape):
    """What Kubernetes calls an object."""

    name: formats.ObjectName = Field(description="Name of the object, unique among its kind in the namespace.")
    namespace: formats.NamespaceName = Field(default="default", description="Namespace, which is the tenant.")
    labels: Labels = Field(default_factory=dict, max_length=1024, description="Labels of the object.")
    annotations: Annotations = Field(default_factory=dict, max_length=1024, description="Notes for people and tools.")


class LocalMetadata(Shape):
    """What Kubernetes calls an object that belongs to no namespace."""

    name: formats.NamespaceName = Field(description="Name of the object.")
    labels: Labels = Field(default_factory=dict, max_length=1024, description="Labels of the object.")
    annotations: Annotations = Field(default_factory=dict, max_length=1024, description="Notes for people and tools.")
