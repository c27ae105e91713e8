"""Where the sets of a data folder lie, and in which format each is. One file and one row for each format."""

from __future__ import annotations

from pathlib import Path

from tradewind.errors import UsageError, listed, unknown
from tradewind.training.formats import files, ledger, long, routellm, routerarena, routerbench, routereval, tables, wide
from tradewind.training.formats.entry import Entry, Source, Tables
from tradewind.training.formats.files import File

TABLE: tuple[Entry, ...] = (
    tables.ENTRY,
    long.ENTRY,
    wide.ENTRY,
    ledger.ENTRY,
    routerbench.ENTRY,
    routellm.ENTRY,
    routereval.ENTRY,
    routerarena.ENTRY,
)

NO_SETS = frozenset({"prices"})
"""What else has its place in a data folder."""


class NoFormat(UsageError):
    """Something else than a data set, as far as can be told."""


def available(data: Path) -> dict[str, tuple[Path, str]]:
    """(file or folder, part) of each set by its name: a folder's name, or a file's without its suffix. `data` is a folder
    of sets, or one file. Raises `UsageError` where there is none, or two sets have one name."""
    found: dict[str, tuple[Path, str]] = {}
    for path in [data] if data.is_file() else sorted(_folder(data)):
        if path.name in NO_SETS or path.name.startswith(".") or not files.within(path):
            continue
        name = path.stem if path.is_file() else path.name
        for part in _parts(path):
            whole = f"{name}.{part}" if part else name
            if whole in found:
                raise UsageError(f"`{found[whole][0].name}` and `{path.name}` are both the set `{whole}`", str(path))
            found[whole] = path, part
    return found


def named(data: Path, name: str) -> Source:
    """The set of that name."""
    known = available(data)
    if name not in known:
        raise UsageError(unknown("data set", name, sorted(known)), str(data))
    path, part = known[name]
    return Source(name, path, tuple(files.look(file) for file in files.within(path)), part)


def read(source: Source) -> Tables:
    """The tables of a set. Raises `UsageError` where its format is not known, or its content not as the format has it."""
    found = recognise(source.path, source.files).read(source)
    if not len(found.outcomes["score"]):
        raise UsageError(f"data set `{source.name}` has no scores", str(source.path))
    return found


def recognise(path: Path, given: tuple[File, ...]) -> Entry:
    """The format of these files. Raises `UsageError` where it is none, or not one."""
    matching = [entry for entry in TABLE if entry.recognises(given)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"`{path.name}` could be {listed([entry.name for entry in matching])}", str(path))
    seen = "; ".join(f"{file.path.name} has {listed(file.names[:12])}" for file in given[:3])
    rows = "".join(f"\n  {entry.name}: {entry.about}" for entry in TABLE)
    raise NoFormat(f"`{path.name}` is in no format that is known ({seen}); expected one of{rows}", str(path))


def _folder(data: Path) -> list[Path]:
    try:
        return list(data.iterdir())
    except OSError as error:
        raise UsageError(f"{data} holds no data set: {error.strerror}", str(data)) from None


def _parts(path: Path) -> tuple[str, ...]:
    """Only one file may hold several sets; of any other nothing needs to be known before it is read."""
    inside = files.within(path)
    if len(inside) != 1 or inside[0].suffix != ".pkl":
        return ("",)
    given = (files.look(inside[0]),)
    return next((entry.parts for entry in TABLE if entry.recognises(given)), ("",))
