"""The machines that hold the shape: what may depend on what, and what must agree with what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind import core

ROOT = Path(__file__).parents[2]


def closure(package: str) -> set[str]:
    """Names of all crates that a workspace crate needs to run."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    names = {found["id"]: found["name"] for found in metadata["packages"]}
    needs = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    todo = [id for id, name in names.items() if name == package]
    seen: set[str] = set()
    while todo:
        id = todo.pop()
        if id not in seen:
            seen.add(id)
            todo += needs[id]
    return {names[id] for id in seen}


def test_the_core_needs_no_runtime_no_network_and_no_python() -> None:
    forbidden = {"pyo3", "tokio", "hyper", "ort", "rustls", "tracing", "tradewind-gateway"}
    assert not closure("tradewind-core") & forbidden


def test_the_gateway_needs_no_python() -> None:
    assert not {name for name in closure("tradewind-gateway") if name.startswith("pyo3")}


def test_only_the_binding_crate_mentions_pyo3() -> None:
    mentions = [
        path for crate in ("core", "gateway") for path in (ROOT / "rust" / crate).rglob("*.rs") if "pyo3" in path.read_text()
    ]
    assert mentions == []


def test_no_module_is_a_drawer() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    modules = [*(ROOT / "python").rglob("*.py"), *(ROOT / "rust").rglob("*.rs")]
    assert [path for path in modules if path.stem in banned or path.parent.name in banned] == []


def test_every_error_code_has_a_status_and_a_typed_error() -> None:
    from tradewind import errors

    for row in core.error_codes():
        error = errors.from_code(row["code"], "message", "path")
        assert isinstance(error, errors.TradewindError)
        assert error.code == row["code"]
        assert 400 <= row["status"] < 600


@pytest.mark.parametrize("module", ["tradewind", "tradewind.core", "tradewind.engine", "tradewind.cli", "tradewind.asgi"])
def test_importing_does_nothing(module: str, tmp_path: Path) -> None:
    """No file, no thread, no output, no heavy library."""
    code = (
        f"import sys, threading, {module}; "
        "assert threading.active_count() == 1, threading.enumerate(); "
        "heavy = {'sklearn', 'matplotlib', 'pyarrow', 'onnx', 'onnxruntime'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    """Its wheels hold telemetry; it must be off before the library loads, whoever starts us."""
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tradewind.cli", "decide", "--input", "-", "--executor", "onnxruntime", "--json"]
    line = json.dumps({"id": "1", "text": "Why is the sky blue?"})
    done = subprocess.run(command, input=line, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == "1"
    assert list(tmp_path.rglob("*")) == []
