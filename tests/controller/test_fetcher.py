"""What the controller fetches for policies: what no gateway of a cluster can run is the policy's problem alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import own_graph
import tiny_predictor
from hosted import hosted
from tradewind.artifacts import predictor
from tradewind.artifacts.predictor import Predictors
from tradewind.controller.fetch import Fetcher
from tradewind.controller.store import Custom


async def fetched(policy: Custom, default: predictor.Artifact, cache: Path) -> tuple[Predictors, list[bytes]]:
    """What is there once the policy's predictor has been fetched, and what was handed to data planes."""
    done, added = asyncio.Event(), list[bytes]()

    def add(graph: bytes) -> str:
        added.append(graph)
        return predictor.digest_of(graph)

    fetcher = Fetcher(default, cache, done.set, trusting=True)
    fetcher.for_policies([policy], add)
    await done.wait()
    return fetcher.for_policies([policy], add), added


@pytest.mark.parametrize("second", [False, True], ids=["first tier", "second tier"])
def test_a_graph_of_a_users_own_is_refused_with_the_reason_and_given_to_no_gateway(tmp_path: Path, second: bool) -> None:
    default = predictor.read(tiny_predictor.write(tmp_path / "default"))
    graphs = {
        "tier1": predictor.read(tiny_predictor.write(tmp_path / "site" / "tier1", steepness=2.0)),
        "own": predictor.read(own_graph.write(tmp_path / "site" / "own")),
    }
    with hosted(tmp_path / "site") as site:
        for name, artifact in graphs.items():
            named = {"url": f"{site.url}/{name}/predictor.onnx", "sha256": artifact.digest.removeprefix("sha256:")}
            spec = {"predictor": {"default": {}, "secondTier": named} if second else named}
            meta = {
                "namespace": "a",
                "name": name,
                "uid": name,
                "resourceVersion": "1",
                "generation": 1,
                "creationTimestamp": "",
            }
            policy = Custom.of({"kind": "RoutingPolicy", "metadata": meta, "spec": spec})
            found, added = asyncio.run(fetched(policy, default, tmp_path / "cache"))
            assert (artifact.digest in found.others, len(added)) == ((True, 1) if name == "tier1" else (False, 0))
    assert "load no ONNX Runtime" in found.missing[graphs["own"].digest]
