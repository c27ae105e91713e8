"""A gateway fed from files: plan, keys and credentials are read at the start and again whenever a file
changes.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradewind import core, engine
from tradewind.artifacts import plan, predictor
from tradewind.artifacts.predictor import Artifact
from tradewind.errors import ConfigurationError, Problem, TradewindError, UsageError
from tradewind.resources.assemble import Assembled
from tradewind.settings import Settings

log = logging.getLogger("tradewind")

BURST_MS = 50
"""Milliseconds without a change that end a burst of changes: an editor or a mounted ConfigMap makes
several.
"""


@dataclass(frozen=True)
class Serving:
    """A gateway and where it is fed from."""

    gateway: core.Gateway
    settings: Settings
    predictor: Artifact

    @property
    def config(self) -> Path:
        """File or folder of resources."""
        return self.settings.config or engine.default_config()


def start(settings: Settings) -> Serving:
    """Reads everything once; no door is open yet.

    Raises `ConfigurationError` for resources, `UsageError` for the rest: at the start there is nothing old
    to keep.
    """
    artifact = predictor.read(settings.predictor)
    assembled = _assembled(settings, artifact)
    if assembled.refused:
        raise ConfigurationError(assembled.problems)
    keys = read_keys(settings.keys) if settings.keys is not None else None
    gateway = core.Gateway(None, [artifact.graph], settings=settings.gateway(), keys=keys)
    serving = Serving(gateway, settings, artifact)
    _take(serving, assembled)
    return serving


def reload(serving: Serving) -> bool:
    """Reads everything again. What is broken is logged and named by `/plan`, and the old is kept; gives
    whether all was taken.
    """
    return all([_reload_plan(serving), _reload_keys(serving)])


def watch(serving: Serving, stop: threading.Event) -> None:
    """Reloads once for each burst of changes, until `stop` is set."""
    import watchfiles

    while not stop.is_set():
        watched = sorted(set(_watched(serving)))
        # A folder that appears or vanishes changes what there is to watch, so the list is made anew after
        # each burst.
        for _ in watchfiles.watch(*watched, recursive=False, stop_event=stop, step=BURST_MS, raise_interrupt=False):
            reload(serving)
            if sorted(set(_watched(serving))) != watched:
                break


def read_keys(file: Path) -> bytes:
    """Caller keys from YAML or JSON, `keys: [{sha256, tenant, name, labels}]`, as the gateway reads them."""
    import yaml

    try:
        document: Any = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise UsageError(f"the keys cannot be read: {error.strerror}", str(file)) from None
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
            log.warning("credential `%s` is missing (%s): its upstream will refuse our calls", name, where)
            del found[name]
    return found


def _tenant(entry: dict[str, Any]) -> dict[str, Any]:
    # A tenant is the caller's namespace; people write either.
    if "namespace" in entry and "tenant" not in entry:
        return {("tenant" if name == "namespace" else name): value for name, value in entry.items()}
    return entry


def _assembled(settings: Settings, artifact: Artifact) -> Assembled:
    return engine.from_files(settings.config, artifact)


def _take(serving: Serving, assembled: Assembled) -> None:
    serving.gateway.set_credentials(read_credentials(assembled.plan, serving.settings.secrets_dir))
    status = serving.gateway.swap(assembled.plan.to_json())
    for problem in assembled.problems:
        log.warning("%s", problem)
    log.info(
        "plan %s: %d models, %d routes",
        status.get("plan", ""),
        len(assembled.plan.models),
        len(assembled.plan.routes),
    )


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
    serving.gateway.refuse([problem.document() for problem in problems])
    return False


def _reload_keys(serving: Serving) -> bool:
    if serving.settings.keys is None:
        return True
    try:
        serving.gateway.set_keys(read_keys(serving.settings.keys))
    except TradewindError as error:
        log.error("%s; the old keys are kept", error.message)
        return False
    return True


def _watched(serving: Serving) -> Iterator[Path]:
    """Folders whose direct entries matter: files are replaced by renaming, so it is the folder that
    changes.
    """
    settings = serving.settings
    for place in (serving.config, settings.keys):
        if place is not None:
            yield place if place.is_dir() else place.parent
    if settings.secrets_dir is not None and settings.secrets_dir.is_dir():
        yield settings.secrets_dir
        yield from (path for path in settings.secrets_dir.iterdir() if path.is_dir())
