"""Where a client calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A door and a key for it."""

    base_url: str
    key: str
