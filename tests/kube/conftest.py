"""The control plane of all tests here, and a namespace for each."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import cluster as control_plane
import pytest
from cluster import Cluster, Namespace

import children

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are `kube`, without saying so."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kube)


def pytest_runtest_setup() -> None:
    """Logs are of one test."""
    children.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the ends of the logs of what runs."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {name}", text) for name, text in children.logs()]
    return report


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """etcd, kube-apiserver and kube-controller-manager, with our CRDs."""
    control_plane.skip_where_absent()
    with control_plane.started() as found:
        found.define()
        yield found


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace for one test."""
    with control_plane.namespace(cluster) as found:
        yield found
