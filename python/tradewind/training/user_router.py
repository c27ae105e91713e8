"""A router of the user's own, by the name of its class: scored on the same splits and metrics as ours.

The class needs nothing of Tradewind. It is constructed without arguments, anew for each data set, and has
some of these methods, whose arguments are positional:

    fit(texts, models, score, cost_usd)            optional: the n rows outside the split
    forecast(texts, models)                        quality [n, M], or the pair (quality, cost_usd)
    choose(texts, models, willingness_to_pay_usd)  in place of forecast: choices [n, G]

`texts` and `models` are lists of n and M strings, `score` [n, M] lies in [0, 1], `cost_usd` [n, M] is NaN
where the set has no costs, `willingness_to_pay_usd` is a list of G rising dollars per request for quality 0→1.
Forecasts are turned into choices as the strategy `utility` does it, at each model's mean cost where the class
forecasts none. Choices are columns of `models`. The task of a question is not told: no router in service knows
it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tradewind.errors import UsageError, listed
from tradewind.training.datasets import DataSet
from tradewind.training.routing import WILLINGNESS, Forecasts, Routed, sweep

Floats = npt.NDArray[np.float64]

ARGUMENTS = {
    "fit": ("texts", "models", "score", "cost_usd"),
    "forecast": ("texts", "models"),
    "choose": ("texts", "models", "willingness_to_pay_usd"),
}


@dataclass(frozen=True)
class UserClass:
    """A class that was found and has the methods that it needs."""

    name: str
    """module:Class"""
    build: Callable[[], Any]

    @property
    def learns(self) -> bool:
        """Whether it wants training rows."""
        return hasattr(self.build, "fit")

    def router(self, learned: DataSet) -> UserRouter:
        """A fresh object, fitted on these rows if it learns."""
        made = self.build()
        for method, arguments in ARGUMENTS.items():
            if hasattr(made, method) and not _takes(getattr(made, method), len(arguments)):
                place = f"{self.name}.{method}"
                raise UsageError(f"`{place}` does not take its arguments; expected {_written(method)}", place)
        if self.learns:
            made.fit(list(learned.texts), list(learned.models), learned.score.copy(), learned.cost_usd.copy())
        return UserRouter(self.name, made, np.nan_to_num(learned.cost_usd).mean(axis=0))


@dataclass(frozen=True)
class UserRouter:
    """An object of such a class, and what each model of the pool costs on average."""

    name: str
    made: Any
    mean_cost_usd: Floats
    """[M]"""

    def route(self, data: DataSet) -> Routed:
        """Its own choices, or those that follow from its forecasts."""
        if hasattr(self.made, "choose"):
            return self._chosen(data)
        given = self.made.forecast(list(data.texts), list(data.models))
        quality, cost = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        shape = data.score.shape
        return sweep(
            Forecasts(
                self._table("forecast", "quality", quality, shape, 1.0),
                np.broadcast_to(self.mean_cost_usd, shape)
                if cost is None
                else self._table("forecast", "cost_usd", cost, shape, np.inf),
            )
        )

    def _chosen(self, data: DataSet) -> Routed:
        given = self.made.choose(list(data.texts), list(data.models), list(WILLINGNESS))
        models = len(data.models)
        found = self._table("choose", "choices", given, (len(data), len(WILLINGNESS)), models - 1)
        fractions = np.argwhere(found != np.floor(found))
        if len(fractions):
            self._refuse("choose", "choices", found, fractions[0], f"a whole number from 0 to {models - 1}")
        choice = found.astype(np.int16)
        # Questions of a pair go to the strong model in the order in which a rising willingness sends them there.
        share = np.stack([(choice == model).mean(axis=1) for model in range(models)], axis=1)
        return Routed(choice, share, forecasts=False)

    def _table(self, method: str, what: str, given: object, shape: tuple[int, int], most: float) -> Floats:
        """What a method gave, as numbers of that shape from 0 to `most`."""
        place = f"{self.name}.{method}"
        try:
            found = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"`{place}` gave {what} that are not a table of numbers: {error}", place) from None
        if found.shape != shape:
            raise UsageError(f"`{place}` gave {what} of shape {found.shape}; expected {shape}", place)
        wrong = np.argwhere(~((found >= 0) & (found <= most) & np.isfinite(found)))
        if len(wrong):
            self._refuse(method, what, found, wrong[0], f"from 0 to {most:g}" if np.isfinite(most) else "0 or more")
        return found

    def _refuse(self, method: str, what: str, found: Floats, at: npt.NDArray[np.intp], expected: str) -> None:
        row, column = at.tolist()
        place = f"{self.name}.{method}"
        raise UsageError(f"`{place}` gave {found[row, column]:g} as {what}[{row}, {column}]; expected {expected}", place)


def named(name: str) -> UserClass:
    """The class `module:Class`; what it lacks is said before anything runs."""
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise UsageError(f"`{name}` names no class; expected `module:Class`", name)
    module = _module(module_name)
    found: Any = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UsageError(f"the module `{module_name}` has no class `{class_name}`; it has {listed(sorted(classes))}", name)
    if not hasattr(found, "forecast") and not hasattr(found, "choose"):
        raise UsageError(f"`{name}` has neither method: {_written('forecast')} or {_written('choose')}", name)
    if not _takes(found, 0):
        raise UsageError(f"`{name}` needs arguments to be constructed; it is called without any", name)
    return UserClass(name, found)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(f"no module `{name}`, neither installed nor in the current folder", name) from None
        raise UsageError(f"the module `{name}` needs `{missing}`, which is not installed", name) from None


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with that many positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        # Classes of extension modules need not tell their signature.
        return True
    return True


def _written(method: str) -> str:
    return f"`{method}({', '.join(ARGUMENTS[method])})`"
