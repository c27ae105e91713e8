"""All resources of a file or folder, read and validated: what is right of them, and everything that is
wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from tradewind.errors import Problem, UsageError, unknown
from tradewind.resources import documents, problems
from tradewind.resources.config_map import ConfigMap
from tradewind.resources.documents import Document
from tradewind.resources.model_pool import ModelPool
from tradewind.resources.namespace import Namespace
from tradewind.resources.routing_policy import RoutingPolicy

Resource = ConfigMap | ModelPool | Namespace | RoutingPolicy

KINDS: dict[str, type[Resource]] = {
    "ConfigMap": ConfigMap,
    "ModelPool": ModelPool,
    "Namespace": Namespace,
    "RoutingPolicy": RoutingPolicy,
}

Kind = TypeVar("Kind", bound=Resource)

# What an API server adds to what was applied; a resource that it serves is as good as the file.
_SERVED = {"ConfigMap": {"binaryData", "immutable"}, "Namespace": {"spec", "status"}}
_SERVED_BY_DEFAULT = {"status"}
_SERVED_METADATA = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


@dataclass(frozen=True, eq=False)
class Sourced(Generic[Kind]):
    """A resource and the document it was read from."""

    resource: Kind
    document: Document


@dataclass(frozen=True)
class Resources:
    """What a plan is assembled from, by (namespace, name); namespaces by name."""

    pools: dict[tuple[str, str], Sourced[ModelPool]]
    policies: dict[tuple[str, str], Sourced[RoutingPolicy]]
    namespaces: dict[str, Sourced[Namespace]]
    config_maps: dict[tuple[str, str], Sourced[ConfigMap]]
    broken: frozenset[tuple[str, str, str]]
    """(kind, namespace, name) of resources that were not admitted: what refers to them is not at fault."""
    problems: tuple[Problem, ...]


def read(place: Path) -> Resources:
    """Reads a file, or each `.yaml` and `.yml` of a folder. Raises `UsageError` where there is nothing to
    read.
    """
    found: list[Document] = []
    wrong: list[Problem] = []
    for file in files(place):
        try:
            text = file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}", str(file)) from None
        read_documents, broken = documents.read(text, str(file))
        found += read_documents
        wrong += broken
    resources = parse(found, wrong)
    if resources.policies or resources.problems:
        return resources
    nothing = Problem("no_policy", "there is no RoutingPolicy: no call would be routed", file=str(place))
    return replace(resources, problems=(nothing,))


def files(place: Path) -> list[Path]:
    """The files to read, by name; hidden ones are left out, as a mounted ConfigMap has them."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UsageError(f"no file or folder is at {place}", str(place))
    try:
        paths = sorted(place.iterdir())
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}", str(place)) from None
    found = [path for path in paths if path.suffix in (".yaml", ".yml") and not path.name.startswith(".")]
    if not found:
        raise UsageError(f"{place} holds no .yaml or .yml file", str(place))
    return found


def parse(found: list[Document], wrong: list[Problem] | None = None) -> Resources:
    """Validates documents; those that are wrong become problems."""
    pools: dict[tuple[str, str], Sourced[ModelPool]] = {}
    policies: dict[tuple[str, str], Sourced[RoutingPolicy]] = {}
    namespaces: dict[str, Sourced[Namespace]] = {}
    config_maps: dict[tuple[str, str], Sourced[ConfigMap]] = {}
    broken: set[tuple[str, str, str]] = set()
    all_problems = list(wrong or ())
    for document in found:
        resource, found_wrong = _validated(document)
        all_problems += found_wrong
        match resource:
            case None:
                namespace = document.at("metadata", "namespace") or "default"
                broken.add((document.at("kind"), namespace, document.at("metadata", "name")))
            case ModelPool(metadata=metadata):
                _add(pools, (metadata.namespace, metadata.name), Sourced(resource, document), all_problems)
            case RoutingPolicy(metadata=metadata):
                _add(policies, (metadata.namespace, metadata.name), Sourced(resource, document), all_problems)
            case ConfigMap(metadata=metadata):
                _add(config_maps, (metadata.namespace, metadata.name), Sourced(resource, document), all_problems)
            case Namespace(metadata=local):
                _add(namespaces, local.name, Sourced(resource, document), all_problems)
    return Resources(pools, policies, namespaces, config_maps, frozenset(broken), tuple(all_problems))


Validated = tuple[Resource | None, tuple[Problem, ...]]


def _validated(document: Document) -> Validated:
    found = _VALIDATED.get(document)
    if found is None:
        wrong: list[Problem] = []
        found = _VALIDATED[document] = (_resource(document, wrong), tuple(wrong))
    return found


# A controller reads all of its objects again for each event of one.
_VALIDATED: WeakKeyDictionary[Document, Validated] = WeakKeyDictionary()


def _resource(document: Document, wrong: list[Problem]) -> Resource | None:
    if not isinstance(document.value, dict):
        wrong.append(
            problems.problem(document, (), "invalid_type", "a document is a map with `apiVersion`, `kind`, `metadata`")
        )
        return None
    kinds = tuple(KINDS)
    kind = document.value.get("kind")
    shape = KINDS.get(kind) if isinstance(kind, str) else None
    if shape is None:
        message = (
            unknown("kind", str(kind), kinds) if kind is not None else f"`kind` is required: one of {problems.listed(kinds)}"
        )
        wrong.append(problems.problem(document, ("kind",), "unknown_name", message, kinds))
        return None
    try:
        return shape.model_validate(_applied(document.value, shape.__name__))
    except ValidationError as error:
        wrong.extend(problems.of(error, shape, document))
        return None


def _applied(value: dict[str, Any], kind: str) -> dict[str, Any]:
    """A resource without what an API server adds."""
    served = _SERVED.get(kind, _SERVED_BY_DEFAULT)
    applied = {key: part for key, part in value.items() if key not in served}
    metadata = applied.get("metadata")
    if isinstance(metadata, dict):
        applied["metadata"] = {key: part for key, part in metadata.items() if key not in _SERVED_METADATA}
    return applied


def _add(into: dict[Any, Sourced[Kind]], key: Any, found: Sourced[Kind], wrong: list[Problem]) -> None:
    first = into.setdefault(key, found)
    if first is not found:
        name = "/".join(key) if isinstance(key, tuple) else key
        place = f"{first.document.file}:{first.document.line(())}"
        message = f"{found.resource.kind} `{name}` stands twice, first in {place}"
        wrong.append(problems.problem(found.document, ("metadata", "name"), "duplicate_resource", message))
