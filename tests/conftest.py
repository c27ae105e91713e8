"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from commands import Tradewind

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped fails."""
    return not_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI a module that is skipped fails."""
    return not_skipped((yield))


def not_skipped(report: Report) -> Report:
    """The report, or a failure where it tells of a skip in CI: there, what a test needs is to be installed."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} must run in CI. {reason}"
    return report


@pytest.fixture
def tradewind(capfdbinary: pytest.CaptureFixture[bytes]) -> Tradewind:
    """Runs a command in this process; gives exit status, stdout, stderr."""
    from tradewind.cli.app import run

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return call


@pytest.fixture(scope="session")
def predictor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny predictor, written once."""
    import tiny_predictor

    return tiny_predictor.write(tmp_path_factory.mktemp("predictor"))


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tiny predictor as a whole graph, which both executors run."""
    import tiny_graph

    return tiny_graph.build(tmp_path_factory.mktemp("graph"))
