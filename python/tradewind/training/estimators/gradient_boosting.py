"""Gradient-boosted trees for each model, on embedding and surface features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor

from tradewind.training import estimator
from tradewind.training.estimator import Floats, Inputs, Tuned
from tradewind.training.fitting import Entry
from tradewind.training.onnx_graph import ML_DOMAIN, Graph


@dataclass(frozen=True)
class Trees:
    """scikit-learn's ensembles, one a model."""

    ensembles: tuple[Any, ...]

    def predict(self, x: Inputs) -> Floats:
        """[n, M]"""
        return np.stack([ensemble.predict(x) for ensemble in self.ensembles], axis=1)

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as one node, whose targets are the models."""
        columns: dict[str, list[float]] = {name: [] for name in (*NODE, *LEAF)}
        for tree, (model, nodes) in enumerate(self._trees()):
            for at, node in enumerate(nodes):
                for name, value in zip(NODE, _node(tree, at, node), strict=True):
                    columns[name].append(value)
                if node["is_leaf"]:
                    for name, value in zip(LEAF, (tree, at, model, float(node["value"])), strict=True):
                        columns[name].append(value)
        base = [float(ensemble._baseline_prediction.item()) for ensemble in self.ensembles]
        return graph.add("TreeEnsembleRegressor", x, domain=ML_DOMAIN, n_targets=len(base), base_values=base, **columns)

    def _trees(self) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
        """(model, nodes) of every tree."""
        for model, ensemble in enumerate(self.ensembles):
            for (tree,) in ensemble._predictors:
                yield model, tree.nodes


NODE = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_values",
    "nodes_modes",
    "nodes_truenodeids",
    "nodes_falsenodeids",
)
LEAF = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _node(tree: int, at: int, node: Any) -> tuple[Any, ...]:
    if node["is_leaf"]:
        return tree, at, 0, 0.0, "LEAF", 0, 0
    return (
        tree,
        at,
        int(node["feature_idx"]),
        _rounded_down(float(node["num_threshold"])),
        "BRANCH_LEQ",
        int(node["left"]),
        int(node["right"]),
    )


def _rounded_down(threshold: float) -> float:
    """The largest float32 up to it: the same inputs, which are float32, are below."""
    found = np.float32(threshold)
    return float(found if found <= threshold else np.nextafter(found, np.float32(-np.inf)))


class GradientBoosting(Tuned):
    """The number of leaves of a tree is chosen among `leaves`, the smallest first."""

    def __init__(self, leaves: tuple[int, ...] = (2, 4, 8), iterations: int = 50, rate: float = 0.05, seed: int = 0) -> None:
        self.leaves = leaves
        self.iterations = iterations
        """Trees a model."""
        self.rate = rate
        """Share of a tree's forecast that is taken."""
        self.seed = seed

    def _settings(self) -> tuple[float, ...]:
        return self.leaves

    def _learn(self, x: Inputs, score: Floats, setting: float) -> Trees:
        return Trees(tuple(self._one(x, column, int(setting)) for column in score.T))

    def _one(self, x: Inputs, column: Floats, leaves: int) -> Any:
        answered = ~np.isnan(column)
        made = HistGradientBoostingRegressor(
            learning_rate=self.rate,
            max_iter=self.iterations,
            max_leaf_nodes=leaves,
            early_stopping=False,
            random_state=self.seed,
        )
        return made.fit(x[answered], column[answered])


ENTRY = Entry(
    "gradient_boosting", "gradient-boosted trees for each model", estimator.on_texts(GradientBoosting), GradientBoosting
)
