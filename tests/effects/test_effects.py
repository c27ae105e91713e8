"""No field without effect: each does what its row says, and none is without a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fields
import observed
import page
import pytest
import table
from observed import Stage
from table import Effect

PAGE = Path(__file__).parent.parent.parent / "docs" / "fields.md"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with observed.stage(tmp_path_factory.mktemp("effects")) as opened:
        yield opened


@pytest.mark.parametrize("effect", table.TABLE, ids=lambda effect: effect.field)
def test_a_field_does_what_its_row_says(effect: Effect, stage: Stage) -> None:
    seen = tuple(observed.observe(effect, value, stage) for value in effect.values)
    assert seen == tuple(observed.named(effect.seen, stage.names))
    assert seen[0] != seen[1]


def test_every_field_of_the_schema_has_a_row() -> None:
    assert {effect.field for effect in table.TABLE} == set(fields.all_fields())


def test_a_row_varies_its_field_and_nothing_else() -> None:
    for effect in table.TABLE:
        assert effect.field.startswith(effect.at), effect.field
        one, other = (observed.objects(effect, value) for value in effect.values)
        assert one != other, effect.field


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page.text(), "run `make docs`"
