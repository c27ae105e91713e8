"""`tradewind kube selftest` tells an install that works from one that does not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import install
import jsonschema
import pytest
from cluster import Cluster
from install import Install, installed
from pods import Pod

from simulators import COMMAND
from tradewind.artifacts import schemas


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """A controller, and a gateway with a TLS door."""
    with installed(cluster, tmp_path_factory.mktemp("install"), gateway_url="https://127.0.0.1:1/v1") as found:
        found.add_controllers()
        found.start_controllers()
        gateway = found.add_gateway("--host", "127.0.0.1", tls_port="0")
        gateway.start()
        gateway.wait()
        yield found


def selftest(made: Install, *flags: str | Path, status: int) -> dict[str, str]:
    """What it found wrong, by the name of what it looked at."""
    environment = {"KUBECONFIG": str(made.cluster.admin_kubeconfig), "PATH": ""}
    command = [COMMAND, "kube", "selftest", "--json", *map(str, flags)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    if status == 2:
        return {"": done.stderr}
    document: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(document, schemas.read("kube_selftest"))
    return {check["name"]: check["problem"] for check in document["checks"]}


def test_gateways_that_know_the_caller_pass_at_both_doors(made: Install, tmp_path: Path) -> None:
    (gateway,) = made.gateways
    token = tmp_path / "token"
    token.write_text(Pod.create(made.namespace, "asks").token(install.AUDIENCE))
    urls = (gateway.url(), gateway.url("tls"))
    flags = ("--token", token, "--trust", made.trust_file, "--within", "20", *(f"--gateway={url}/" for url in urls))
    assert selftest(made, *flags, status=0) == {f"{url}{path}": "" for url in urls for path in ("/readyz", "/v1/models")}


def test_what_is_wrong_is_told(made: Install, tmp_path: Path) -> None:
    (gateway,) = made.gateways
    token = tmp_path / "token"
    token.write_text("nobody")
    flags = ("--gateway", gateway.url(), "--gateway", "http://127.0.0.1:1", "--injection", made.namespace.name)
    found = selftest(made, *flags, "--token", token, "--within", "0", status=1)
    assert found[f"{gateway.url()}/readyz"] == ""
    assert found[f"{gateway.url()}/v1/models"].startswith("answers 401: ")
    assert found["http://127.0.0.1:1/readyz"].startswith("does not answer: ")
    assert found[f"sidecar in {made.namespace.name}"] == (
        "a pod labelled tradewind.dev/sidecar: enabled has no init container `tradewind`"
    )
    # It was a dry run.
    assert "selftest" not in made.namespace.kubectl("get", "pods", "--output=name").stdout


def test_a_file_that_cannot_be_read_is_wrong_usage(made: Install, tmp_path: Path) -> None:
    said = selftest(made, "--gateway", "http://127.0.0.1:1", "--token", tmp_path / "none", status=2)
    assert "none cannot be read" in said[""].replace("\n", "")
