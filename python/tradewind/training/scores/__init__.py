"""The metrics that `evaluate` reports: one file a family, one function and one row each."""

from __future__ import annotations

from tradewind.training.scores import (
    automix,
    calibration,
    frugalgpt,
    llmrouterbench,
    routellm,
    routerarena,
    routerbench,
    routereval,
    uniroute,
)
from tradewind.training.scores.metric import Metric

TABLE: tuple[Metric, ...] = (
    *routerbench.METRICS,
    *llmrouterbench.METRICS,
    *routellm.METRICS,
    *routereval.METRICS,
    *uniroute.METRICS,
    *routerarena.METRICS,
    *frugalgpt.METRICS,
    *automix.METRICS,
    *calibration.METRICS,
)
