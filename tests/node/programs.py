"""What nodes run: programs from Go modules, and Debian packages, unpacked and not installed; in a cache outside the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import binaries
from binaries import KUBERNETES, Program

SOURCES = Path(__file__).parent / "programs"
CONTAINERD = "2.3.7"
COREDNS = "1.15.0"

_STATIC = ("-trimpath", "-ldflags", "-s -w")
_CONTAINERD = "github.com/containerd/containerd/v2"

KUBERNETES_OF_NODES = Program(SOURCES / "kubernetes", f"kubelet, kube-proxy and kube-scheduler {KUBERNETES}", binaries.FLAGS)
RUNTIME = Program(
    SOURCES / "containerd",
    f"containerd {CONTAINERD}",
    (
        *("-trimpath", "-tags", "no_btrfs no_devmapper no_zfs no_aufs no_tracing"),
        *("-ldflags", f"-s -w -X {_CONTAINERD}/version.Version=v{CONTAINERD}"),
    ),
    tuple(f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
)
DNS = Program(SOURCES / "coredns", f"CoreDNS {COREDNS}", _STATIC)
PAUSE = Program(SOURCES / "pause", "what holds a pod's namespaces", _STATIC)

PACKAGES = (
    *("runc", "libseccomp2", "containernetworking-plugins"),
    *("iptables", "nftables", "conntrack", "ipset", "ebtables", "ethtool", "kmod", "socat"),
    *("libip4tc2", "libip6tc2", "libxtables12", "libnfnetlink0", "libnetfilter-conntrack3", "libnftnl11", "libnftables1"),
    *("libmnl0", "libwrap0", "libipset13"),
)
"""Of Debian 12, with the libraries that a small install lacks."""


@dataclass(frozen=True)
class Programs:
    """Where everything lies."""

    control_plane: Path
    kubernetes: Path
    containerd: Path
    """Folder."""
    coredns: Path
    pause: Path
    packages: Path
    """What goes over `/usr`."""


def build() -> Programs:
    """Builds, downloads and unpacks what is not in the cache yet: minutes, once."""
    missing = binaries.go_is_missing() or _missing()
    if missing:
        raise binaries.AbsentError(missing)
    return Programs(
        control_plane=binaries.CONTROL_PLANE.build(),
        kubernetes=KUBERNETES_OF_NODES.build(),
        containerd=RUNTIME.build(),
        coredns=DNS.build(),
        pause=PAUSE.build(),
        packages=_packages(),
    )


def _missing() -> str:
    tools = ("apt-get", "dpkg", "unshare", "nsenter", "setpriv", "ip", "sysctl", "openssl")
    lacking = [tool for tool in tools if not shutil.which(tool)]
    if lacking:
        return f"nodes need Debian 12 with {', '.join(tools)}; missing: {', '.join(lacking)}"
    return ""


def _packages() -> Path:
    digest = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:16]
    place = binaries.cache() / f"packages-{digest}"
    with binaries.alone("packages"):
        if not place.exists():
            binaries.say("packages", f"{len(PACKAGES)} of Debian, for a container runtime and its network")
            draft = place.with_suffix(f".{os.getpid()}")
            try:
                _unpack(draft)
                draft.replace(place)
            finally:
                binaries.remove(draft)
    return place


def _unpack(to: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Its sandboxed user may not write here otherwise, and says so on each package.
        command = ["apt-get", "download", "-o", "APT::Sandbox::User=root", *PACKAGES]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"packages: {' '.join(command)} failed; `apt-get update` may help\n{done.stderr}")
        root = folder / "root"
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
        shutil.copytree(root / "usr", to, symlinks=True)
        # Debian 12 keeps /bin, /sbin and /lib as links into /usr, which its packages do not all know.
        for part in ("bin", "sbin", "lib"):
            if (root / part).is_dir():
                shutil.copytree(root / part, to / part, symlinks=True, dirs_exist_ok=True)
    for tool in ("iptables", "ip6tables"):
        # What `update-alternatives` would do.
        for suffix in ("", "-save", "-restore"):
            link = to / "sbin" / f"{tool}{suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to("xtables-nft-multi")
