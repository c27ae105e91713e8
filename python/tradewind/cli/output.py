"""Where commands write: documents to stdout, words to stderr."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradewind.errors import Problem, UsageError

if TYPE_CHECKING:
    from rich.console import Console


def document(value: Mapping[str, Any]) -> None:
    """One JSON object."""
    lines(json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def lines(text: bytes) -> None:
    """JSON Lines, or a file, byte for byte."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def tables() -> Console:
    """For people, on stdout."""
    from rich.console import Console

    return Console(highlight=False)


def words() -> Console:
    """For people, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def complain(message: str, code: str = "") -> None:
    """One error."""
    words().print(f"[red]error[/red]{f' ({code})' if code else ''}: ", end="")
    words().print(message, markup=False, soft_wrap=True)


def show_problem(problem: Problem) -> None:
    """One problem of a configuration."""
    words().print("[red]error[/red]: " if problem.severity == "error" else "[yellow]warning[/yellow]: ", end="")
    words().print(str(problem), markup=False, soft_wrap=True)


def trace() -> None:
    """The exception that is being handled, with where it came from."""
    traceback.print_exc(file=sys.stderr)


def read_input(file: Path) -> bytes:
    """A file's bytes; `-` is stdin."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", str(file)) from None


def write(file: Path, text: bytes) -> None:
    """Writes a file whole."""
    try:
        file.write_bytes(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", str(file)) from None


def names(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def need_training() -> None:
    """The learning stack is an extra: serving does not carry it."""
    import importlib.util

    missing = [name for name in ("onnx", "pyarrow", "sklearn", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} not installed: `pip install 'tradewind[training]'` brings them")
