"""What a report consists of, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A figure with what stands small beside it, or a text."""

    text: str
    small: str = ""
    """the interval"""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first columns name, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    names: int = 1
    """columns that name what a row is about"""
    folded: bool = False
    """whether HTML shows it on demand"""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A plot, as a file of its own and for a page."""

    file: str
    title: str
    about: str
    """what it shows, in words, for those who do not see it"""
    png: bytes
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    paragraphs: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    paragraphs: Sequence[str]
    sections: Sequence[Section]

    @property
    def pictures(self) -> Iterator[Picture]:
        """All plots."""
        return (picture for section in self.sections for picture in section.pictures)
