"""`evaluate` on a graph of a user's own: its decisions are those of `decide`, and it fits no models it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import synthetic

import own_graph
from commands import Tradewind
from tradewind.artifacts import predictor


def test_it_is_evaluated_on_models_that_it_knows_and_refused_on_others(tmp_path: Path, tradewind: Tradewind) -> None:
    data = synthetic.sets(tmp_path / "data", ours=40, pair=20)
    place = own_graph.write(tmp_path / "own", models=["small", "large", "unused"])
    decisions = tmp_path / "decisions.jsonl"
    asked = ("evaluate", "--data", data, "--predictor", place, "--json")
    status, out, _ = tradewind(*asked, "--sets", "pair", "--decisions-out", decisions)
    assert (status, json.loads(out)["router"]) == (0, predictor.read(place).digest)
    first = json.loads(decisions.read_bytes().splitlines()[0])
    assert {each["model"].rpartition("/")[2] for each in first["candidates"]} == {"small", "large"}
    for split in ((), ("--split", "question:0")):
        status, _, said = tradewind(*asked, "--sets", "ours", *split)
        assert (status, "no column for `other` of `ours`" in said) == (2, True)


def test_a_text_that_it_fails_on_ends_the_evaluation_with_the_reason(tmp_path: Path, tradewind: Tradewind) -> None:
    data = synthetic.sets(tmp_path / "data", ours=40, pair=20)
    graph = own_graph.build(quality=own_graph.BIAS)
    place = own_graph.write(tmp_path / "own", graph, models=["small", "large", "unused"])
    status, _, said = tradewind("evaluate", "--data", data, "--sets", "pair", "--predictor", place, "--json")
    assert status == 3
    assert "`quality` has -0.5 in column 0" in said
