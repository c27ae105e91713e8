"""What changes from one plan source to another: pools, models and policies, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tradewind.artifacts.plan import PlanSource

Kind = Literal["pool", "model", "policy"]


@dataclass(frozen=True)
class Field:
    """A value that differs; one that was or will be absent is `None`."""

    path: str
    """In the plan source, below the model or policy. `order` is the rank of a policy in its namespace, from 1."""
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """One thing that differs."""

    kind: Kind
    id: str
    """`namespace/pool`, `namespace/pool/model` or `namespace/policy`."""
    change: Literal["added", "removed", "changed"]
    fields: tuple[Field, ...] = ()
    """Of what is in both."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"kind": self.kind, "id": self.id, "change": self.change, "fields": [vars(field) for field in self.fields]}


def between(old: PlanSource, new: PlanSource) -> tuple[Change, ...]:
    """Everything that differs: pools, then models, then policies, each by id."""
    return (
        *_changes("pool", _pools(old), _pools(new)),
        *_changes("model", _models(old), _models(new)),
        *_changes("policy", _policies(old, new), _policies(new, old)),
    )


Things = Mapping[str, Mapping[str, Any]]
"""Documents by id."""


def _changes(kind: Kind, old: Things, new: Things) -> Iterator[Change]:
    for id in sorted(old.keys() | new.keys()):
        if id not in old:
            yield Change(kind, id, "added")
        elif id not in new:
            yield Change(kind, id, "removed")
        elif fields := tuple(_fields(old[id], new[id])):
            yield Change(kind, id, "changed", fields)


def _fields(old: Any, new: Any, path: str = "") -> Iterator[Field]:
    """The leaves that differ; a list is one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            yield from _fields(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif old != new:
        yield Field(path, old, new)


def _pools(source: PlanSource) -> Things:
    return {"/".join(model.id.split("/", 2)[:2]): {} for model in source.models}


def _models(source: PlanSource) -> Things:
    document = source.document()
    # A profile's key changes with its content: what people want to know is how.
    return {model["id"]: {**model, "profile": document["profiles"][model["profile"]]} for model in document["models"]}


def _policies(source: PlanSource, other: PlanSource) -> Things:
    """With the rank among those of the namespace that both have: what was added or removed moves nothing else."""
    document = source.document()
    common = {route.id for route in other.routes}
    ranks: dict[str, int] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for route in document["routes"]:
        namespace = route["id"].split("/", 1)[0]
        ranks[namespace] = ranks.get(namespace, 0) + (route["id"] in common)
        own = {id: document["profiles"][key] for id, key in route.get("profiles", {}).items()}
        found[route["id"]] = {**route, "profiles": own, "order": ranks[namespace]}
    return found
