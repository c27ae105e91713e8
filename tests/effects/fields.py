"""Every field that the generated schema admits in a resource, with what the schema says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tradewind.resources import crds
from tradewind.resources.shape import Metadata

Schema = Mapping[str, Any]


def all_fields() -> dict[str, str]:
    """Descriptions by path, `Kind.spec.list[].field`. What holds fields is none itself: its effects are theirs."""
    return {path: about for kind in crds.KINDS for path, about in _of_kind(kind)}


def _of_kind(kind: crds.Kind) -> Iterator[tuple[str, str]]:
    (version,) = crds.definition(kind)["spec"]["versions"]
    for name, schema in version["schema"]["openAPIV3Schema"]["properties"].items():
        path = f"{kind.shape.__name__}.{name}"
        if name == "metadata":
            # Kubernetes' own, of which the rest is for people and tools.
            yield from ((f"{path}.{each}", Metadata.model_fields[each].description or "") for each in ("name", "namespace"))
        elif name != "status":  # The controller's, who writes what it observed.
            yield from _below(path, schema)


def _below(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    if schema.get("properties"):
        for name, each in schema["properties"].items():
            yield from _below(f"{path}.{name}", each)
    elif schema.get("items", {}).get("properties"):
        yield from _below(f"{path}[]", schema["items"])
    else:
        yield path, schema["description"]
