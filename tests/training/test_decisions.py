"""What `evaluate` scores is what `decide` decides: the same bytes, on the plans that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic

from tradewind.cli import app
from tradewind.training import datasets, routing, splits

SETS = ("ours", "pair")

Tradewind = Callable[..., tuple[int, bytes]]


@pytest.fixture
def tradewind(capfdbinary: pytest.CaptureFixture[bytes]) -> Tradewind:
    """Runs a command in this process; gives exit status and stdout."""

    def call(*arguments: object) -> tuple[int, bytes]:
        status = app.run([str(argument) for argument in arguments])
        return status, capfdbinary.readouterr().out

    return call


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=120, pair=80)


def calls(data: Path, name: str, split: str) -> bytes:
    """Input of `decide`, made from the tables as anyone would: every held-out question at every willingness."""
    tables = {each: datasets.load(data, each, {}) for each in SETS}
    tested = tables[name].take(splits.parse(split, tables.values()).tested(tables[name]))
    lines = (
        {
            "id": f"{query_id}@{willingness:g}",
            "body": {"model": "auto", "messages": [{"role": "user", "content": text}]},
            "willingness_to_pay_usd": willingness,
        }
        for query_id, text in zip(tested.ids, tested.texts, strict=True)
        for willingness in routing.WILLINGNESS
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


@pytest.mark.parametrize("fit", [None, "tier1"])
def test_evaluated_decisions_are_those_of_decide(data: Path, tmp_path: Path, tradewind: Tradewind, fit: str | None) -> None:
    plans, decisions, split = tmp_path / "plans", tmp_path / "out" / "decisions.jsonl", "question:1"
    chosen = ["--fit", fit] if fit else []
    outputs = ["--plans-out", plans, "--decisions-out", decisions, "--json"]
    status, out = tradewind("evaluate", "--data", data, "--split", split, *chosen, *outputs)
    assert status == 0
    assert set(json.loads(out)["sets"]) == set(SETS)
    again = b""
    for name in SETS:
        (tmp_path / "calls.jsonl").write_bytes(calls(data, name, split))
        predictor = ["--predictor", plans / "predictor"] if fit else []
        status, out = tradewind("decide", plans / f"{name}.json", *predictor, "--input", tmp_path / "calls.jsonl", "--json")
        assert status == 0
        again += out
    assert len(again.splitlines()) > 46 * 20
    # Not `==`: pytest would spend minutes on showing where megabytes differ.
    assert (decisions.read_bytes() == again) is True
    assert len({json.loads(line)["chosen"] for line in again.splitlines()}) > 2
    assert (plans / "predictor").exists() == (fit is not None)


def test_an_estimator_that_does_not_decide_has_none_to_write(data: Path, tmp_path: Path, tradewind: Tradewind) -> None:
    for flag in ("--plans-out", "--decisions-out"):
        asked = ("evaluate", "--data", data, "--fit", "mean", "--split", "question:1", flag, tmp_path / "out")
        assert tradewind(*asked)[0] == 2
    assert not (tmp_path / "out").exists()
