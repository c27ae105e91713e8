"""Both Dockerfiles, as text: a linter finds nothing, and they keep to our own rules."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import assemble
import dockerfile
import pytest
from dockerfile import DockerfileError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "images").glob("*.Dockerfile"))
GOOD = """
ARG BASE=scratch:1
FROM builder:1 AS build
COPY LICENSE ./
FROM ${BASE}
COPY --from=build /out /out
USER 65532:65532
ENTRYPOINT ["/out"]
"""


def problems(file: Path, context: Path) -> list[str]:
    """What breaks our rules in a Dockerfile, each with its line."""
    stages = dockerfile.stages(file, {})
    hidden = assemble.hidden(context)
    found = []
    for stage in stages:
        image, _, tag = stage.image.partition("@")[0].rpartition(":")
        if not image or tag == "latest":
            found.append(f"{stage.base.place}: `{stage.image}` is not pinned")
        for instruction in stage.instructions:
            flags, text = instruction.flags()
            if instruction.name == "ADD":
                found.append(f"{instruction.place}: ADD fetches and unpacks; COPY does neither")
            if instruction.name == "HEALTHCHECK":
                found.append(f"{instruction.place}: Kubernetes probes")
            if instruction.name == "COPY" and not flags:
                for source in text.split()[:-1]:
                    if not (context / source).exists() or hidden(source):
                        found.append(f"{instruction.place}: `{source}` is not in the context")
    users = [one for one in stages[-1].instructions if one.name == "USER"]
    if not users or users[-1].text != "65532:65532":
        found.append(f"{file.name}: the last USER is not 65532:65532")
    entries = [one for one in stages[-1].instructions if one.name in ("ENTRYPOINT", "CMD")]
    if "ENTRYPOINT" not in [one.name for one in entries]:
        found.append(f"{file.name}: no ENTRYPOINT")
    for entry in entries:
        try:
            entry.command()
        except DockerfileError as error:
            found.append(str(error))
    return found


def test_there_is_one_for_each_image() -> None:
    assert [file.name for file in FILES] == ["controller.Dockerfile", "gateway.Dockerfile"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_linter_finds_nothing(file: Path) -> None:
    done = subprocess.run([Path(sys.executable).parent / "hadolint", file], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "bad.Dockerfile"
    file.write_text("FROM debian\nRUN cd /tmp\n")
    done = subprocess.run([Path(sys.executable).parent / "hadolint", file], capture_output=True, text=True, timeout=60)
    assert "DL3006" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_our_rules_are_kept(file: Path) -> None:
    assert problems(file, ROOT) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("scratch:1", "scratch:latest", "x.Dockerfile:5: `scratch:latest` is not pinned"),
        ("builder:1", "builder", "x.Dockerfile:3: `builder` is not pinned"),
        ("COPY LICENSE ./", "ADD https://example.org/file ./", "x.Dockerfile:4: ADD fetches and unpacks; COPY does neither"),
        ("COPY LICENSE ./", "COPY docs ./", "x.Dockerfile:4: `docs` is not in the context"),
        ("COPY LICENSE ./", "COPY nowhere ./", "x.Dockerfile:4: `nowhere` is not in the context"),
        ("USER 65532:65532", "USER nonroot", "x.Dockerfile: the last USER is not 65532:65532"),
        ("USER 65532:65532", "HEALTHCHECK CMD true\nUSER 65532:65532", "x.Dockerfile:7: Kubernetes probes"),
        ('ENTRYPOINT ["/out"]', "", "x.Dockerfile: no ENTRYPOINT"),
        ('["/out"]', "/out", 'x.Dockerfile:8: ENTRYPOINT: expected the exec form, ["program", "argument"], not `/out`'),
    ],
)
def test_a_rule_that_is_broken_is_named(tmp_path: Path, old: str, new: str, found: str) -> None:
    file = tmp_path / "x.Dockerfile"
    file.write_text(GOOD)
    assert problems(file, ROOT) == []
    file.write_text(GOOD.replace(old, new))
    assert problems(file, ROOT) == [found]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_version_is_that_of_the_workspace(file: Path) -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    last = dockerfile.stages(file, {})[-1]
    assert next(one.text for one in last.instructions if one.name == "ARG") == f"VERSION={version}"


def test_the_toolchain_is_as_new_as_the_workspace_asks() -> None:
    wanted = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    for file in FILES:
        assert dockerfile.stages(file, {})[0].image.startswith(f"rust:{wanted}.")


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (line.split()[0] for line in (ROOT / "requirements" / name).read_text().splitlines() if "==" in line)
        return dict(line.split("==") for line in lines if not line.startswith("#"))

    image, tested = pins("controller.txt"), pins("lock.txt")
    assert image == {name: tested[name] for name in image}
    assert {"kopf", "fastapi", "onnxruntime"} <= image.keys()
    assert not {"scikit-learn", "pyarrow", "pytest", "ruff"} & image.keys()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FROM a:1\nRUN <<EOF", "x:2: RUN: here-documents are not read"),
        ("FROM a:1 \\", "x:1: the last line ends with a backslash"),
        ("FROM a:1\n[x]", "x:2: expected an instruction, not `[x]`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        dockerfile.parse(text, "x")
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("STOPSIGNAL SIGINT", "STOPSIGNAL: not understood here; expected one of ARG, CMD, COPY, "),
        ("RUN true", "RUN: a final stage has no shell to run it"),
        ("COPY --chown=1 a b", "COPY: `--chown=1` is not understood here; expected --from"),
        ("COPY --from=build a b", "COPY: no stage `build`; expected one of "),
        ("ENV A=$B", "ENV: `B` is not known here; expected one of none"),
        ("ENV A", "ENV: expected NAME=value, not `A`"),
        ("CMD run", "CMD: expected the exec form"),
    ],
)
def test_what_cannot_be_assembled_is_refused_with_its_line(tmp_path: Path, line: str, error: str) -> None:
    file = tmp_path / "x.Dockerfile"
    file.write_text(f"FROM a:1\n{line}\n")
    (stage,) = dockerfile.stages(file, {})
    with pytest.raises(DockerfileError) as raised:
        assemble.follow(stage, assemble.Layer(tmp_path, tmp_path), {}, assemble.Assembly(ROOT, tmp_path, tmp_path, {}, 0))
    assert str(raised.value).startswith(f"x.Dockerfile:2: {error}")


def test_a_layer_has_the_same_bytes_wherever_and_whenever_it_was_written(tmp_path: Path) -> None:
    layers = []
    for name, mode in (("one", 0o700), ("two", 0o755)):
        root = tmp_path / name
        (root / "etc").mkdir(parents=True, mode=mode)
        for file in ("b", "a") if name == "one" else ("a", "b"):
            (root / "etc" / file).write_text(file)
        layers.append(assemble.tarred(root, lambda path: True, 0))
    assert layers[0] == layers[1]
