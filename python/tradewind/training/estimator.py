"""What every estimator of answers' quality is: scikit-learn's conventions over tables of questions and models.

n questions, M models. A row x of D + F inputs is what `corpus.Encoder` makes of a text: its static embedding z and
its scaled surface features s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from tradewind.errors import UsageError
from tradewind.training import datasets, linear, tuning
from tradewind.training.datasets import DataSet
from tradewind.training.fitting import Given, Routers
from tradewind.training.onnx_graph import Graph
from tradewind.training.routing import Forecasts, Routed, Router, sweep

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[Any]

AMOUNT_PENALTY = 100.0
"""Rows, of the ridge regressions that forecast costs and lengths; all estimators have the same."""


class Fitted(Protocol):
    """What was learned of one kind of cell."""

    def predict(self, x: Any) -> Floats:
        """[n, M]"""
        ...


@runtime_checkable
class Graphed(Protocol):
    """What can also be written as nodes of an ONNX graph."""

    def add_to(self, graph: Graph, x: str) -> str:
        """Adds its nodes; x is [1, D + F], the result that is named [1, M]."""
        ...


@dataclass(frozen=True)
class Tables:
    """What `fit` was given, checked. Missing cells are NaN; every model has one."""

    x: Inputs
    score: Floats
    cost_usd: Floats | None
    output_tokens: Floats | None


class Estimator(ABC, BaseEstimator):  # type: ignore[misc]
    """Forecasts quality, and cost and output tokens where `fit` was given them.

    A subclass's constructor stores its parameters and nothing else. After `fit`, `quality_`, `cost_usd_` and
    `output_tokens_` are what was learned.
    """

    def fit(
        self,
        x: npt.ArrayLike,
        score: npt.ArrayLike,
        cost_usd: npt.ArrayLike | None = None,
        output_tokens: npt.ArrayLike | None = None,
    ) -> Self:
        """x [n, D + F]; score [n, M] in [0, 1]; cost in USD and tokens [n, M]. NaN is a missing cell.

        Raises `UsageError` where shapes or values do not fit, or a model has no cell.
        """
        place = f"{type(self).__name__}.fit"
        inputs = self._inputs(x, place)
        quality = _cells("score", score, len(inputs), None, 1.0, place)
        cost, tokens = (
            None if table is None else _cells(name, table, len(inputs), quality.shape[1], np.inf, place)
            for name, table in (("cost_usd", cost_usd), ("output_tokens", output_tokens))
        )
        self.n_features_in_ = inputs.shape[1]
        self.n_models_ = quality.shape[1]
        self.quality_ = self._learn_quality(Tables(inputs, quality, cost, tokens))
        self.cost_usd_ = None if cost is None else self._learn_amount(inputs, cost)
        self.output_tokens_ = None if tokens is None else self._learn_length(inputs, tokens)
        return self

    def predict(self, x: npt.ArrayLike) -> Floats:
        """Quality [n, M] in [0, 1]."""
        return np.clip(self._forecast("quality", x), 0, 1)

    def predict_cost_usd(self, x: npt.ArrayLike) -> Floats:
        """USD [n, M]. Raises `UsageError` where `fit` was given no costs."""
        return self._forecast("cost_usd", x)

    def predict_output_tokens(self, x: npt.ArrayLike) -> Floats:
        """Tokens [n, M]. Raises `UsageError` where `fit` was given none."""
        return self._forecast("output_tokens", x)

    def _forecast(self, what: str, x: npt.ArrayLike) -> Floats:
        check_is_fitted(self)
        place = f"{type(self).__name__}.predict"
        inputs = self._inputs(x, place)
        if inputs.shape[1] != self.n_features_in_:
            raise refused(f"x has {inputs.shape[1]} columns; expected {self.n_features_in_}, as in `fit`", place)
        fitted: Fitted | None = getattr(self, f"{what}_")
        if fitted is None:
            raise refused(f"`fit` was given no {what}, so there is none to forecast", place)
        return fitted.predict(inputs)

    def _inputs(self, x: npt.ArrayLike, place: str) -> Inputs:
        """x as this estimator sees it, [n, any]. Raises `UsageError`."""
        try:
            found = np.asarray(x, np.float32)
        except (TypeError, ValueError) as error:
            raise refused(f"x is not a table of numbers: {error}", place) from None
        need_rows(found, place)
        if not np.isfinite(found).all():
            raise refused("x has cells that are not finite", place)
        return found

    @abstractmethod
    def _learn_quality(self, tables: Tables) -> Fitted:
        """What forecasts quality."""

    def _learn_amount(self, x: Inputs, amount: Floats) -> Fitted:
        """What forecasts costs or lengths [n, M]: the same for all estimators whose idea is about quality."""
        return linear.bounded(linear.ridge(x, amount, AMOUNT_PENALTY), amount)

    def _learn_length(self, x: Inputs, tokens: Floats) -> Fitted:
        """What forecasts lengths, after quality."""
        return self._learn_amount(x, tokens)


class Tuned(Estimator):
    """An estimator with one setting, which `fit` chooses by routing value (see `tuning`) and leaves in `setting_`."""

    seed: int

    @abstractmethod
    def _settings(self) -> tuple[float, ...]:
        """What is chosen from, the most cautious first."""

    @abstractmethod
    def _learn(self, x: Inputs, score: Floats, setting: float) -> Fitted:
        """What forecasts quality with this setting."""

    def _learn_quality(self, tables: Tables) -> Fitted:
        x, score = tables.x, tables.score

        def held(rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64], setting: float) -> Floats:
            known = ~np.isnan(score[rows]).all(axis=0)
            found = np.full((len(others), score.shape[1]), np.nanmean(score[rows]))
            found[:, known] = self._learn(x[rows], score[rows][:, known], setting).predict(x[others])
            return found

        self.setting_ = tuning.best(self._settings(), held, score, tables.cost_usd, self.seed)
        return self._learn(x, score, self.setting_)


def refused(message: str, place: str) -> UsageError:
    """An error that names the method."""
    return UsageError(f"`{place}`: {message}", place)


def need_rows(x: Inputs, place: str) -> None:
    """Refuses what is not a table of one row or more."""
    if x.ndim != 2 or not len(x):
        raise refused(f"x has shape {x.shape}; expected [n, inputs] with n of 1 or more (one row is [1, inputs])", place)


def _cells(what: str, given: npt.ArrayLike, rows: int, models: int | None, most: float, place: str) -> Floats:
    """A table [rows, models] of cells from 0 to `most`; NaN is a missing one, but no model has none."""
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise refused(f"{what} is not a table of numbers: {error}", place) from None
    if found.ndim != 2 or len(found) != rows or found.shape[1] != (models or found.shape[1]) or not found.shape[1]:
        raise refused(f"{what} has shape {found.shape}; expected ({rows}, {models or 'models'})", place)
    wrong = np.argwhere(~(np.isnan(found) | ((found >= 0) & (found <= most) & np.isfinite(found))))
    if len(wrong):
        row, column = wrong[0].tolist()
        expected = f"from 0 to {most:g}" if np.isfinite(most) else "0 or more"
        raise refused(f"{what}[{row}, {column}] is {found[row, column]:g}; expected {expected}, or NaN where missing", place)
    empty = np.flatnonzero(np.isnan(found).all(axis=0))
    if len(empty):
        raise refused(f"column {empty[0]} of {what} has no cell; leave out models without answers", place)
    return found


@dataclass(frozen=True)
class EstimatorRouter:
    """Routes by a fitted estimator's forecasts."""

    fitted: Estimator
    inputs: Callable[[DataSet], Inputs]
    """What the estimator sees of a set"""

    def route(self, data: DataSet) -> Routed:
        """Decides on every question at every willingness to pay; where costs are unknown, quality alone decides."""
        x = self.inputs(data)
        quality = self.fitted.predict(x)
        cost = np.zeros_like(quality) if self.fitted.cost_usd_ is None else self.fitted.predict_cost_usd(x)
        return sweep(Forecasts(quality, cost))


def fit(made: Estimator, trained: DataSet, inputs: Callable[[DataSet], Inputs]) -> EstimatorRouter:
    """Fits it on these rows; its router."""
    cost = trained.cost_usd if datasets.is_priced(trained) else None
    return EstimatorRouter(made.fit(inputs(trained), trained.score, cost), inputs)


def on_rows(build: Callable[[], Estimator], inputs: Callable[[DataSet], Inputs]) -> Callable[[Given], Routers]:
    """`prepare` of an estimator that nothing is shared with: each pool's rows are all it sees."""

    def router(trained: DataSet) -> Router:
        return fit(build(), trained, inputs)

    return lambda given: router


def on_texts(build: Callable[[], Estimator]) -> Callable[[Given], Routers]:
    """`prepare` of an estimator that reads texts: one encoder for all sets."""

    def prepare(given: Given) -> Routers:
        return on_rows(build, lambda data: given.inputs(data.texts))(given)

    return prepare
