"""Reliability: how often answers were right whose quality was forecast so high."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tradewind import bootstrap
from tradewind.training.report import style
from tradewind.training.report.plots import plot
from tradewind.training.report.plots.plot import Drawing, Plot
from tradewind.training.results import Result, Standing
from tradewind.training.scores import calibration

Floats = npt.NDArray[np.float64]

DRAWS = 200


def draw(result: Result) -> Drawing | None:
    """None where no evaluated router forecasts quality."""
    shown = [standing for standing in result.standings[: result.evaluated] if standing.here.forecasts]
    if not shown:
        return None
    others = [standing for standing in result.standings[result.evaluated :] if standing.name != "zero"]
    figure, [axes] = plot.canvas(width=6.4, height=5.6)
    axes.plot([0, 1], [0, 1], color=style.MUTED.light, linewidth=1, linestyle=(0, (2, 2)), label="perfect")
    looks = plot.looks(result)
    weights = bootstrap.draws(len(result.tested), 0, DRAWS)
    for standing in others:
        forecast, right = reliability(standing.here.quality, result.tested.score, weights[:1])
        axes.plot(forecast, right[0], label=plot.named(standing.name), alpha=0.8, **looks[standing.name].line())
    for place, standing in enumerate(shown):
        look = looks[standing.name]
        forecast, right = reliability(standing.here.quality, result.tested.score, weights)
        if place == 0:
            low, high = np.nanpercentile(right[1:], [2.5, 97.5], axis=0)
            axes.fill_between(forecast, low, high, color=look.colour, alpha=0.18, linewidth=0)
        drawn = {"label": plot.named(standing.name), "marker": look.marker, "markersize": 4, "zorder": plot.FRONT - place}
        axes.plot(forecast, right[0], **drawn, **look.line())
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("forecast quality, tenths of all cells")
    axes.set_ylabel("mean score")
    plot.legend(figure)
    return Drawing(figure, _about(shown))


def reliability(forecast: Floats, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Mean forecast [bins] and mean score [B, bins] of the cells [n, M] in bins of equal mass; equal forecasts share
    one."""
    edges = np.unique(np.quantile(forecast, np.linspace(0, 1, calibration.BINS + 1)[1:-1]))
    bin_of = np.searchsorted(edges, forecast, side="left")
    used = np.unique(bin_of)
    inside = (bin_of[:, :, None] == used).astype(float)
    count = weights @ inside.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        right = (weights @ np.einsum("nm,nmb->nb", score, inside)) / count
    mean = np.einsum("nm,nmb->b", forecast, inside) / inside.sum(axis=(0, 1))
    return mean, right


def _about(shown: list[Standing]) -> str:
    figures = "; ".join(
        f"{plot.named(standing.name)}: ECE {ece.value:.3f}, Brier {brier.value:.3f}, AUROC {auroc.value:.3f}"
        for standing in shown
        if (ece := standing.scores.values["ece"]) is not None
        and (brier := standing.scores.values["brier"]) is not None
        and (auroc := standing.scores.values["auroc"]) is not None
    )
    return f"Mean score of answers by forecast quality, all models' answers in tenths; the band is 95 %. {figures}."


ENTRY = Plot("calibration", "calibration", draw)
