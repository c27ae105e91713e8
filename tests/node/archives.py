"""Container images of one static program each, as archives that `ctr images import` takes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

REGISTRY = "tradewind.test"


def write(to: Path, programs: dict[str, Path]) -> None:
    """An archive with an image `tradewind.test/NAME:1` for each program, which lies at `/NAME` and is the entry point."""
    manifest = []
    with tarfile.open(to, "w") as archive:
        for name, program in programs.items():
            layer = _layer(name, program.read_bytes())
            configuration = _configuration(name, layer)
            blobs = {f"{name}/layer.tar": layer, f"{name}/config.json": configuration}
            for path, content in blobs.items():
                _add(archive, path, content, 0o644)
            manifest.append(
                {"Config": f"{name}/config.json", "RepoTags": [f"{REGISTRY}/{name}:1"], "Layers": [f"{name}/layer.tar"]}
            )
        _add(archive, "manifest.json", json.dumps(manifest).encode(), 0o644)


def _layer(name: str, program: bytes) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        _add(archive, name, program, 0o755)
    return layer.getvalue()


def _configuration(name: str, layer: bytes) -> bytes:
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{name}"], "User": "65532:65532", "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
