"""A gateway fed from files: plan, keys and credentials are read at the start and again whenever a file
changes. Or one fed by controllers, which it follows by itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind import core, engine
from tradewind.artifacts import plan, predictor
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.errors import ConfigurationError, InvalidRequest, Problem, TradewindError, UsageError
from tradewind.resources import folder
from tradewind.resources.assemble import Assembled
from tradewind.settings import Settings

log = logging.getLogger("tradewind")

BURST_MS = 50
"""Milliseconds without a change that end a burst of changes: an editor or a mounted ConfigMap makes
several.
"""
LOOK_MS = 1_000
"""Milliseconds after which the files are looked at though nothing was announced: not every file system does."""


@dataclass(frozen=True)
class Serving:
    """A gateway and where it is fed from."""

    gateway: core.Gateway
    settings: Settings
    predictor: Artifact
    """The default one; policies may name others."""
    read: str
    """Fingerprint of the files, taken before they were read: a later edit gives another."""

    @property
    def config(self) -> Path:
        """File or folder of resources."""
        return _config(self.settings)


def start(settings: Settings) -> Serving:
    """Reads everything once; no door is open yet.

    Raises `ConfigurationError` for resources, `UsageError` for the rest: at the start there is nothing old
    to keep.
    """
    if settings.controllers:
        return _follow(settings)
    before = fingerprint(settings)
    artifact = predictor.read(settings.predictor)
    assembled = _assembled(settings, artifact)
    if assembled.refused:
        raise ConfigurationError(assembled.problems)
    gateway = _gateway(settings, assembled.predictors)
    if settings.keys is not None:
        _take_keys(gateway, settings.keys)
    serving = Serving(gateway, settings, artifact, before)
    _take(serving, assembled)
    return serving


def _follow(settings: Settings) -> Serving:
    for flag, value in (("config", settings.config), ("keys", settings.keys), ("secrets-dir", settings.secrets_dir)):
        if value is not None:
            raise UsageError(f"--{flag} and --controllers exclude each other: controllers give plans, keys and credentials")
    artifact = predictor.read(settings.predictor)
    gateway = _gateway(settings, Predictors(artifact))
    try:
        gateway.follow()
    except TradewindError as error:
        raise UsageError(f"the controllers cannot be followed: {error.message}") from None
    return Serving(gateway, settings, artifact, read="")


def _gateway(settings: Settings, predictors: Predictors) -> core.Gateway:
    try:
        return core.Gateway(None, predictors.graphs, settings=settings.gateway())
    except InvalidRequest as error:
        raise UsageError(error.message) from None


def reload(serving: Serving) -> bool:
    """Reads everything again. What is broken is logged and named by `/plan`, and the old is kept; gives
    whether all was taken.
    """
    return all([_reload_plan(serving), _reload_keys(serving)])


def watch(serving: Serving, stop: threading.Event) -> None:
    """Reads again after each burst of changes, those since the first reading included, until `stop` is set."""
    if serving.settings.controllers:
        stop.wait()
        return
    import watchfiles

    read = serving.read
    while not stop.is_set():
        folders = _folders(serving.settings)
        # It yields with each burst, and once a while without one: also what happened before it watched, or where
        # nothing is announced, is found.
        bursts = watchfiles.watch(
            *folders,
            watch_filter=None,
            recursive=False,
            stop_event=stop,
            step=BURST_MS,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        try:
            for _ in bursts:
                read = refresh(serving, read)
                if _folders(serving.settings) != folders:
                    break
        except OSError as error:  # A folder has just vanished, or this machine gives no more watches.
            log.debug("the files are looked at without being watched: %s", error)
            stop.wait(LOOK_MS / 1000)
            read = refresh(serving, read)


def refresh(serving: Serving, read: str) -> str:
    """Reloads if the files are no longer those that were `read`; gives their fingerprint."""
    now = fingerprint(serving.settings)
    if now != read:
        reload(serving)
    return now


def fingerprint(settings: Settings) -> str:
    """Of all files that a gateway is fed from, by content: what is written anew without a change is the same."""
    digest = hashlib.sha256()
    for file in _files(settings):
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            content = str(error)
        digest.update(f"{file}\0{content}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_keys(file: Path) -> bytes:
    """Caller keys from YAML or JSON, `keys: [{sha256, tenant, name, labels}]`, as the gateway reads them."""
    import yaml

    try:
        document: Any = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: the keys cannot be read: {error.strerror}", str(file)) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: the keys cannot be read: {' '.join(str(error).split())}", str(file)) from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or len(document) != 1:
        raise UsageError(f"{file} is not `keys: [{{sha256, tenant, name, labels}}]`", str(file))
    try:
        return json.dumps({"keys": [_tenant(entry) for entry in entries]}).encode()
    except TypeError as error:
        raise UsageError(f"{file}: the keys cannot be read: {error}", str(file)) from None


def read_credentials(source: plan.PlanSource, folder: Path | None) -> dict[str, str]:
    """The credentials that a plan names, by its name for them, from `folder/secret/key`. A missing one is
    logged.
    """
    found: dict[str, str] = {}
    for name in sorted({model.upstream.credential for model in source.models if model.upstream.credential is not None}):
        _, secret, key = name.split("/")
        file = folder / secret / key if folder is not None else None
        try:
            found[name] = file.read_text(encoding="utf-8").strip() if file is not None and not key.startswith(".") else ""
        except (OSError, UnicodeDecodeError):
            found[name] = ""
        if not found[name]:
            where = f"{file} cannot be read" if file is not None else "--secrets-dir is not given"
            log.warning("credential `%s` is missing (%s): calls of its upstream fail over", name, where)
            del found[name]
    return found


def _tenant(entry: dict[str, Any]) -> dict[str, Any]:
    # A tenant is the caller's namespace; people write either.
    if "namespace" in entry and "tenant" not in entry:
        return {("tenant" if name == "namespace" else name): value for name, value in entry.items()}
    return entry


def _assembled(settings: Settings, artifact: Artifact) -> Assembled:
    return engine.from_files(settings.config, artifact, settings.predictor_cache)


def _take(serving: Serving, assembled: Assembled) -> None:
    serving.gateway.set_credentials(read_credentials(assembled.plan, serving.settings.secrets_dir))
    others = assembled.predictors.graphs[1:]
    status = serving.gateway.swap(assembled.plan.to_json(), others, source=str(serving.config))
    for problem in assembled.problems:
        log.warning("%s", problem)
    log.info(
        "plan %s: models %d, routes %d",
        status.get("plan", ""),
        len(assembled.plan.models),
        len(assembled.plan.routes),
    )


def _take_keys(gateway: core.Gateway, file: Path) -> None:
    keys = read_keys(file)
    try:
        gateway.set_keys(keys)
    except TradewindError as error:
        raise UsageError(f"{file}: {error.message}", str(file)) from None


def _reload_plan(serving: Serving) -> bool:
    try:
        assembled = _assembled(serving.settings, serving.predictor)
        if not assembled.refused:
            _take(serving, assembled)
            return True
        problems = assembled.problems
    except TradewindError as error:
        problems = (Problem(error.code, error.message, error.path, str(serving.config)),)
    for problem in problems:
        log.error("%s", problem)
    log.error("the edit is refused; the old plan is kept")
    serving.gateway.refuse([problem.document() for problem in problems], source=str(serving.config))
    return False


def _reload_keys(serving: Serving) -> bool:
    if serving.settings.keys is None:
        return True
    try:
        _take_keys(serving.gateway, serving.settings.keys)
    except TradewindError as error:
        log.error("%s; the old keys are kept", error.message)
        return False
    return True


def _files(settings: Settings) -> Iterator[Path]:
    with suppress(UsageError):  # What is not there is told by the reading.
        yield from folder.files(_config(settings))
    if settings.keys is not None:
        yield settings.keys
    if settings.secrets_dir is not None:
        yield from sorted(file for file in settings.secrets_dir.glob("*/*") if file.is_file())


def _folders(settings: Settings) -> list[Path]:
    """Folders whose direct entries matter: files are replaced by renaming, so it is the folder that changes."""
    places = [_config(settings), *(place for place in (settings.keys, settings.secrets_dir) if place is not None)]
    if settings.secrets_dir is not None:
        places += settings.secrets_dir.glob("*/")
    return sorted({_nearest_folder(place) for place in places})


def _nearest_folder(place: Path) -> Path:
    return next(path for path in (place, *place.parents) if path.is_dir())


def _config(settings: Settings) -> Path:
    return settings.config or engine.default_config()
