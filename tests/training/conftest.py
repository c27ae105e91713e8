"""Where the outcome tables of third parties lie; nothing of them is in this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of data sets, as `make evaluate` has it: `DATA`, else `../shared/data`."""
    folder = Path(os.environ.get("DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no outcome tables: neither DATA nor ../shared/data is a folder of them")
    return folder
