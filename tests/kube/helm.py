"""Helm, and what it makes of our charts."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import binaries
import yaml

CHARTS = Path(__file__).parents[2] / "charts"
CHART = CHARTS / "tradewind"
CRDS = CHARTS / "tradewind-crds"
NAMESPACE = "tradewind-system"
INJECTION = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
MONITORS = ("monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule")
METRICS = "custom.metrics.k8s.io/v1beta2"
KUBERNETES = "1.37.1"

Object = dict[str, Any]


class RefusedError(Exception):
    """What Helm says."""


def run(*arguments: str | Path, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
    """Its output. Raises `RefusedError` with its words where it fails."""
    command = [str(binaries.helm()), *map(str, arguments)]
    command += ["--values", "-"] if values is not None else []
    command += ["--kubeconfig", str(kubeconfig)] if kubeconfig is not None else []
    # It would look for plugins and repositories, and write caches, in the home folder.
    places = {f"HELM_{kind}_HOME": "/nonexistent" for kind in ("CACHE", "CONFIG", "DATA")}
    text = json.dumps(values) if values is not None else None
    done = subprocess.run(command, input=text, env={**os.environ, **places}, capture_output=True, text=True, timeout=100)
    if done.returncode:
        raise RefusedError(f"helm {' '.join(command[1:])}\n{done.stdout}{done.stderr}")
    return done.stdout


def template(
    chart: Path = CHART,
    values: Mapping[str, Any] | None = None,
    apis: Sequence[str] = (),
    namespace: str = NAMESPACE,
    release: str = "tradewind",
) -> list[Object]:
    """What a chart renders, tests included; `apis` are those that the cluster has beside Helm's own list."""
    given = [f"--api-versions={api}" for api in apis]
    text = run(
        "template", release, chart, f"--namespace={namespace}", f"--kube-version={KUBERNETES}", *given, values=values or {}
    )
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]


@functools.cache
def rights(namespace: str) -> tuple[Object, ...]:
    """ServiceAccounts, Roles and bindings of an install in a namespace."""
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    return tuple(found for found in template(namespace=namespace) if found["kind"] in kinds and not hook(found))


def hook(found: Object) -> str:
    """When Helm makes it, where that is not with the release."""
    kind: str = found["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return kind
