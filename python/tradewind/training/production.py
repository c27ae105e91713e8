"""The shipped router for a pool: profiles from the predictor, or fitted with its heads frozen, in a real
plan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tradewind import core
from tradewind.artifacts import predictor
from tradewind.artifacts.plan import Profile
from tradewind.errors import UsageError, listed
from tradewind.training import export, features, profiles, routing
from tradewind.training.datasets import DataSet
from tradewind.training.forecast import Prediction
from tradewind.training.routing import ProductionRouter

Floats = npt.NDArray[np.float64]

CLUSTER_SD = 0.3
"""Prior spread of a new model's deviations by topic, logits."""


def router(
    graph: bytes, known: Mapping[str, Profile], trained: DataSet | None, pool: DataSet | None = None
) -> ProductionRouter:
    """The router of a pool. Models without a profile get one from `trained`, the rows outside the evaluated
    split.

    Without such rows (`trained` is None) every model of `pool` must be known.
    """
    data = trained if trained is not None else pool
    if data is None:
        raise ValueError("a router needs the pool's rows")
    missing = [name for name in data.models if name not in known]
    if missing and core.describe_graph(graph)["kind"] == core.OWN_GRAPH:
        raise UsageError(
            f"the graph has no column for {listed(missing[:8])} of `{data.name}`; it has {listed(sorted(known)[:8])}"
        )
    found = dict(known)
    if missing and trained is None:
        raise UsageError(
            f"the predictor has no profile for {listed(missing[:8])}; with `--split` they are fitted on the rows outside it"
        )
    if missing:
        found |= fitted_profiles(graph, known, data, missing)
    chosen = [found[name] for name in data.models]
    return ProductionRouter(routing.plan_source(data, chosen, predictor.digest_of(graph)), graph)


def fitted_profiles(graph: bytes, known: Mapping[str, Profile], data: DataSet, names: list[str]) -> dict[str, Profile]:
    """Profiles of these models from their answers in `data`, heads frozen, on the scale of the known ones."""
    frozen = export.Artifact(graph)
    prediction = frozen.predict(frozen.encoder.encode(features.of(data.texts)))

    def seen(name: str) -> profiles.Evidence:
        return profiles.evidence(frozen.parameters, prediction, data, data.models.index(name))

    anchors = [(seen(name), known[name]) for name in data.models if name in known]
    offset = profiles.set_offset(anchors)
    abilities = [profile.bias for profile in known.values()]
    expected = float(np.mean(abilities)) if abilities else 0.0
    common = mean_clusters(known, prediction)
    return {name: profiles.fresh(seen(name), expected, offset, common, CLUSTER_SD) for name in names}


def mean_clusters(known: Mapping[str, Profile], prediction: Prediction) -> Floats:
    """[T]: the mean of the known models' deviations by topic, which is what they have in common."""
    clusters = [profile.clusters for profile in known.values() if profile.clusters]
    found: Floats = np.mean(clusters, axis=0) if clusters else np.zeros(prediction.topics.shape[1])
    return found
