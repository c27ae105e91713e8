"""Linear maps from a text's inputs to a cell of each model: what several estimators are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

from tradewind.training.onnx_graph import Graph

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """x·weight + intercept, one column a model."""

    weight: Floats
    """[D + F, M]"""
    intercept: Floats
    """[M]"""

    def predict(self, x: Singles) -> Floats:
        """[n, M]"""
        found: Floats = x.astype(np.float64) @ self.weight + self.intercept
        return found

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        return graph.add("Add", graph.add("MatMul", x, graph.constant(self.weight)), graph.constant(self.intercept))


@dataclass(frozen=True)
class Bounded:
    """A linear map that stays within what was seen of each model."""

    linear: Linear
    lowest: Floats
    """[M]"""
    highest: Floats
    """[M]"""

    def predict(self, x: Singles) -> Floats:
        """[n, M]"""
        return np.clip(self.linear.predict(x), self.lowest, self.highest)

    def add_to(self, graph: Graph, x: str) -> str:
        """The same as nodes."""
        above = graph.add("Max", self.linear.add_to(graph, x), graph.constant(self.lowest))
        return graph.add("Min", above, graph.constant(self.highest))


@dataclass(frozen=True)
class Scale:
    """Brings inputs to mean 0 and spread 1."""

    mean: Floats
    """[D + F]"""
    inverse: Floats
    """[D + F]: of the standard deviation; 0 for an input that never varies"""

    @classmethod
    def of(cls, x: Singles) -> Scale:
        """From the rows that are learned from."""
        wide = x.astype(np.float64)
        deviation = wide.std(axis=0)
        inverse = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
        return cls(wide.mean(axis=0), inverse)

    def apply(self, x: Singles) -> Floats:
        """[n, D + F]"""
        scaled: Floats = (x - self.mean) * self.inverse
        return scaled

    def unscaled(self, weight: Floats, intercept: Floats) -> Linear:
        """The map of inputs as they are that is this one of scaled inputs."""
        inside = weight * self.inverse[:, None]
        return Linear(inside, intercept - self.mean @ inside)


def fit(x: Singles, cells: Floats, one: Callable[[Floats, Floats], tuple[Floats, float]]) -> Linear:
    """One regression a model, on the rows where it has a cell: `one` gives weights and intercept from inputs of mean 0
    and spread 1, so that a penalty weighs all of them alike."""
    scale = Scale.of(x)
    scaled = scale.apply(x)
    found = []
    for column in cells.T:
        seen = ~np.isnan(column)
        found.append(one(scaled[seen], column[seen]))
    weights, intercepts = zip(*found, strict=True)
    return scale.unscaled(np.stack(weights, axis=1), np.array(intercepts))


def ridge(x: Singles, cells: Floats, penalty: float) -> Linear:
    """Least squares with `penalty`·|w|², in rows."""

    def one(scaled: Floats, column: Floats) -> tuple[Floats, float]:
        fitted = Ridge(alpha=penalty).fit(scaled, column)
        return fitted.coef_, float(fitted.intercept_)

    return fit(x, cells, one)


def bounded(found: Linear, cells: Floats) -> Bounded:
    """The map that does not extrapolate: for amounts, which are never negative."""
    return Bounded(found, np.nanmin(cells, axis=0), np.nanmax(cells, axis=0))


def sigmoid(logit: Floats) -> Floats:
    """1 / (1 + e^−logit), for any logit."""
    found: Floats = 0.5 * (1 + np.tanh(logit / 2))
    return found
