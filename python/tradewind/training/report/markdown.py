"""A report as Markdown: GitHub's tables, plots as links to the PNG files beside it."""

from __future__ import annotations

from collections.abc import Iterator

from tradewind.training.report.page import Cell, Page, Section, Table


def render(page: Page) -> str:
    """The whole page."""
    return "\n".join(_lines(page)).rstrip() + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield f"# {page.title}"
    for paragraph in page.paragraphs:
        yield from ("", paragraph)
    for section in page.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield from ("", f"## {section.title}")
    for paragraph in section.paragraphs:
        yield from ("", paragraph)
    if section.warnings:
        yield ""
        yield from (f"- **{warning}**" for warning in section.warnings)
    for table in section.tables:
        yield from _table(table)
    for picture in section.pictures:
        yield from ("", f"![{picture.title}: {picture.about}]({picture.file})")


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield from ("", f"### {table.title}")
    yield ""
    yield _row(list(table.columns))
    yield _row(["---" if column < table.names else "---:" for column in range(len(table.columns))])
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])
    if table.note:
        yield from ("", table.note)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|").replace("\n", " ")
    shown = f"**{text}**" if cell.strong else text
    return f"{shown} {cell.small}".rstrip()
