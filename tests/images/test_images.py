"""The assembled images run as Kubernetes runs them: as 65532, on a root file system that is read-only, without capabilities."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assemble
import httpx
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(assemble.missing()), reason=assemble.missing()),
]

ROOT = Path(__file__).parents[2]
OUT = ROOT / "dist/images"
"""Kept from run to run, as is what Cargo built for it."""
CONTAINER = r"""
root=$0 files=$1; shift
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t proc proc "$root/proc"
for folder in tmp var/lib dev; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
for device in null random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount --bind "$files" "$root/home/nonroot"
mount -o remount,ro,bind "$root/home/nonroot"
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups=65532 "$root" "$@"
"""
"""What a kubelet does, as far as it matters here. `/tmp` and `/var/lib` are volumes; a folder of ours is the home folder."""


@pytest.fixture(scope="module")
def images() -> dict[str, Any]:
    """What each image is, assembled now; quick, for it is not measured here."""
    command = [sys.executable, ROOT / "images/assemble.py", "--out", OUT, "--profile", "quick"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return {name: json.loads((OUT / f"{name}.json").read_text()) for name in assemble.NAMES}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pod would mount: the shipped example as a plan, and the predictor."""
    folder = tmp_path_factory.mktemp("files")
    shipped = ROOT / "python/tradewind"
    command = [Path(sys.executable).parent / "tradewind", "plan", "assemble", shipped / "examples/default"]
    subprocess.run([*command, "--output", folder / "plan.json"], check=True, capture_output=True)
    shutil.copy(shipped / "predictors/default/predictor.onnx", folder)
    folder.chmod(0o755)
    return folder


@dataclass(frozen=True)
class Container:
    """An image with its files; runs commands."""

    root: Path
    config: dict[str, Any]
    files: Path

    def command(self, *arguments: str) -> list[str]:
        """Runs the entry point with arguments, in namespaces of mounts and processes of its own."""
        namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        return [
            *namespaces,
            "/bin/sh",
            "-euc",
            CONTAINER,
            str(self.root),
            str(self.files),
            *self.config["Entrypoint"],
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Of the image, and nothing of ours."""
        return dict(pair.split("=", 1) for pair in self.config["Env"])

    def says(self, *arguments: str) -> str:
        """What a command says that ends by itself."""
        done = subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self, pattern: str, *arguments: str) -> Iterator[list[str]]:
        """A server, until the test is over. Gives what the pattern found in the line that it waits for; ends it by SIGTERM."""
        command = self.command(*arguments)
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        said: list[str] = []
        try:
            found = None
            while not found:
                said.append(process.stdout.readline())
                assert said[-1], "".join(said)
                found = re.search(pattern, said[-1])
            yield list(found.groups())
            # The first process of its namespace gets no default action: a program without a handler would go on.
            (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(first), signal.SIGTERM)
            rest, _ = process.communicate(timeout=60)
            assert process.returncode == 0, "".join(said) + rest
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def gateway(images: dict[str, Any], files: Path) -> Container:
    return Container(OUT / "gateway", images["gateway"]["config"], files)


@pytest.fixture
def controller(images: dict[str, Any], files: Path) -> Container:
    return Container(OUT / "controller", images["controller"]["config"], files)


def test_the_gateway_tells_its_version(gateway: Container) -> None:
    assert gateway.says("--version").startswith("tradewind-gateway ")


def test_the_gateway_serves_a_plan_and_ends_when_it_is_told_to(gateway: Container) -> None:
    mounted = ["--plan", "/home/nonroot/plan.json", "--predictor", "/home/nonroot/predictor.onnx"]
    arguments = ["serve", *mounted, "--listen", "127.0.0.1:0", "--ledger-dir", "/var/lib/ledger"]
    with gateway.serving(r'"listening","address":"([^"]+)"', *arguments) as (address,):
        assert httpx.get(f"http://{address}/readyz").status_code == 200


def test_the_static_gateway_refuses_to_load_a_library(gateway: Container) -> None:
    mounted = ["--plan", "/home/nonroot/plan.json", "--predictor", "/home/nonroot/predictor.onnx"]
    onnxruntime = ["--executor", "onnxruntime", "--onnxruntime-library", "/home/nonroot/predictor.onnx"]
    command = gateway.command("serve", *mounted, *onnxruntime)
    done = subprocess.run(command, env=gateway.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "this program is static and loads no library" in done.stderr


def test_the_gateway_image_holds_one_program_and_no_shell(gateway: Container) -> None:
    programs = [
        path for path in gateway.root.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111
    ]
    assert [str(path.relative_to(gateway.root)) for path in programs] == ["tradewind-gateway"]


@pytest.mark.parametrize("arguments", [["controller"], ["kube", "status"], ["serve"]], ids=" ".join)
def test_the_controller_image_has_its_commands(controller: Container, arguments: list[str]) -> None:
    assert "Usage: tradewind " + " ".join(arguments) in controller.says(*arguments, "--help")


@pytest.mark.parametrize("executor", ["native", "onnxruntime"])
def test_the_controller_image_serves_the_shipped_example_through_both_doors(controller: Container, executor: str) -> None:
    arguments = ["--port", "0", "--asgi-port", "0", "--ledger-dir", "/var/lib/ledger", "--executor", executor, "--json"]
    with controller.serving(r"(\{.*\})", "serve", *arguments) as (line,):
        doors = json.loads(line)
        assert httpx.get(f"{doors['native']}/readyz").status_code == 200
        assert httpx.get(f"{doors['asgi']}/readyz").status_code == 200


def test_nothing_in_the_controller_image_is_compiled_again(controller: Container) -> None:
    loud = {**controller.environment, "PYTHONVERBOSE": "1"}
    command = controller.command("controller", "--help")
    done = subprocess.run(command, env=loud, capture_output=True, text=True, timeout=60)
    read = re.findall(r"# code object from '?([^'\n]+)", done.stderr)
    assert "/pycache/venv/lib/python3.11/site-packages/tradewind/cli/app.cpython-311.pyc" in read
    assert [path for path in read if not path.startswith("/pycache/")] == []


@pytest.mark.parametrize("name", assemble.NAMES)
def test_an_archive_is_whole(images: dict[str, Any], name: str) -> None:
    with tarfile.open(OUT / f"{name}.tar") as archive:
        contents = {entry.name: file.read() for entry in archive if (file := archive.extractfile(entry))}
    for path, content in contents.items():
        if path.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == path.rpartition("/")[2]
    (described,) = json.loads(contents["index.json"])["manifests"]
    assert described["digest"] == images[name]["digest"]
    assert described["annotations"]["io.containerd.image.name"] == images[name]["image"]
    manifest = json.loads(contents[f"blobs/sha256/{described['digest'].partition(':')[2]}"])
    (for_docker,) = json.loads(contents["manifest.json"])
    digests = [layer["digest"].partition(":")[2] for layer in manifest["layers"]]
    assert for_docker["Layers"] == [f"blobs/sha256/{digest}" for digest in digests]
    config = json.loads(contents[for_docker["Config"]])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
