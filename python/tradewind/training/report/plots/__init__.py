"""The plots of a report: one file and one row each."""

from __future__ import annotations

from collections.abc import Iterator

from tradewind.training.report.page import Picture
from tradewind.training.report.plots import calibration, calls, frontier, groups, scaling, tasks
from tradewind.training.report.plots.plot import Plot, picture
from tradewind.training.results import Result

TABLE: tuple[Plot, ...] = (
    frontier.ENTRY,
    calls.ENTRY,
    calibration.ENTRY,
    scaling.ENTRY,
    tasks.ENTRY,
    groups.ENTRY,
)


def of(name: str, result: Result) -> Iterator[Picture]:
    """Those that the set allows; the frontier is in `<set>.png`, the others in `<set>-<plot>.png`."""
    for entry in TABLE:
        found = picture(entry, name, result)
        if found is not None:
            yield found
