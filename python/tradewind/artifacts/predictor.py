"""A predictor artifact: one ONNX file and its manifest, as training publishes it and plans refer to it by
digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind.artifacts import plan
from tradewind.errors import InvalidPredictor, UsageError

SCHEMA = "tradewind.predictor/v1"
MANIFEST = "manifest.json"
GRAPH = "predictor.onnx"


@dataclass(frozen=True)
class Artifact:
    """A predictor that was read: what plans and gateways need of it."""

    folder: Path
    digest: str
    """`sha256:` of the ONNX file."""
    graph: bytes
    """The ONNX file."""
    profiles: Mapping[str, plan.Profile]
    """By the name that a pool's `quality.profile` gives."""
    manifest: Mapping[str, Any]
    """The whole manifest: data, scores, gates, frontier."""


def default_folder() -> Path:
    """The artifact that ships in the wheel."""
    return Path(__file__).parent.parent / "predictors" / "default"


def read(place: Path | None = None) -> Artifact:
    """Reads an artifact from its folder, or from the ONNX file with a manifest beside it; `None` is the
    shipped one.

    Raises `UsageError` where it cannot be read, `InvalidPredictor` where manifest and graph do not fit
    together.
    """
    place = place or default_folder()
    if not place.exists():
        raise UsageError(f"no predictor is at {place}", str(place))
    folder = place if place.is_dir() else place.parent
    manifest = _manifest(folder / MANIFEST)
    file = place if place.is_file() and place.suffix == ".onnx" else folder / _graph_name(manifest, folder)
    try:
        graph = file.read_bytes()
    except OSError as error:
        raise UsageError(f"the predictor {file} cannot be read: {error.strerror}", str(file)) from None
    digest = digest_of(graph)
    if manifest.get("digest") != digest:
        raise InvalidPredictor(
            "invalid_predictor",
            f"{file} is `{digest}`, but its manifest says `{manifest.get('digest')}`",
            "digest",
        )
    return Artifact(folder=folder, digest=digest, graph=graph, profiles=_profiles(manifest, folder), manifest=manifest)


def write_bare(folder: Path, graph: bytes) -> None:
    """Writes a graph with no more of a manifest than reading it needs: for plans that carry their profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(graph)
    manifest = {"schema": SCHEMA, "digest": digest_of(graph), "graph": {"file": GRAPH}}
    (folder / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")


def digest_of(graph: bytes) -> str:
    """The digest by which plans name an ONNX file."""
    return "sha256:" + hashlib.sha256(graph).hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"the predictor's manifest {path} cannot be read: {error.strerror}", str(path)) from None
    except ValueError as error:
        raise UsageError(f"the predictor's manifest {path} is not JSON: {error}", str(path)) from None
    found = manifest.get("schema") if isinstance(manifest, dict) else None
    if found != SCHEMA:
        raise InvalidPredictor("invalid_predictor", f"{path} has schema `{found}`; expected `{SCHEMA}`", "schema")
    return dict(manifest)


def _graph_name(manifest: Mapping[str, Any], folder: Path) -> str:
    graph = manifest.get("graph")
    name = graph.get("file", GRAPH) if isinstance(graph, dict) else GRAPH
    if not isinstance(name, str) or Path(name).name != name:
        raise InvalidPredictor("invalid_predictor", f"{folder / MANIFEST} names a graph outside its folder", "graph.file")
    return name


def _profiles(manifest: Mapping[str, Any], folder: Path) -> dict[str, plan.Profile]:
    profiles = manifest.get("profiles", {})
    try:
        return {name: plan.profile_from(profile) for name, profile in profiles.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidPredictor(
            "invalid_predictor", f"{folder / MANIFEST} has a profile that cannot be read: {error}", "profiles"
        ) from None
