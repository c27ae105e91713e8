"""A report as one HTML file: no script, no font, no picture from anywhere else; light or dark as the reader
has it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tradewind.training.report import style
from tradewind.training.report.page import Cell, Page, Picture, Section, Table


def render(page: Page) -> str:
    """The whole page."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(page.title)}</title>\n<style>{style.sheet()}</style>\n</head>\n<body>"
    yield f"<header><h1>{escape(page.title)}</h1>"
    yield from (f"<p>{_prose(paragraph)}</p>" for paragraph in page.paragraphs)
    yield '<nav aria-label="Contents"><ul>'
    yield from (f'<li><a href="#s{at}">{escape(section.title)}</a></li>' for at, section in enumerate(page.sections))
    yield "</ul></nav></header>\n<main>"
    number = 0
    for at, section in enumerate(page.sections):
        yield from _section(section, at, number)
        number += len(section.pictures)
    yield "</main>\n</body>\n</html>"


def _section(section: Section, at: int, pictures_before: int) -> Iterator[str]:
    yield f'<section id="s{at}"><h2>{escape(section.title)}</h2>'
    yield from (f"<p>{_prose(paragraph)}</p>" for paragraph in section.paragraphs)
    if section.warnings:
        items = "".join(f"<li>{_prose(warning)}</li>" for warning in section.warnings)
        yield f'<ul class="warnings" role="note">{items}</ul>'
    tables = list(section.tables)
    for table in (table for table in tables if not table.folded):
        yield from _table(table)
    if section.pictures:
        yield '<div class="plots">'
        for number, picture in enumerate(section.pictures, pictures_before):
            yield _picture(picture, number)
        yield "</div>"
    for table in (table for table in tables if table.folded):
        yield f"<details><summary>{escape(table.title)}</summary>"
        yield from _table(table)
        yield "</details>"
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    if table.title and not table.folded:
        yield f"<h3>{escape(table.title)}</h3>"
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title or "Table")}"><table><thead><tr>'
    for column, name in enumerate(table.columns):
        yield f'<th scope="col"{"" if column < table.names else _FIGURE}>{escape(name)}</th>'
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(_cell(cell, column, table.names) for column, cell in enumerate(row))}</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="note">{_prose(table.note)}</p>'


_FIGURE = ' class="figure"'


def _cell(cell: Cell, column: int, names: int) -> str:
    text = f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text)
    small = f" <small>{escape(cell.small)}</small>" if cell.small else ""
    if column < names:
        return f'<th scope="row">{text}{small}</th>'
    return f"<td{_FIGURE}>{text}{small}</td>"


def _picture(picture: Picture, number: int) -> str:
    """The drawing itself is hidden from screen readers, which read its title and what it shows."""
    head, _, rest = picture.svg.partition(">")
    described = f'role="img" aria-labelledby="t{number} d{number}"'
    title = f'<title id="t{number}">{escape(picture.title)}</title><desc id="d{number}">{escape(picture.about)}</desc>'
    return f"<figure>{head} {described}>{title}{rest}<figcaption>{escape(picture.about)}</figcaption></figure>"


def _prose(text: str) -> str:
    """Escaped, with `code` between backticks."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
