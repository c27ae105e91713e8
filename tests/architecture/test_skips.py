"""What a skip means: a word to a person, a failure in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = {
    "test_marked.py": "import pytest\n@pytest.mark.skip(reason='no lighthouse')\ndef test_it(): pass\n",
    "test_module.py": "import pytest\npytest.skip('no harbour', allow_module_level=True)\n",
    "test_expected.py": "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n",
}


@pytest.mark.parametrize(
    ("variables", "status", "parts"),
    [
        ({}, 0, ["2 skipped, 1 xfailed"]),
        ({"CI": "true"}, 1, ["must run in CI. Skipped: no lighthouse", "Skipped: no harbour", "1 xfailed, 2 errors"]),
    ],
    ids=["by hand", "in CI"],
)
def test_a_skip_is_a_failure_in_ci(tmp_path: Path, variables: dict[str, str], status: int, parts: list[str]) -> None:
    for name, text in {"conftest.py": CONFTEST.read_text(), **TESTS}.items():
        (tmp_path / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors", "."]
    done = subprocess.run(command, cwd=tmp_path, env={**environment, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout
    assert all(part in done.stdout for part in parts), done.stdout
