"""What nodes could leave behind on a machine: a picture of it, before and after."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

# These change by themselves.
_LIVELY = re.compile(
    r"file-nr|inode-|dentry-state|random\.|ns_last_pid|nf_conntrack_count|perf_event_max|max_newid|netdev_rss|sched_domain"
    r"|pty\.nr|aio-nr|boot_id"
)
_FOLDERS = ("/run", "/run/netns", "/var/lib", "/etc", "/opt", "/usr/bin", "/usr/sbin", "/var/log", "/var/lib/cni", "/etc/cni")

Picture = dict[str, frozenset[str]]


def picture() -> Picture:
    """Lines about each thing: kernel knobs, links, addresses, routes, rules, mounts, cgroups, names in system folders."""
    found = {
        "knob": _said("sysctl", "-a", status=255),
        "address": _said("ip", "-o", "addr"),
        "route": _said("ip", "route", "show", "table", "all"),
        "rule": _said("ip", "rule"),
        "network namespace": _said("ip", "netns"),
        "mount": Path("/proc/self/mounts").read_text().splitlines(),
        "cgroup": [str(each) for each in Path("/sys/fs/cgroup").glob("*/*/")],
        "module": _modules(),
        "file": [str(each) for folder in _FOLDERS for each in _inside(Path(folder))],
    }
    return {kind: frozenset(line for line in lines if not _LIVELY.search(line)) for kind, lines in found.items()}


def difference(before: Picture, after: Picture) -> list[str]:
    """What came (`+`) and what went (`-`)."""
    lines = []
    for kind in before:
        lines += [f"+ {kind}: {line}" for line in sorted(after[kind] - before[kind])]
        lines += [f"- {kind}: {line}" for line in sorted(before[kind] - after[kind])]
    return lines


def _said(*command: str, status: int = 0) -> list[str]:
    # `sysctl -a` fails on the knobs that are write-only, and shows the others.
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, status), f"{' '.join(command)}: {done.stderr}"
    # How long an address is valid, and how long a route has been cached, is not what this is about.
    return [re.sub(r"\b(valid_lft|preferred_lft|expires) \S+", "", line) for line in done.stdout.splitlines()]


def _modules() -> list[str]:
    # A kernel without modules has no such file.
    file = Path("/proc/modules")
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
