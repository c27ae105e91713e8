"""A predictor artifact: one ONNX file and its manifest, as training publishes it and plans refer to it by
digest.

A graph of a user's own is one too: its manifest gives `models`, the names of its columns in order, and the
`feature_schema` that it was made for; `profiles` may say for each the bias (the logit of the mean quality, by
which the dearest choice is known) and the answer length.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tradewind import core
from tradewind.artifacts import download, plan
from tradewind.errors import InvalidPredictor, UsageError, listed

SCHEMA = "tradewind.predictor/v1"
MANIFEST = "manifest.json"
GRAPH = "predictor.onnx"
LARGEST_GRAPH = 64 << 20
"""Bytes that are fetched of an ONNX file, as many as controllers give to data planes."""
LARGEST_ENCODER = 512 << 20
"""The same where nobody else is given it: MiniLM has 91 MB."""
LARGEST_MANIFEST = 16 << 20
"""Bytes that are fetched of a manifest."""


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

    @property
    def own(self) -> bool:
        """Whether it is a graph of a user's own: it knows the models of its manifest and no others."""
        return "models" in self.manifest

    def profile_name(self, names: Iterable[str | None]) -> str | None:
        """The first of some names by which it knows a model."""
        return next((name for name in names if name in self.profiles), None)


@dataclass(frozen=True)
class Predictors:
    """What the policies of a plan may name: the default predictor, and others by digest."""

    default: Artifact
    others: Mapping[str, Artifact] = field(default_factory=dict)
    """By `sha256:` of the ONNX file."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """By digest, why one is not there: a sentence."""

    def named(self, digest: str) -> Artifact | None:
        """The predictor of a digest."""
        return self.default if digest == self.default.digest else self.others.get(digest)

    @property
    def graphs(self) -> list[bytes]:
        """The ONNX files, as the core takes them."""
        others = (artifact for digest, artifact in sorted(self.others.items()) if digest != self.default.digest)
        return [self.default.graph, *(artifact.graph for artifact in others)]


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
    profiles = _profiles(manifest, folder)
    described = core.describe_graph(graph)
    if described["kind"] == core.OWN_GRAPH:
        profiles = _columns(manifest, profiles, described["models"], folder)
    elif "models" in manifest:
        raise _refused(folder, "has `models`, but its graph has no columns", "models")
    return Artifact(folder=folder, digest=digest, graph=graph, profiles=profiles, manifest=manifest)


def default_cache() -> Path:
    """Where fetched predictors are kept, unless a setting says otherwise."""
    return Path.home() / ".cache" / "tradewind" / "predictors"


def fetch(
    url: str,
    sha256: str,
    folder: Path,
    reachable: download.Reachable = download.anywhere,
    largest: int = LARGEST_GRAPH,
) -> Artifact:
    """The predictor at the URL of its ONNX file, with `manifest.json` beside it; kept in `folder` by its digest, and not
    fetched again. A graph has at most `largest` bytes.

    Raises `UsageError` where it cannot be had, `InvalidPredictor` where it is not what `sha256` says.
    """
    digest = "sha256:" + sha256.removeprefix("sha256:")
    found = kept(digest, folder)
    if found is not None:
        return found
    graph = download.fetch(url, largest, reachable)
    if digest_of(graph) != digest:
        raise InvalidPredictor("invalid_predictor", f"{url} is `{digest_of(graph)}`, not `{digest}`", "digest")
    manifest = download.fetch(urljoin(url, MANIFEST), LARGEST_MANIFEST, reachable)
    return _keep(graph, manifest, _kept_at(digest, folder))


def kept(digest: str, folder: Path) -> Artifact | None:
    """A predictor that was fetched before; none where it is not there whole."""
    try:
        found = read(_kept_at(digest, folder))
    except (UsageError, InvalidPredictor):
        return None
    return found if found.digest == digest else None


def write_bare(folder: Path, graph: bytes) -> None:
    """Writes a graph with no more of a manifest than reading it needs: for plans that carry their profiles."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(graph)
    manifest = {"schema": SCHEMA, "digest": digest_of(graph), "graph": {"file": GRAPH}}
    (folder / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")


def digest_of(graph: bytes) -> str:
    """The digest by which plans name an ONNX file."""
    return "sha256:" + hashlib.sha256(graph).hexdigest()


def _kept_at(digest: str, folder: Path) -> Path:
    return folder / digest.removeprefix("sha256:")


def _keep(graph: bytes, manifest: bytes, place: Path) -> Artifact:
    """Writes an artifact beside its place and moves it there once it has been read."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as beside:
            made = Path(beside) / place.name
            made.mkdir()
            (made / MANIFEST).write_bytes(manifest)
            (made / _graph_name(_manifest(made / MANIFEST), made)).write_bytes(graph)
            read(made)
            if place.exists():  # What is there could not be read.
                place.rename(Path(beside) / "broken")
            made.rename(place)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}", str(place)) from None
    return read(place)


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


def _columns(
    manifest: Mapping[str, Any], profiles: Mapping[str, plan.Profile], width: int, folder: Path
) -> dict[str, plan.Profile]:
    """Profiles of a graph of a user's own: each model of the manifest with its column."""
    models = manifest.get("models")
    if not (isinstance(models, list) and models and all(isinstance(name, str) and name for name in models)):
        raise _refused(
            folder,
            f"has no order of the {width} columns of its graph: `models` is {json.dumps(models)[:80]}; expected {width} names",
            "models",
        )
    twice = sorted({name for name in models if models.count(name) > 1})
    if twice:
        raise _refused(folder, f"names {listed(twice)} twice in `models`", "models")
    if len(models) != width:
        raise _refused(folder, f"names {len(models)} models; its graph has {width} columns", "models")
    schema = manifest.get("feature_schema")
    if schema != core.feature_schema():
        raise _refused(
            folder, f"has feature schema `{schema}`; this build computes `{core.feature_schema()}`", "feature_schema"
        )
    strange = sorted(profiles.keys() - set(models))
    if strange:
        raise _refused(folder, f"has profiles of {listed(strange)}, which are not among its `models`", "profiles")
    known = (profiles.get(name, plan.Profile(bias=0.0)) for name in models)
    return {name: replace(profile, column=column) for column, (name, profile) in enumerate(zip(models, known, strict=True))}


def _refused(folder: Path, what: str, place: str) -> InvalidPredictor:
    return InvalidPredictor("invalid_predictor", f"{folder / MANIFEST} {what}", place)
