"""`DataFrame.to_pickle` without pandas, for tests of reading such files."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from tradewind.training.formats import pickles


def dumps(frame: Mapping[str, list[Any]], protocol: int, core: str = "_core") -> bytes:
    """`DataFrame.to_pickle` of pandas 1.3 to 2: what its classes give to pickle, under their names; `core` is where the NumPy
    of the writer keeps its own."""
    made = {name: types.ModuleType(name) for name in sorted({module for module, _ in pickles.GLOBALS if "pandas" in module})}
    made |= {"pandas": types.ModuleType("pandas"), "pandas.core": types.ModuleType("pandas.core")}

    class DataFrame:
        def __init__(self, manager: object) -> None:
            self._mgr = manager

        def __getstate__(self) -> dict[str, object]:
            flags = {"allows_duplicate_labels": True}
            return {"_mgr": self._mgr, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": flags}

    class BlockManager:
        def __init__(self, blocks: object, axes: object) -> None:
            self.blocks, self.axes = blocks, axes

        def __reduce__(self) -> tuple[Any, ...]:
            return BlockManager, (self.blocks, self.axes)

    def _unpickle_block(values: object, placement: object, ndim: int) -> None:
        raise AssertionError

    class Block:
        def __init__(self, values: object, placement: object) -> None:
            self.values, self.placement = values, placement

        def __reduce__(self) -> tuple[Any, ...]:
            return _unpickle_block, (self.values, self.placement, 2)

    def _new_Index(cls: type, d: object) -> None:
        raise AssertionError

    class Index:
        def __init__(self, **fields: object) -> None:
            self.fields = fields

        def __reduce__(self) -> tuple[Any, ...]:
            return _new_Index, (type(self), self.fields), None

    class RangeIndex(Index):
        pass

    places = {
        "pandas.core.frame": (DataFrame,),
        "pandas.core.internals.managers": (BlockManager,),
        "pandas._libs.internals": (_unpickle_block,),
        "pandas.core.indexes.base": (_new_Index, Index),
        "pandas.core.indexes.range": (RangeIndex,),
    }
    for module, members in places.items():
        for member in members:
            member.__module__, member.__qualname__ = module, member.__name__
            setattr(made[module], member.__name__, member)
    names = list(frame)
    numeric = [place for place, name in enumerate(names) if isinstance(frame[name][0], float)]
    textual = [place for place in range(len(names)) if place not in numeric]
    rows = len(frame[names[0]])
    texts = np.empty((len(textual), rows), object)
    texts[:] = [frame[names[place]] for place in textual]
    blocks = (
        # A consolidated frame has its columns side by side: Fortran's order.
        Block(np.asfortranarray([frame[names[place]] for place in numeric]), np.array(numeric)),
        Block(texts, np.array(textual)),
    )
    axes = [
        Index(data=np.array(names, object), name=None),
        RangeIndex(name=None, start=0, stop=rows, step=1),
    ]
    saved = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        dumped = pickle.dumps(DataFrame(BlockManager(blocks, axes)), protocol)
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return dumped if core == "_core" or protocol > 3 else dumped.replace(b"numpy._core.", b"numpy.core.")
