"""The binary without Python reads the variables that `tradewind serve` reads, and says what it is told wrong."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

import rust_gateway
from tradewind.settings import ControllerSettings, Settings

ONLY_PYTHON = {"config", "predictor", "predictor_cache", "door", "asgi_port"}
"""A folder of resources, the predictor that they are assembled with, and the ASGI door."""
ONLY_RUST = {"plan", "predictors", "onnxruntime_library"}
"""A plan source in a file, its predictors, and a library that Python finds by itself."""


def ended(*flags: str, **settings: object) -> tuple[int, str]:
    """Exit status and the log of a life that ends by itself."""
    command = [rust_gateway.BINARY, "serve", *flags]
    done = subprocess.run(
        command, env=rust_gateway.environment(**settings), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@contextmanager
def served(*flags: str, **settings: object) -> Iterator[dict[str, str]]:
    """Serves; gives the line that is printed when the doors are open."""
    command = [rust_gateway.BINARY, "serve", "--json", *flags]
    with subprocess.Popen(command, env=rust_gateway.environment(**settings), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line: dict[str, str] = json.loads(process.stdout.readline())
            yield line
        finally:
            process.kill()


def test_both_programs_read_the_same_variables() -> None:
    status, log = ended(prot=1)
    assert status == 2
    ours = {name.lower() for name in re.findall("`TRADEWIND_([A-Z_]+)`", log.split("expected", 1)[1])}
    assert ours - ONLY_RUST == {entry.name for entry in fields(Settings)} - ONLY_PYTHON
    assert ours >= ONLY_RUST


def test_variables_of_the_controller_are_let_be() -> None:
    theirs = {f"controller_{entry.name}": "x" for entry in fields(ControllerSettings)}
    status, log = ended(**theirs)
    assert (status, "nothing gives a plan" in log) == (2, True)


def test_a_flag_wins_over_its_variable() -> None:
    with served("--listen", "127.0.0.1:0", controllers="http://127.0.0.1:9", port=1, host="192.0.2.1") as line:
        assert line["native"].startswith("http://127.0.0.1:")
        assert line["plan"] is None
        assert httpx.get(f"{line['native']}/readyz").json()["error"]["code"] == "no_plan"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, "nothing gives a plan"),
        ({"plan": "p.json"}, "a plan needs its predictors"),
        ({"plan": "p.json", "predictors": "p.onnx"}, "p.onnx: No such file"),
        ({"plan": "p.json", "controllers": "https://c:1"}, "`plan` and `controllers` exclude each other"),
        ({"keys": "k.json", "controllers": "https://c:1"}, "`keys` and `controllers` exclude each other"),
        ({"plan": "p.json", "predictors": "p.onnx", "keys_cache": "k"}, "`keys_cache` is for gateways with `controllers`"),
        ({"controllers": "https://c:1/path"}, "has a path; expected `https://host:port`"),
        ({"plan": "p.json", "predictors": "p.onnx", "tls_port": 0}, "`tls_port` needs `controllers`"),
        ({"controllers": "https://c:1", "controller_trust_pem": "x"}, "controller_trust_pem: "),
        ({"controllers": "https://c:1", "port": "many"}, "TRADEWIND_PORT is `many`; expected a port"),
        ({"controllers": "https://c:1", "host": "192.0.2.1"}, "the native door cannot listen: 192.0.2.1:4000"),
    ],
)
def test_wrong_usage_is_named(settings: dict[str, object], part: str) -> None:
    status, log = ended(**settings)
    assert (status, part in log) == (2, True), log


def test_a_plan_that_is_refused_is_a_finding(tmp_path: Path, predictor_folder: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    (graph,) = predictor_folder.glob("*.onnx")
    assert ended(plan=tmp_path / "plan.json", predictors=graph)[0] == 1
