"""Makes the images that the Dockerfiles here describe, without Docker. README.md says what differs.

Final stages stand on Debian's packages, unpacked and not installed; RUN lines of the others run on this machine, in an overlay
that keeps what they write. Everything happens in a mount namespace of its own, so that nothing is left mounted.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dockerfile
from dockerfile import Instruction, Stage

HERE = Path(__file__).resolve().parent
NAMES = ("gateway", "controller")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REPOSITORY = "ghcr.io/tradewind/tradewind-"

PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
PASSWD += "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
STATIC = ("base-files", "ca-certificates", "netbase", "tzdata")
CC = ("gcc-12-base", "libc6", "libgcc-s1", "libgomp1", "libssl3", "libstdc++6")
# fmt: off
PYTHON = (
    "libbz2-1.0", "libcom-err2", "libcrypt1", "libdb5.3", "libexpat1", "libffi8", "libgssapi-krb5-2", "libk5crypto3",
    "libkeyutils1", "libkrb5-3", "libkrb5support0", "liblzma5", "libncursesw6", "libnsl2", "libpython3.11-minimal",
    "libpython3.11-stdlib", "libreadline8", "libsqlite3-0", "libtinfo6", "libtirpc3", "libuuid1", "python3-distutils",
    "python3.11-minimal", "zlib1g",
)
# fmt: on


@dataclass(frozen=True)
class Packages:
    """What a base image is made of: Debian packages without their scripts, and what its makers add."""

    names: tuple[str, ...]
    environment: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE": f"/{CERTIFICATES}"}
BASES: dict[str, Packages] = {
    "gcr.io/distroless/static-debian12:nonroot": Packages(STATIC, _ENVIRONMENT),
    "gcr.io/distroless/python3-debian12:nonroot": Packages(
        STATIC + CC + PYTHON,
        {**_ENVIRONMENT, "LANG": "C.UTF-8"},
        {"usr/bin/python": "/usr/bin/python3.11", "usr/bin/python3": "/usr/bin/python3.11"},
    ),
}
"""Base images of final stages, and the packages that stand for each: those that its own build lists."""

TOOLS: dict[str, tuple[str, ...]] = {"rust:1.95.0-slim-bookworm": ("cargo", "cc")}
"""Base images of build stages: this machine stands for them. The commands that it must have."""


class AbsentError(Exception):
    """What this machine lacks, in a sentence."""


@dataclass
class Layer:
    """A stage while it is made."""

    root: Path
    """The whole file system."""
    made: Path
    """What the stage itself wrote; `root` where it stands on packages."""
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    config: dict[str, Any] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    """Paths below `root` that COPY wrote; the second layer of the archive."""

    @property
    def variables(self) -> dict[str, str]:
        """What an instruction may name."""
        return {**self.arguments, **self.environment}


@dataclass(frozen=True)
class Assembly:
    """Where things lie, and what `--build-arg` would say."""

    context: Path
    out: Path
    cache: Path
    arguments: Mapping[str, str]
    epoch: int
    """Seconds; the age of all files and of the image. Docker's SOURCE_DATE_EPOCH."""


def missing() -> str:
    """Why nothing can be assembled on this machine; empty where it can."""
    if os.geteuid():
        return "images are assembled by root (chroot, mounts of a namespace of its own)"
    commands = ("apt-get", "chroot", "dpkg-deb", "mount", "tar", "unshare")
    if absent := [command for command in commands if not shutil.which(command)]:
        return f"images are assembled on Debian 12; this machine lacks {', '.join(absent)}"
    return ""


def assemble(name: str, assembly: Assembly, scratch: Path) -> dict[str, Any]:
    """Makes the image `name`: its root file system `out/name`, its archive `out/name.tar`. Gives what `name.json` holds."""
    file = HERE / f"{name}.Dockerfile"
    made: dict[str, Layer] = {}
    *before, last = dockerfile.stages(file, assembly.arguments)
    for number, stage in enumerate(before):
        layer = made[stage.name] = _overlay(stage, scratch / f"{name}-{number}")
        follow(stage, layer, made, assembly)
    root = assembly.out / name
    shutil.rmtree(root, ignore_errors=True)
    final = _unpacked(last, root, assembly)
    follow(last, final, made, assembly)
    return _archive(f"{REPOSITORY}{name}:{final.arguments['VERSION']}", final, assembly.out / f"{name}.tar", assembly.epoch)


def _overlay(stage: Stage, scratch: Path) -> Layer:
    """This machine, as a stage sees it: all of it readable, what is written apart."""
    known = ", ".join(sorted(TOOLS))
    if stage.image.partition("@")[0] not in TOOLS:
        raise stage.base.refused(f"nothing stands for `{stage.image}` here; expected one of {known}")
    for command in TOOLS[stage.image.partition("@")[0]]:
        if not shutil.which(command):
            raise AbsentError(f"`{command}` is missing, which {stage.image} has")
    upper, work, root = (scratch / part for part in ("upper", "work", "root"))
    for folder in (upper, work, root):
        folder.mkdir(parents=True)
    _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", str(root))
    for kernel in ("dev", "proc"):
        _run("mount", "--rbind", f"/{kernel}", str(root / kernel))
    return Layer(root, upper)


def _unpacked(stage: Stage, root: Path, assembly: Assembly) -> Layer:
    """A base image of packages."""
    image = stage.image.partition("@")[0]
    if image not in BASES:
        raise stage.base.refused(f"nothing stands for `{stage.image}` here; expected one of {', '.join(sorted(BASES))}")
    packages = BASES[image]
    for folder in ("etc/ssl/certs", "home/nonroot", "tmp"):
        (root / folder).mkdir(parents=True)
    for archive in _downloaded(["download", *packages.names], assembly.cache / "packages"):
        _unpack(archive, root)
    for unused in ("etc/update-motd.d", "usr/share/man", "usr/share/lintian", "usr/sbin/update-ca-certificates"):
        shutil.rmtree(root / unused, ignore_errors=True)
        (root / unused).unlink(missing_ok=True)
    for page in list((root / "usr/share/doc").rglob("*")):
        if not page.is_dir() and page.name != "copyright":
            page.unlink()
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text("root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    (root / CERTIFICATES).write_text("".join(file.read_text() for file in certificates))
    for link, target in packages.links.items():
        (root / link).symlink_to(target)
    return Layer(root, root, dict(packages.environment), folder="/home/nonroot", config={"User": "65532"})


def _downloaded(command: list[str], cache: Path) -> list[Path]:
    """The archives that an apt-get command would fetch; those of the same version are kept."""
    cache.mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root"]
    listed = subprocess.run([*apt, "--print-uris", *command], capture_output=True, text=True)
    if listed.returncode:
        raise AbsentError(f"apt-get {' '.join(command)}: {listed.stderr.strip()}; does `apt-get update` help?")
    archives, wanted = [], []
    for line in listed.stdout.splitlines():
        if found := re.match(r"'(\S+)' (\S+_(\S+)_\S+\.deb) (\d+) ", line):
            archives.append(cache / found[2])
            if not archives[-1].exists():
                package, version, _ = found[2].split("_")
                wanted.append(f"{package}={version.replace('%3a', ':')}")
    if wanted:
        subprocess.run([*apt, "download", *wanted], cwd=cache, check=True)
    if absent := [archive.name for archive in archives if not archive.exists()]:
        raise AbsentError(f"apt-get download gave no {', '.join(absent)}")
    return archives


def _unpack(archive: Path, root: Path) -> None:
    """As `dpkg -x`, but a link to a folder (`/lib`) stays one."""
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, capture_output=True).stdout
    command = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)]
    subprocess.run(command, input=content, check=True)


def follow(stage: Stage, layer: Layer, made: Mapping[str, Layer], assembly: Assembly) -> None:
    """Carries out the instructions of a stage. Raises for those that it does not know."""
    for instruction in stage.instructions:
        carry_out = _FOLLOW.get(instruction.name)
        if carry_out is None:
            raise instruction.refused(f"not understood here; expected one of {', '.join(sorted(_FOLLOW))}")
        carry_out(instruction, layer, made, assembly)


def _arg(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], assembly: Assembly) -> None:
    for name, value in instruction.pairs(layer.variables).items():
        layer.arguments[name] = assembly.arguments.get(name, value)


def _env(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    layer.environment |= instruction.pairs(layer.variables)


def _label(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    layer.config.setdefault("Labels", {}).update(instruction.pairs(layer.variables))


def _workdir(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    (word,) = instruction.words(layer.variables)
    layer.folder = os.path.normpath(Path(layer.folder) / word)
    below(layer.root, layer.folder).mkdir(parents=True, exist_ok=True)


def _user(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    (layer.config["User"],) = instruction.words(layer.variables)


def _expose(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    layer.config["ExposedPorts"] = {f"{port}/tcp": {} for port in instruction.words(layer.variables)}


def _entrypoint(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    layer.config["Entrypoint"] = instruction.command()


def _cmd(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], __: Assembly) -> None:
    layer.config["Cmd"] = instruction.command()


def _copy(instruction: Instruction, layer: Layer, made: Mapping[str, Layer], assembly: Assembly) -> None:
    flags, text = instruction.flags()
    stage = next((flag.removeprefix("from=") for flag in flags if flag.startswith("from=")), None)
    if others := [flag for flag in flags if not flag.startswith("from=")]:
        raise instruction.refused(f"`--{others[0]}` is not understood here; expected --from")
    if stage is not None and stage not in made:
        raise instruction.refused(f"no stage `{stage}`; expected one of {', '.join(sorted(made))}")
    *sources, target = Instruction(instruction.place, "COPY", text).words(layer.variables)
    into = target.endswith("/") or len(sources) > 1
    for source in sources:
        # What a base image of a build stage holds is not here: this machine's own file would be a lie.
        found = below(made[stage].made if stage else assembly.context, source)
        if not found.exists():
            raise instruction.refused(f"no `{source}`" + (f" that the stage `{stage}` made" if stage else " in the context"))
        to = Path(layer.folder) / target
        _take(
            found,
            below(layer.root, str(to / found.name if into and not found.is_dir() else to)),
            stage is None,
            assembly.context,
        )
    layer.copied.append(os.path.normpath(Path(layer.folder) / target).lstrip("/"))


def _take(found: Path, to: Path, from_context: bool, context: Path) -> None:
    ignored = hidden(context) if from_context else None

    def passed_over(folder: str, names: list[str]) -> set[str]:
        if ignored is None:
            return set()
        return {name for name in names if ignored(os.path.relpath(Path(folder) / name, context))}

    if found.is_dir():
        shutil.copytree(found, to, symlinks=True, ignore=passed_over, dirs_exist_ok=True)
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, to, follow_symlinks=False)


def hidden(context: Path) -> Callable[[str], bool]:
    """Whether `.dockerignore` hides a path of the context: its last line that fits the path, or a folder above it, decides."""
    lines = [line.strip() for line in (context / ".dockerignore").read_text().splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]

    def fits(path: str, pattern: str) -> bool:
        # `**/` is any depth, none as well; a pattern without it counts from the root, and covers what is below.
        parts = path.split("/")
        if pattern.startswith("**/"):
            return any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        return fnmatch.fnmatchcase("/".join(parts[: pattern.count("/") + 1]), pattern)

    def is_hidden(path: str) -> bool:
        result = False
        for rule in rules:
            if fits(path, rule.removeprefix("!")):
                result = not rule.startswith("!")
        return result

    return is_hidden


def _run_line(instruction: Instruction, layer: Layer, _: Mapping[str, Layer], assembly: Assembly) -> None:
    if layer.made == layer.root:
        raise instruction.refused("a final stage has no shell to run it")
    flags, script = instruction.flags()
    if found := re.match(r"apt-get update && apt-get install ((?:[\w.+-]+ )+)&& rm -rf /var/lib/apt/lists/\*$", script):
        # Unpacked: what this machine has already is not fetched, and no script of a package runs.
        for archive in _downloaded(["install", *found[1].split()], assembly.cache / "packages"):
            _unpack(archive, layer.root)
        return
    for flag in flags:
        mount = re.fullmatch(r"mount=type=cache,target=(/[\w/.-]+)", flag)
        if not mount:
            raise instruction.refused(f"`--{flag}` is not understood here; expected --mount=type=cache,target=/…")
        cached, at = assembly.cache / mount[1].strip("/").replace("/", "-"), below(layer.root, mount[1])
        for folder in (cached, at):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(at):
            _run("mount", "--bind", str(cached), str(at))
    variables = {**os.environ, **layer.variables, "HOME": "/root", "SOURCE_DATE_EPOCH": str(assembly.epoch)}
    command = ["chroot", str(layer.root), "/bin/sh", "-c", f'cd "$0" && {script}', layer.folder]
    if (status := subprocess.run(command, env=variables, stdout=sys.stderr).returncode) != 0:
        raise instruction.refused(f"status {status}: {script}")


_FOLLOW: dict[str, Callable[[Instruction, Layer, Mapping[str, Layer], Assembly], None]] = {
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "RUN": _run_line,
    "USER": _user,
    "WORKDIR": _workdir,
}


def below(root: Path, path: str) -> Path:
    """A path of an image, here."""
    return root / os.path.normpath(path).lstrip("/")


def _archive(image: str, layer: Layer, to: Path, epoch: int) -> dict[str, Any]:
    """Writes an OCI layout that `ctr images import` and `docker load` read: one layer for the base, one for what COPY wrote."""
    parts = [
        tarred(layer.root, lambda path: not _under(path, layer.copied), epoch),
        tarred(layer.root, lambda path: _under(path, layer.copied), epoch),
    ]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}
    created = _time(epoch)
    environment = [f"{name}={value}" for name, value in sorted(layer.environment.items())]
    config = {
        "architecture": machine.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": created,
        "config": {**layer.config, "Env": environment, "WorkingDir": layer.folder},
        "rootfs": {"type": "layers", "diff_ids": [_digest(part) for part in parts]},
        "history": [{"created": created, "created_by": f"images/assemble.py: {part}"} for part in ("base", "COPY")],
    }
    written = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _described(written, "application/vnd.oci.image.config.v1+json"),
        "layers": [_described(part, "application/vnd.oci.image.layer.v1.tar") for part in parts],
    }
    stated = json.dumps(manifest, sort_keys=True).encode()
    names = {"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image.rpartition(":")[2]}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**_described(stated, MANIFEST), "annotations": names}],
    }
    blobs = {f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in (written, stated, *parts)}
    paths = [f"blobs/sha256/{_digest(part).partition(':')[2]}" for part in parts]
    for_docker = [{"Config": f"blobs/sha256/{_digest(written).partition(':')[2]}", "RepoTags": [image], "Layers": paths}]
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index, sort_keys=True).encode(),
        "manifest.json": json.dumps(for_docker, sort_keys=True).encode(),
        **blobs,
    }
    with tarfile.open(to, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), epoch
            archive.addfile(entry, io.BytesIO(content))
    sizes = {"unpacked": sum(map(len, parts)), "compressed": sum(len(gzip.compress(part, 6, mtime=0)) for part in parts)}
    result = {"image": image, "digest": _digest(stated), "bytes": sizes, "config": config["config"]}
    to.with_suffix(".json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    return result


def tarred(root: Path, wanted: Callable[[str], bool], epoch: int) -> bytes:
    """A tar of the wanted paths, the same for the same content: sorted, owned by root, of one age, with plain modes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _walk(root):
            name = str(path.relative_to(root))
            if not wanted(name):
                continue
            entry = archive.gettarinfo(path, name)
            entry.mode = 0o777 if entry.issym() else 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            entry.uid = entry.gid = 65532 if name == "home/nonroot" else 0
            entry.uname = entry.gname = ""
            entry.mtime = epoch
            if name in ("tmp", "home/nonroot"):
                entry.mode = {"tmp": 0o1777, "home/nonroot": 0o700}[name]
            if entry.isfile():
                with path.open("rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)
    return content.getvalue()


def _walk(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _under(path: str, tops: list[str]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _described(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _time(epoch: int) -> str:
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat().replace("+00:00", "Z")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    """Assembles the images that are named, all by default, and prints a line for each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), help="of `gateway` and `controller`; both where none is named")
    parser.add_argument("--out", type=Path, default=HERE.parent / "dist/images", help="folder of the archives and the roots")
    parser.add_argument("--profile", default="release", help="profile of Cargo: `quick` for quick turns")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown image `{min(unknown)}`; expected one of {', '.join(NAMES)}")
    if why := missing():
        raise SystemExit(f"images: {why}")
    if os.environ.get("TRADEWIND_IMAGES_INSIDE") != "1":
        os.environ["TRADEWIND_IMAGES_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    repository = HERE.parent
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    arguments = {"PROFILE": options.profile, "REVISION": revision or "unknown"}
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    options.out.mkdir(parents=True, exist_ok=True)
    assembly = Assembly(repository, options.out.resolve(), repository / "target/images", arguments, epoch)
    scratch = assembly.out / "scratch"
    scratch.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "tmpfs", str(scratch))
    try:
        for name in options.names:
            made = assemble(name, assembly, scratch)
            sizes = ", ".join(f"{made['bytes'][kind] / 1e6:.1f} MB {kind}" for kind in ("compressed", "unpacked"))
            print(f"images: {assembly.out / name}.tar: {made['image']}, {sizes}, {made['digest']}", flush=True)  # noqa: T201
    except (dockerfile.DockerfileError, AbsentError) as error:
        raise SystemExit(f"images: {error}") from None


if __name__ == "__main__":
    main()
