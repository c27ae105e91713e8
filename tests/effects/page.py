"""`docs/fields.md`: what each field of a resource does, from the schema and the table that the tests prove."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fields
import observed
import table
import yaml
from table import ABSENT, Effect

EXAMPLES = {
    "url": "http://model.example:8000",
    "port": 8000,
    "port2": 9000,
    "predictor": "https://predictors.example/predictor.onnx",
    "digest": "2fc4…",
    "second": "https://predictors.example/second.onnx",
    "second_digest": "7be1…",
}
"""What names stand for, for people."""

HEAD = """# Fields

What each field of a ModelPool and a RoutingPolicy does. Made by `make docs` from the schema in `crds/` and the table in
`tests/effects/table.py`. A test shows the last column of each row: one value and another, all else being equal. What the
controller writes into `status` is in [conditions.md](conditions.md).
"""
COLUMNS = "| field | is | does | shown by |\n|---|---|---|---|\n"


def text() -> str:
    """The page."""
    kinds = dict.fromkeys(path.split(".")[0] for path in fields.all_fields())
    return HEAD + "".join(f"\n## {kind}\n\n{COLUMNS}{''.join(_rows(kind))}" for kind in kinds)


def _rows(kind: str) -> Iterator[str]:
    about = fields.all_fields()
    for effect in table.TABLE:
        if effect.field.startswith(f"{kind}."):
            field = effect.field.removeprefix(f"{kind}.")
            yield f"| `{field}` | {_cell(about[effect.field])} | {effect.does} | {_cell(_shown(effect))} |\n"


def _shown(effect: Effect) -> str:
    values = " → ".join(_value(observed.named(value, EXAMPLES)) for value in effect.values)
    seen = " → ".join(f"`{each}`" for each in observed.named(effect.seen, EXAMPLES))
    return f"{values}: {effect.shown} {seen}"


def _value(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    written: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return f"`{written.splitlines()[0]}`"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
