"""The teacher: the sentence encoder fine-tuned end to end on outcomes, whose soft labels the microsecond predictor learns
from, and which is tier 2 itself. Only this package needs the extra `[encoder]` (JAX, optax)."""

from __future__ import annotations

import importlib.util

from tradewind.errors import UsageError


def need() -> None:
    """Raises `UsageError` where the extra is not installed."""
    missing = [name for name in ("jax", "optax") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} not installed: `pip install 'tradewind[encoder]'` brings what the teacher needs"
        )
