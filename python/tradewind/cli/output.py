"""Where commands write: documents to stdout, words to stderr."""

from __future__ import annotations

import json
import os
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


def need_folder(*folders: Path | None) -> None:
    """Folders that results go to, which may have to be made: wrong usage before the work, not a failure after it."""
    for folder in filter(None, folders):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} cannot be written: it is not a folder", str(folder))
        _need_place(folder, folder)


def need_file(*files: Path | None) -> None:
    """The same for files."""
    for file in filter(None, files):
        if file.is_dir():
            raise UsageError(f"{file} cannot be written: it is a folder", str(file))
        _need_place(file, file if file.exists() else file.parent)


def _need_place(wanted: Path, place: Path) -> None:
    present = next(path for path in (place, *place.parents) if path.exists())
    if present != wanted and not present.is_dir():
        raise UsageError(f"{wanted} cannot be written: {present} is not a folder", str(wanted))
    if not os.access(present, os.W_OK):
        raise UsageError(f"{wanted} cannot be written: no permission to write {present}", str(wanted))


def names(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def need_training() -> None:
    """The learning stack is an extra: serving does not carry it."""
    import importlib.util

    missing = [name for name in ("onnx", "pyarrow", "sklearn", "matplotlib", "httpx") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} not installed: `pip install 'tradewind[training]'` brings them")
