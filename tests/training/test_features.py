"""What the core's scan gives to training."""

from __future__ import annotations

import pytest

from tradewind import core
from tradewind.training import features


@pytest.mark.parametrize("texts", [[], ["Why is the sky blue?", ""]])
def test_a_row_for_each_text_and_a_column_for_each_feature(texts: list[str]) -> None:
    found = features.of(texts)
    assert (len(found), found.surface.shape) == (len(texts), (len(texts), len(core.feature_names())))
