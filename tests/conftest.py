"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest


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
