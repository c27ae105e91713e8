"""Keeps the process small and its pauses short: objects live for hours here, and some blocks are large and short-lived."""

from __future__ import annotations

import ctypes
import gc
import sys

ARENAS = 2
"""Heaps of the C library. By default each of many threads gets one, and keeps what it once needed."""
MAPPED_BYTES = 256 << 10
"""Blocks from this size on go back to the system as soon as they are free; by default the C library learns to keep them."""
_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""Of `mallopt`, in `malloc.h` of glibc."""
YOUNG = 50_000
"""New containers between two looks for garbage cycles; a pass over 20,000 models makes more than a million."""


def begin() -> None:
    """At the start of the process, before there are threads."""
    gc.set_threshold(YOUNG, 20, 20)
    if _libc is not None:
        _libc.mallopt(_ARENA_MAX, ARENAS)
        _libc.mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)


def settle() -> None:
    """Once everything was read: what is there now stays, and is not looked through again."""
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Gives free pages of the heaps back to the system."""
    if _libc is not None:
        _libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    found = ctypes.CDLL(None) if sys.platform == "linux" else None
    return found if found is not None and hasattr(found, "malloc_trim") else None


_libc = _glibc()
