"""An evaluation for people: one HTML page that needs nothing else, Markdown, the plots as PNG, and a table of
every decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tradewind.training.report import content, decisions, html, markdown
from tradewind.training.results import Round

DECISIONS = "decisions.parquet"


def write(folder: Path, document: Mapping[str, Any], rounds: Sequence[Round]) -> None:
    """Writes `report.html`, `report.md`, a PNG for each plot, and `decisions.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    report = content.of(document, rounds)
    for picture in report.pictures:
        (folder / picture.file).write_bytes(picture.png)
    (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
    (folder / "report.html").write_text(html.render(report), encoding="utf-8")
    decisions.write(folder / DECISIONS, rounds)
