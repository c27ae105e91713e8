"""`make demo-cluster`: two real Kubernetes nodes come up on this machine, show Tradewind, and go without a trace.

`--write` also writes `docs/cluster.md`; `--nodes` shows the nodes alone. Ends with 1 and the reason where something fails.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "kube")]

import binaries  # noqa: E402
import helm  # noqa: E402
import nodes  # noqa: E402
import page  # noqa: E402
import programs  # noqa: E402
import rest  # noqa: E402
import story  # noqa: E402
import traces  # noqa: E402
from nodes import Nodes  # noqa: E402
from story import Row  # noqa: E402

ROOT = Path(__file__).parents[2]
IMAGES = ("gateway", "controller")


def main() -> None:
    """Everything."""
    # Also where a shell started this in the background, with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/cluster.md")
    parser.add_argument("--nodes", action="store_true", help="the nodes, without Tradewind")
    parser.add_argument("--profile", default="release", help="profile of Cargo for the images")
    parser.add_argument("--images", type=Path, help="folder of archives that `make images` made, in place of making them")
    options = parser.parse_args()
    try:
        images = [] if options.nodes else _images(options.images or _assembled(options.profile))
        rows = run(images)
    except (AssertionError, nodes.MachineError, binaries.AbsentError, helm.RefusedError) as error:
        raise SystemExit(f"demo-cluster: {error}") from error
    print(page.table(rows))  # noqa: T201
    if options.write:
        (ROOT / "docs/cluster.md").write_text(page.page(rows, _machine()))


def run(images: Sequence[Path]) -> list[Row]:
    """Nodes up, the story where there are images, nodes gone. Raises AssertionError where something does not hold."""
    built = programs.build()
    binaries.fetch_helm()
    nodes.sweep()
    before = traces.picture()
    began = time.monotonic()
    rows: list[Row] = []

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)  # noqa: T201

    def tell(what: str, figure: str) -> None:
        rows.append(Row("Nodes", what, figure))
        say(f"{what}: {figure}")

    with nodes.started(built, images, say) as cluster:
        tell("from nothing to two Ready nodes with DNS", f"{time.monotonic() - began:.1f} s")
        _runs_pods(cluster)
        if images:
            rows += story.tell(cluster, say)
        ending = time.monotonic()
    tell("until nodes, mounts, networks and cgroups are gone", f"{time.monotonic() - ending:.1f} s")
    left = traces.difference(before, traces.picture())
    assert not left, "\n".join(["left behind on this machine:", *left])
    tell("left behind on this machine (kernel knobs, addresses, routes, mounts, cgroups, files)", "nothing")
    return rows


def _runs_pods(cluster: Nodes) -> None:
    for node in cluster.nodes:
        container = {"name": "pause", "image": "tradewind.test/pause:1"}
        pod = {"metadata": {"name": node.name}, "spec": {"nodeName": node.name, "containers": [container]}}
        cluster.api.create(rest.path("pods", "default"), pod)
    for node in cluster.nodes:
        cluster.api.until(rest.path("pods", "default", node.name), nodes.is_ready, 30, f"a pod on {node.name} is Ready")
        cluster.api.delete(rest.path("pods", "default", node.name))


def _assembled(profile: str) -> Path:
    """Both images, made of this tree."""
    folder = ROOT / "dist/images"
    command = [sys.executable, str(ROOT / "images/assemble.py"), "--out", str(folder), "--profile", profile, *IMAGES]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise nodes.MachineError("the images cannot be made")
    return folder


def _images(folder: Path) -> list[Path]:
    found = [folder.resolve() / f"{name}.tar" for name in IMAGES]
    lacking = [str(each) for each in found if not each.exists()]
    if lacking:
        raise nodes.MachineError(f"no {', '.join(lacking)}: `make images` makes them where no Docker daemon answers")
    return found


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GB, Linux {platform.release().split('-')[0]}"


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
