"""`docs/metrics.md`: the table of metrics, for readers of the document of `evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tradewind.training.scores import TABLE
from tradewind.training.scores.case import MANY

HEAD = f"""# Metrics of `tradewind evaluate`

`make docs` writes this page from the table of the code (`training/scores/`), where each row's function gives its formula
and says where paper and repository disagree.

Each figure is `{{value, low, high}}`: the value on the evaluated questions and its 95 % interval, bootstrapped over
questions (1,000 draws). It is null where the set or the router lacks what the metric needs. Shares and gains are fractions,
not percent; costs are USD per question. Operating points, the best single model and which of a pair is the strong one are
chosen on questions outside the split; without one, on the evaluated questions themselves.

What a metric may need: **costs** of every answer; a **pair**, two models; **forecasts** of quality, which a router of your
own that only has `choose` does not give; **many models**, {MANY} or more; a **reference**, a published score of each task's
benchmark; **task labels**, which every set has.

`scaling` holds RouterEval's pools: the strongest, the weakest and evenly spaced models of 3, 5, 10, … and all, for a router
that takes the model with the best forecast among them.

| name | what it is | better | needs | source |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    for metric in TABLE:
        needs = ", ".join(metric.needs) or "–"
        yield f"| `{metric.name}` | {metric.title} | {metric.better} | {needs} | {metric.source} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
