"""The report says what the document says, in files that need nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest
import synthetic

from tradewind.training import evaluate, language
from tradewind.training.report import html, markdown, style
from tradewind.training.report.page import Cell, Page, Section, Table
from tradewind.training.report.plots import calibration
from tradewind.training.routing import WILLINGNESS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=160, pair=120)


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A document and its report."""
    folder = tmp_path_factory.mktemp("out") / "report"
    asked = evaluate.Options(data, fit=("length",), router=(synthetic.LARGE,), split="question:1", report=folder)
    return evaluate.run(asked), folder


def test_there_is_a_picture_of_everything_that_a_set_allows(made: tuple[dict[str, Any], Path]) -> None:
    found = {path.name for path in made[1].iterdir()}
    both = {f"{name}{plot}.png" for name in ("ours", "pair") for plot in ("", "-calibration", "-groups")}
    assert found - {"ours-tasks.png", "pair-tasks.png"} == both | {
        "pair-calls.png",
        "report.html",
        "report.md",
        "decisions.parquet",
    }
    for name in found:
        if name.endswith(".png"):
            assert (made[1] / name).read_bytes().startswith(b"\x89PNG")


def test_markdown_has_every_router_and_set_with_intervals(made: tuple[dict[str, Any], Path]) -> None:
    document, folder = made
    text = (folder / "report.md").read_text(encoding="utf-8")
    for scores in document["sets"].values():
        for figures in scores["routers"].values():
            aiq = figures["aiq"]
            assert f"{aiq['value']:.4f} [{aiq['low']:.4f}, {aiq['high']:.4f}]" in text
    assert text.index("## In domain") < text.index("## Transfer")
    for link in re.findall(r"\]\(([^)]+\.png)\)", text):
        assert (folder / link).is_file()
    width = {line.count("|") for line in text.split("## Sets")[1].split("##")[0].splitlines() if line.startswith("|")}
    assert len(width) == 1


class Outline(HTMLParser):
    """Which elements there are, and whether they are closed in order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_can_be_read_without_seeing(made: tuple[dict[str, Any], Path]) -> None:
    text = (made[1] / "report.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    tags = [tag for tag, _ in outline.seen]
    assert not set(tags) & {"script", "link", "img", "iframe"}
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert set(re.findall(r"url\((?!#)[^)]*\)", text)) == set()
    ids = [attributes["id"] for _, attributes in outline.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawings = [attributes for tag, attributes in outline.seen if tag == "svg"]
    assert len(drawings) == len(list(made[1].glob("*.png")))
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert set(str(attributes["aria-labelledby"]).split()) <= set(ids)
    for scope in (attributes.get("scope") for tag, attributes in outline.seen if tag == "th"):
        assert scope in ("row", "col")


def test_plots_follow_the_readers_colours(made: tuple[dict[str, Any], Path]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", (made[1] / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    for drawing in drawings:
        minidom.parseString(drawing)
        assert re.findall(r"#[0-9a-f]{6}\b", drawing) == []
        assert "var(--" in drawing


def luminance(colour: str) -> float:
    """WCAG 2.1, relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_texts_stand_out_from_the_paper(scheme: str) -> None:
    paper = getattr(style.PAPER, scheme)
    for colour in (*style.SERIES, style.ORANGE, style.SKY, style.GREEN):
        assert contrast(getattr(colour, scheme), paper) >= 3, colour.name
    for colour in (style.INK, style.MUTED):
        assert contrast(getattr(colour, scheme), paper) >= 4.5, colour.name
    assert len({colour.light for colour in style.ALL}) == len(style.ALL)


def test_the_table_of_decisions_gives_the_figures_again(made: tuple[dict[str, Any], Path]) -> None:
    document, folder = made
    table = parquet.read_table(folder / "decisions.parquet")
    for name, scores in document["sets"].items():
        of_set = table.filter(compute.equal(table["set"], name))
        assert set(of_set["router"].to_pylist()) == set(scores["routers"])
        for router, figures in scores["routers"].items():
            rows = of_set.filter(compute.equal(of_set["router"], router))
            assert len(rows) == scores["n"] * len(WILLINGNESS)
            top = rows.filter(compute.equal(rows["willingness_to_pay_usd"], WILLINGNESS[-1]))
            assert compute.mean(top["score"]).as_py() == pytest.approx(figures["score"]["value"])
    models = json.loads(table.schema.metadata[b"tradewind.models"])
    assert models == {name: scores["models"] for name, scores in document["sets"].items()}
    first = table.filter(compute.equal(table["router"], "length")).to_pylist()[0]
    assert len(first["forecasts"]) == len(models[first["set"]])
    assert first["characters"] > 10
    chosen = table.filter(compute.equal(table["router"], synthetic.LARGE))
    assert set(chosen["chosen"].to_pylist()) == {"large"}
    assert chosen["forecasts"].null_count == len(chosen)


def test_two_reports_of_one_evaluation_are_the_same(data: Path, made: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    asked = evaluate.Options(data, fit=("length",), router=(synthetic.LARGE,), split="question:1")
    evaluate.run(replace(asked, report=tmp_path))
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (made[1] / file.name).read_bytes(), file.name


def test_what_a_set_says_is_escaped() -> None:
    page = Page("a < b", ["see `x`"], [Section("<s>", tables=[Table("t", ("a", "b"), [[Cell("x|y"), Cell("<&>")]])])])
    assert "<h1>a &lt; b</h1>" in html.render(page)
    assert "<code>x</code>" in html.render(page)
    assert "&lt;&amp;&gt;" in html.render(page)
    assert "| x\\|y | <&> |" in markdown.render(page)


def test_reliability_by_hand() -> None:
    forecast = np.array([[0.1, 0.9], [0.1, 0.9], [0.3, 0.7], [0.3, 0.7]])
    score = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    mean, right = calibration.reliability(forecast, score, np.ones((1, 4)))
    assert mean.tolist() == pytest.approx([0.1, 0.3, 0.7, 0.9])
    assert right.tolist() == [[0.0, 0.5, 0.5, 1.0]]


GUESSES = [
    ("What is the capital of France?", "en"),
    ("Was ist die Hauptstadt von Frankreich und wie groß ist sie?", "de"),
    ("Quelle est la capitale de la France ?", "fr"),
    ("¿Cuál es la capital de España y cómo se llega?", "es"),
    ("Qual è la capitale della Francia e come si chiama il suo fiume?", "it"),
    ("Qual é a capital da França e como se chama o seu rio?", "pt"),
    ("法国的首都是哪里？", "zh"),
    ("フランスの首都はどこですか", "ja"),
    ("프랑스의 수도는 어디입니까", "ko"),
    ("Какая столица Франции?", "ru"),
    ("Explain what 法 means in the history of law.", "en"),
    ("def add(a, b):\n    import math\n    return a + b;\n};", "code"),
    ("2 + 2", "other"),
    ("", "other"),
]


@pytest.mark.parametrize(("text", "expected"), GUESSES)
def test_a_language_is_guessed(text: str, expected: str) -> None:
    assert language.guess(text) == expected
