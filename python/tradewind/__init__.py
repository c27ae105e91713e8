"""Tradewind: a router for large language models, with a Rust hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tradewind.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    # On demand: `tradewind --help` needs neither the engine nor the extension behind it.
    if name == "Engine":
        from tradewind.engine import Engine

        return Engine
    raise AttributeError(f"module `tradewind` has no attribute `{name}`")


def __dir__() -> list[str]:
    return __all__
