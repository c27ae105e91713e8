"""Reads pickles of NumPy arrays and of pandas frames without running what they name.

A pickle may name any callable. Here it can name only what `GLOBALS` holds: builders of plain data of our own. pandas
is not needed: a frame is taken apart as its own pickling has it (pandas-dev/pandas,
`pandas/_libs/internals.pyx` at 044227f25bfbf61a9b7833c15538f8af26bfb89d: `SharedBlock.__reduce__` gives
`_unpickle_block(values, placement, ndim)`, `BlockManager.__reduce__` gives `(blocks, axes)`; `NDFrame.__getstate__`
gives `{"_mgr": …}`; `Index.__reduce__` gives `_new_Index(cls, {"data": …, "name": …})`).
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.errors import UsageError

BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What the bytes of a broken pickle raise."""
HEAD_BYTES = 4096
"""Enough for the first names in a pickle."""


class Frame:
    """A pandas frame: blocks of columns of one type."""

    manager: Manager

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.manager = state["_mgr"]


class Manager:
    """The blocks of a frame, and its axes: column names first."""

    def __init__(self, blocks: Sequence[Block], axes: Sequence[Index]) -> None:
        self.blocks = tuple(blocks)
        self.axes = tuple(axes)


class Block:
    """Columns of one type: values [columns, rows], and which columns they are."""

    def __init__(self, values: Any, placement: Any, _ndim: int) -> None:
        self.values = values
        self.placement = placement


class Index:
    """Names along an axis; of the rows' axis nothing is read."""

    def __init__(self, data: Any = (), **_: Any) -> None:
        self.data = data


def _index(kind: type[Index], fields: dict[str, Any]) -> Index:
    return kind(**fields)


class _Array:
    """Stands for the class in `_reconstruct`."""


def _empty_array(*_: Any) -> np.ndarray[Any, Any]:
    """What an array's pickled state is then set on."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _array(buffer: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    return np.frombuffer(data, dtype=dtype)[0]


def _latin_1(text: str, *_: Any) -> bytes:
    """Bytes, as pickles before protocol 3 hold them."""
    return text.encode("latin-1")


GLOBALS: dict[tuple[str, str], Any] = {
    ("builtins", "slice"): slice,
    ("_codecs", "encode"): _latin_1,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): _Array,
    # NumPy before 2 and since.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
    ("pandas.core.frame", "DataFrame"): Frame,
    ("pandas.core.internals.managers", "BlockManager"): Manager,
    ("pandas._libs.internals", "_unpickle_block"): Block,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.base", "Index"): Index,
    ("pandas.core.indexes.range", "RangeIndex"): Index,
    ("pandas.core.indexes.numeric", "Int64Index"): Index,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = GLOBALS.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names `{module}.{name}`, which is not data that is known here")
        return found


def load(path: Path) -> Any:
    """What a pickle holds. Raises `UsageError` where it names anything that is not known data."""
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream).load()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", str(path)) from None
    except BROKEN as error:
        raise UsageError(f"{path} cannot be read: {error}. {_convert(path)}", str(path)) from None


def frame(path: Path) -> dict[str, list[Any]]:
    """The columns of a pickled pandas frame. Raises `UsageError` where the file holds anything else."""
    found = load(path)
    try:
        names = [str(name) for name in found.manager.axes[0].data]
        columns: dict[int, list[Any]] = {}
        for block in found.manager.blocks:
            places = np.arange(len(names))[block.placement]
            columns |= {int(place): block.values[row].tolist() for row, place in enumerate(places)}
        return {name: columns[place] for place, name in enumerate(names)}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise UsageError(f"{path} holds no pandas frame that can be read here. {_convert(path)}", str(path)) from None


def strings(path: Path) -> tuple[str, ...]:
    """The first strings in a pickle, names of globals among them; nothing of it is run."""
    found: list[str] = []
    try:
        with path.open("rb") as stream:
            for _, argument, _ in pickletools.genops(io.BytesIO(stream.read(HEAD_BYTES))):
                if isinstance(argument, str):
                    found += argument.split(" ")
    except ValueError:
        pass  # the head of a file ends anywhere
    return tuple(found)


def _convert(path: Path) -> str:
    """How to go round a pickle that is refused."""
    target = path.with_suffix(".parquet").name
    return (
        "If you trust it, convert it where pandas and pyarrow are installed: "
        f"python -c \"import pandas; pandas.read_pickle('{path.name}').to_parquet('{target}')\""
    )
