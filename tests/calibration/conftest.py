"""Few draws: tests of calibration look at intervals, not at their last digit."""

from __future__ import annotations

import pytest

from tradewind import bootstrap


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS", 100)
