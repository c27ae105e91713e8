"""Helm and the generator of the charts lie elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "kube"), str(ROOT / "charts")]


@pytest.fixture(scope="session", autouse=True)
def _fetched(request: pytest.FixtureRequest) -> None:
    """Tests that render need Helm; the others do not."""
    import binaries

    if any(item.get_closest_marker("kube") for item in request.session.items):
        try:
            binaries.helm()
        except binaries.AbsentError as absent:
            pytest.skip(str(absent))
