"""Colours of plots and pages. A plot is drawn once, in the light colours; in a page each of them becomes a
variable, so that dark pages have dark plots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour in both schemes; `light` names it within a drawing, so all differ."""

    name: str
    light: str
    dark: str


PAPER = Colour("paper", "#fffffe", "#0f1419")
INK = Colour("ink", "#1b2026", "#e6e9ec")
MUTED = Colour("muted", "#66707a", "#9aa4ae")
LINE = Colour("line", "#d5dade", "#333b43")
WASH = Colour("wash", "#f4f6f8", "#1a2027")
WARN = Colour("warn", "#fff4d6", "#3a2f10")

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), the same hues lighter for dark pages: told apart by all
# common kinds of colour blindness. Lines differ in their dashes, too.
SERIES = (
    Colour("blue", "#0b63b0", "#5cb0f5"),
    Colour("vermilion", "#c8501a", "#ff8f5c"),
    Colour("purple", "#a3508a", "#e29ac6"),
    Colour("teal", "#00806a", "#3fcbaa"),
    Colour("brown", "#7a5c14", "#d9b25a"),
)
"""Of evaluated routers, in order."""
ORANGE = Colour("orange", "#b87400", "#f0b340")
SKY = Colour("sky", "#3a86b4", "#86cdf2")
GREEN = Colour("green", "#3f7d2c", "#8fd07a")

ALL = (PAPER, INK, MUTED, LINE, WASH, WARN, *SERIES, ORANGE, SKY, GREEN)


def sheet() -> str:
    """The page's style."""
    light = "".join(f"--{colour.name}:{colour.light};" for colour in ALL)
    dark = "".join(f"--{colour.name}:{colour.dark};" for colour in ALL)
    return f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{RULES}"


def themed(svg: str) -> str:
    """A drawing whose colours follow the page."""
    for colour in ALL:
        svg = svg.replace(colour.light, f"var(--{colour.name})")
    return svg


RULES = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:78rem;padding:1.5rem;background:var(--paper);color:var(--ink);
 font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.3rem;margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line);
 padding-bottom:.25rem}h3{font-size:1.05rem;margin:1.5rem 0 .3rem}
p{max-width:60rem}a{color:var(--blue)}code{font-size:.9em;background:var(--wash);padding:.05em .3em;border-radius:3px}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;list-style:none;padding:0;margin:.5rem 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .7rem;text-align:left;vertical-align:baseline;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--muted);font-weight:600}tbody th{font-weight:400}
.figure{text-align:right}small{color:var(--muted);font-size:.85em}tbody tr:hover{background:var(--wash)}
.note,figcaption{color:var(--muted);font-size:.85rem;max-width:60rem}
.warnings{background:var(--warn);border-left:4px solid var(--orange);padding:.6rem 1rem .6rem 2rem;max-width:60rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));gap:1.5rem;margin:1.2rem 0}
figure{margin:0}figure svg{width:100%;height:auto;display:block}
figure svg text{fill:var(--ink);font-family:system-ui,sans-serif!important}
details{margin:.8rem 0}summary{cursor:pointer;font-weight:600}
@media print{details{display:none}}
"""
