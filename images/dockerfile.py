"""Reads a Dockerfile: its instructions, stage by stage, with the words of each."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


class DockerfileError(Exception):
    """What is wrong, with the file and the line."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; lines that go on are joined."""

    place: str
    """`gateway.Dockerfile:12`."""
    name: str
    """In capitals."""
    text: str
    """What follows the name."""

    def refused(self, why: str) -> DockerfileError:
        """An error about this instruction."""
        return DockerfileError(f"{self.place}: {self.name}: {why}")

    def words(self, variables: Mapping[str, str]) -> list[str]:
        """The words of the text, unquoted, with variables replaced. Raises for a variable that is not known."""
        return [self.replaced(word, variables) for word in shlex.split(self.text)]

    def flags(self) -> tuple[list[str], str]:
        """The leading `--flag=value` words, and the rest of the text."""
        flags, rest = [], self.text
        while found := re.match(r"--(\S+)\s+", rest):
            flags.append(found[1])
            rest = rest[found.end() :]
        return flags, rest

    def pairs(self, variables: Mapping[str, str]) -> dict[str, str]:
        """`NAME=value` words as a table. Raises for a word without `=`."""
        words = self.words(variables)
        if bare := [word for word in words if "=" not in word]:
            raise self.refused(f"expected NAME=value, not `{bare[0]}`")
        return dict(word.split("=", 1) for word in words)

    def command(self) -> list[str]:
        """A command in exec form, `["program", "argument"]`. Raises for the shell form."""
        try:
            command = json.loads(self.text)
        except ValueError:
            command = None
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            raise self.refused(f'expected the exec form, ["program", "argument"], not `{self.text}`')
        return command

    def replaced(self, text: str, variables: Mapping[str, str]) -> str:
        """The text with `$NAME` and `${NAME}` replaced. Raises for a name that is not known."""

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name not in variables:
                raise self.refused(f"`{name}` is not known here; expected one of {', '.join(sorted(variables)) or 'none'}")
            return variables[name]

        return _VARIABLE.sub(value, text)


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it."""

    base: Instruction
    """The FROM."""
    image: str
    """The image it begins with; variables replaced."""
    name: str
    """Empty for a stage without a name."""
    instructions: list[Instruction] = field(default_factory=list)


def parse(text: str, name: str) -> list[Instruction]:
    """The instructions of a Dockerfile called `name`. Raises for what is no instruction, and for here-documents."""
    found, parts, start = [], [], 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start or number
        going_on = line.rstrip().endswith("\\")
        parts.append(line.strip().removesuffix("\\").strip())
        if not going_on:
            found.append(_instruction(" ".join(parts), f"{name}:{start}"))
            parts, start = [], 0
    if parts:
        raise DockerfileError(f"{name}:{start}: the last line ends with a backslash")
    return found


def _instruction(text: str, place: str) -> Instruction:
    word, _, rest = text.partition(" ")
    instruction = Instruction(place, word.upper(), rest.strip())
    if not word.isalpha() or not rest:
        raise DockerfileError(f"{place}: expected an instruction, not `{text}`")
    if word.upper() in ("RUN", "COPY") and "<<" in rest:
        raise instruction.refused("here-documents are not read")
    return instruction


def stages(path: Path, arguments: Mapping[str, str]) -> list[Stage]:
    """The stages of a Dockerfile. `arguments` replace the values of the ARGs before the first FROM."""
    given: dict[str, str] = {}
    found: list[Stage] = []
    for instruction in parse(path.read_text(), path.name):
        if instruction.name == "FROM":
            words = instruction.words(given)
            if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
                raise instruction.refused(f"expected `image` or `image AS name`, not `{instruction.text}`")
            found.append(Stage(instruction, words[0], words[2] if len(words) == 3 else ""))
        elif found:
            found[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            name, value = next(iter(instruction.pairs({}).items()))
            given[name] = arguments.get(name, value)
        else:
            raise instruction.refused("expected ARG or FROM before the first stage")
    if not found:
        raise DockerfileError(f"{path.name}: no FROM")
    return found
