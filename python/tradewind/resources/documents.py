"""YAML documents with the line of every key and entry: no duplicate keys, no unbounded aliases, no surprise
types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tradewind.errors import Problem

Path = tuple[str | int, ...]

LARGEST_FILE = 4 << 20
"""Bytes; a folder of a thousand models is a tenth of it."""
MOST_VALUES = 200_000
"""Values of one file after aliases are expanded: what stops a bomb of nested aliases."""
DEEPEST = 32

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, eq=False)
class Document:
    """One YAML document, or object of a cluster, as plain values, and where each of them stands."""

    file: str
    """Where it was read; `Kind/namespace/name` in a cluster."""
    value: Any
    lines: Mapping[Path, int] = field(repr=False)
    created: str = ""
    """When it was made, RFC 3339 in UTC as Kubernetes writes it; files do not tell."""

    def line(self, path: Path) -> int:
        """Line of a place, or of the nearest place around it that exists."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def at(self, *path: str) -> str:
        """A text somewhere in the document; empty if there is none."""
        value = self.value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, str) else ""


def read(text: bytes, file: str) -> tuple[list[Document], list[Problem]]:
    """The documents of a file, empty ones left out, and what is wrong with its YAML."""
    if len(text) > LARGEST_FILE:
        return [], [
            Problem(
                "file_too_large",
                f"the file has {len(text)} bytes; at most {LARGEST_FILE} are read",
                file=file,
            )
        ]
    documents: list[Document] = []
    reader = _Reader(file)
    try:
        for node in yaml.compose_all(text.decode(), Loader=_Loader):
            lines: dict[Path, int] = {(): node.start_mark.line + 1}
            value = reader.value(node, (), lines)
            if value is not None:
                documents.append(Document(file, value, lines))
    except UnicodeDecodeError as error:
        return [], [Problem("invalid_yaml", f"the file is not UTF-8 at byte {error.start}", file=file)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        reader.problems.append(
            Problem(
                "invalid_yaml",
                f"the YAML cannot be read: {message}",
                file=file,
                line=mark.line + 1 if mark else None,
            )
        )
    except yaml.YAMLError as error:
        reader.problems.append(Problem("invalid_yaml", f"the YAML cannot be read: {error}", file=file))
    except _TooMuch as error:
        reader.problems.append(Problem("invalid_yaml", str(error), file=file, line=error.line))
    return documents, reader.problems


def format_path(path: Path) -> str:
    """`spec.models[0].price`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _TooMuch(Exception):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _Reader:
    """Turns the nodes of one file into values, counting them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.left = MOST_VALUES

    def value(self, node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
        line = node.start_mark.line + 1
        self.left -= 1
        if self.left < 0:
            raise _TooMuch(f"the file has more than {MOST_VALUES} values after its aliases are expanded", line)
        # An alias to a node around itself has no end; it is caught here too.
        if len(path) > DEEPEST:
            raise _TooMuch(f"the document is nested deeper than {DEEPEST} levels", line)
        if isinstance(node, yaml.MappingNode):
            return dict(self._entries(node, path, lines))
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, index), lines) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _entries(self, node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag not in (_STR, _MERGE):
                self._refuse("invalid_key", "a key is a string; write it in quotes", path, line)
                continue
            if key in seen:
                self._refuse("duplicate_key", f"`{key}` stands twice, first in line {seen[key]}", (*path, key), line)
                continue
            seen[key] = line
            lines[(*path, key)] = line
            yield key, self.value(value_node, (*path, key), lines)

    def _item(self, node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
        lines[path] = node.start_mark.line + 1
        return self.value(node, path, lines)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text: str = node.value
        try:
            match node.tag:
                case "tag:yaml.org,2002:str" | "tag:yaml.org,2002:timestamp" | "tag:yaml.org,2002:value":
                    return text
                case "tag:yaml.org,2002:null":
                    return None
                case "tag:yaml.org,2002:bool":
                    return text.lower() in ("true", "yes", "on")
                case "tag:yaml.org,2002:int":
                    return int(text.replace("_", ""), 0)
                case "tag:yaml.org,2002:float":
                    return float(text.replace("_", ""))
        except ValueError:
            # YAML 1.1 has octal 010 and sexagesimal 1:30; nobody means them, so they stay texts.
            return text
        self._refuse("invalid_yaml", f"the tag `{node.tag}` is not accepted", path, node.start_mark.line + 1)
        return None

    def _refuse(self, code: str, message: str, path: Path, line: int) -> None:
        self.problems.append(Problem(code, message, path=format_path(path), file=self.file, line=line))


_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
