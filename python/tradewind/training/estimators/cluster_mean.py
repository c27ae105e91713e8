"""Each model's mean score in the question's cluster (UniRoute's K-means router, arXiv:2502.08773):
γ(x, m) = Φ(x)·Ψ(m), Φ one-hot, Ψ(m)_c the mean of m in cluster c, here shrunk to the model's mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from tradewind.training import estimator
from tradewind.training.distill import DIMENSIONS
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.onnx_graph import Graph


@dataclass(frozen=True)
class Clusters:
    """A row of cells a cluster."""

    centroids: npt.NDArray[np.float32]
    """[D, C]"""
    offset: npt.NDArray[np.float32]
    """[C]: |centroid|²/2; the nearest centroid has the largest z·centroid − offset"""
    cells: Floats
    """[C, M], Ψ"""

    def nearest(self, x: Inputs) -> npt.NDArray[np.int64]:
        """Index [n] of the cluster."""
        return np.asarray((x[:, : len(self.centroids)] @ self.centroids - self.offset).argmax(axis=1))

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        found: Floats = self.cells[self.nearest(x)]
        return found

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        product = graph.add("MatMul", graph.leading(x, len(self.centroids)), graph.constant(self.centroids))
        nearness = graph.add("Sub", product, graph.constant(self.offset))
        return graph.add("Gather", graph.constant(self.cells), graph.add("ArgMax", nearness, axis=1, keepdims=0))


class ClusterMeans(Tuned):
    """The number of clusters is chosen among `clusters`, the smallest first."""

    quality_: Clusters

    def __init__(
        self,
        clusters: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128),
        shrinkage: float = 10.0,
        embedding: int = DIMENSIONS,
        seed: int = 0,
    ) -> None:
        self.clusters = clusters
        self.shrinkage = shrinkage
        """Questions of a cluster at which its mean counts as much as the set's."""
        self.embedding = embedding
        """Leading columns of x that are clustered."""
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.clusters

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Clusters:
        z = x[:, : self.embedding]
        count = min(int(setting), len(np.unique(z, axis=0)))
        centroids = KMeans(count, n_init=1, random_state=self.seed).fit(z).cluster_centers_.astype(np.float32)
        offset = (centroids * centroids).sum(axis=1) / 2
        return self._with_cells(Clusters(centroids.T, offset, np.empty(0)), x, score)

    def _learn_amount(self, x: Inputs, amount: Floats) -> Clusters:
        return self._with_cells(self.quality_, x, amount)

    def _with_cells(self, found: Clusters, x: Inputs, cells: Floats) -> Clusters:
        member = np.eye(len(found.offset))[found.nearest(x)]
        overall = np.nanmean(cells, axis=0)
        count = member.T @ ~np.isnan(cells)
        mean = overall + member.T @ np.nan_to_num(cells - overall) / (count + self.shrinkage)
        return Clusters(found.centroids, found.offset, mean)


ENTRY = Entry(
    "cluster_mean", "each model's mean score in the question's cluster", estimator.on_texts(ClusterMeans), ClusterMeans
)
