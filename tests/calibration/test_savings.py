"""`tradewind savings`: what routing would have cost on a log, against sums by hand and by `decide`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pool
import pytest

from commands import Tradewind
from tradewind import core, engine
from tradewind.artifacts import predictor, schemas


def check(
    tradewind: Tradewind, log: Path, config: Path, artifact: Path, *more: object, status: int = 0, baseline: str = "strong"
) -> dict[str, Any]:
    arguments = ("--log", log, "--baseline", baseline, "--config", config, "--predictor", artifact, *more)
    found, out, err = tradewind("savings", *arguments, "--json")
    assert found == status, err
    document: dict[str, Any] = json.loads(out)
    jsonschema.validate(document, schemas.read("savings"))
    assert tradewind("savings", *arguments)[0] == status
    return document


def decisions(tradewind: Tradewind, log: Path, config: Path, artifact: Path) -> list[dict[str, Any]]:
    out = tradewind("decide", "--input", log, "--config", config, "--predictor", artifact, "--json")[1]
    return [json.loads(line) for line in out.splitlines()]


def test_figures_are_sums_over_what_decide_says(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    log, config = pool.log(tmp_path, pool.texts(20)), pool.config(tmp_path)
    document = check(tradewind, log, config, predictor_folder, "--curve")
    always = routed = good = 0.0
    calls: dict[str, int] = {}
    for decision in decisions(tradewind, log, config, predictor_folder):
        by_id = {candidate["model"]: candidate for candidate in decision["candidates"]}
        always += by_id["default/chat/strong"]["cost_nanousd"] / 1e9
        routed += by_id[decision["chosen"]]["cost_nanousd"] / 1e9
        good += by_id[decision["chosen"]]["quality"] / 20
        calls[decision["chosen"]] = calls.get(decision["chosen"], 0) + 1
    assert document["n"] == document["calls"] == 20
    assert document["baseline_cost_usd"]["value"] == pytest.approx(always)
    assert document["routed_cost_usd"]["value"] == pytest.approx(routed)
    assert document["saved"]["value"] == pytest.approx(1 - routed / always)
    assert document["routed_quality"]["value"] == pytest.approx(good)
    assert {row["model"]: row["calls"] for row in document["models"]} == calls
    assert len(calls) > 1
    assert document["saved"]["low"] < document["saved"]["value"] < document["saved"]["high"]
    costs = [row["routed_cost_usd"]["value"] for row in document["curve"]]
    assert costs == sorted(costs)
    assert costs[0] < routed < costs[-1]
    row = next(row for row in document["curve"] if row["willingness_to_pay_usd"] == 0.002)
    assert {name: document[name] for name in row if name in document} == {
        name: value for name, value in row.items() if name in document
    }


def test_people_are_told_what_it_means(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    lines = [*pool.texts(5), {"id": "named", "body": {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}}]
    arguments = ("--log", pool.log(tmp_path, lines), "--config", pool.config(tmp_path), "--predictor", predictor_folder)
    status, out, _ = tradewind("savings", *arguments, "--baseline", "strong")
    assert status == 1
    for part in (
        "always strong",
        "saved",
        "5 calls by policy default/default, strategy utility, where a perfect answer is worth $0.002 more",
        "forecasts, not measurements",
        "1 line left out, names_a_model; the first is calls.jsonl:6: the call names the model `tiny`",
    ):
        assert part in out


def test_lines_that_cannot_be_used_are_counted_by_reason_and_place(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path
) -> None:
    lines = [
        '{"id": "a", "text": "Hi"}',
        "",
        "nonsense",
        '{"id": 7, "text": "Hi"}',
        '{"id": "named", "body": {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}}',
        '{"id": "who", "body": {"model": "who", "messages": [{"role": "user", "content": "Hi"}]}}',
        '{"id": "cost", "text": "Hi", "model": "tiny", "cost_usd": -1}',
        '{"id": "cheap", "text": "Hi", "max_cost_usd": 1e-9}',
    ]
    log, config = pool.log(tmp_path, lines), pool.config(tmp_path)
    document = check(tradewind, log, config, predictor_folder, status=1)
    assert (document["calls"], document["n"], document["unusable"]["n"]) == (7, 1, 6)
    assert [(line["place"], line["id"], line["code"]) for line in document["unusable"]["lines"]] == [
        ("calls.jsonl:3", None, "invalid_request"),
        ("calls.jsonl:4", "7", "invalid_request"),
        ("calls.jsonl:5", "named", "names_a_model"),
        ("calls.jsonl:6", "who", "model_not_found"),
        ("calls.jsonl:7", "cost", "invalid_request"),
        ("calls.jsonl:8", "cheap", "no_candidate"),
    ]
    assert "line 3 cannot be read" in document["unusable"]["lines"][0]["message"]
    asking = check(tradewind, log, config, predictor_folder, "--alias", "auto", status=1)
    assert (asking["n"], asking["unusable"]["n"]) == (3, 4)


def test_calls_that_the_baseline_cannot_answer_are_not_compared(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path
) -> None:
    log, config = pool.log(tmp_path, pool.texts(20)), pool.config(tmp_path)
    document = check(tradewind, log, config, predictor_folder, baseline="small")
    left = document["baseline_cannot"]
    assert left["reasons"] == {"context_length": left["n"]}
    assert 0 < left["n"] == 20 - document["n"]
    assert left["routed_cost_usd"] > 0


def test_observed_costs_stand_beside_their_forecast(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    lines = [
        {"id": "a", "text": "Hi", "model": "strong", "cost_usd": 0.25},
        {"id": "b", "text": "Hi", "model": "default/chat/tiny", "input_tokens": 1_000_000, "output_tokens": 0},
        {"id": "c", "text": "Hi", "model": "elsewhere", "cost_usd": 9},
        {"id": "d", "text": "Hi"},
    ]
    log, config = pool.log(tmp_path, lines), pool.config(tmp_path)
    found = check(tradewind, log, config, predictor_folder)["observed"]
    plain = pool.log(tmp_path, [{"id": "a", "text": "Hi"}])
    (decision,) = decisions(tradewind, plain, config, predictor_folder)
    cost = {candidate["model"]: candidate["cost_nanousd"] / 1e9 for candidate in decision["candidates"]}
    assert (found["calls"], found["n"]) == (3, 2)
    assert found["cost_usd"] == pytest.approx(0.25 + 0.05)
    assert found["forecast_cost_usd"] == pytest.approx(cost["default/chat/strong"] + cost["default/chat/tiny"])


@pytest.mark.parametrize(("capture", "n", "reason"), [("text", 2, {}), ("features", 2, {}), ("none", 1, {"not_captured": 2})])
def test_a_ledger_is_a_log(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, capture: str, n: int, reason: dict[str, int]
) -> None:
    config, ledger = pool.config(tmp_path), tmp_path / "ledger"
    artifact = predictor.read(predictor_folder)
    with core.Simulator(models="tiny:0.05:0.2,small:0.1:0.4,medium:0.5:2,strong:2.5:10") as upstream:
        config.write_text(config.read_text().replace("http://127.0.0.1:4100", upstream.url))
        plan = engine.load(config, artifact).plan
        settings = {"workers": 1, "drain_s": 5, "capture": capture, "ledger_dir": str(ledger)}
        gateway = core.Gateway(plan, [artifact.graph], settings=settings)
        url = f"http://{gateway.listen('127.0.0.1:0')}/v1/chat/completions"
        for text in ("Hi", "Explain it in depth. " * 9):
            body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
            assert httpx.post(url, json=body).status_code == 200
        gateway.drain()
    if capture == "none":
        (ledger / "more.jsonl").write_text('{"id": "a", "text": "Hi"}\n')
    document = check(tradewind, ledger, config, predictor_folder, status=1 if reason else 0)
    assert (document["n"], document["unusable"]["reasons"]) == (n, reason)
    if not reason:
        assert document["observed"]["n"] == 2
        chosen = [json.loads(line)["chosen"] for line in next(ledger.glob("*.jsonl")).read_text().splitlines()]
        assert sorted(row["model"] for row in document["models"]) == sorted(set(chosen))
        dearer = check(tradewind, ledger, config, predictor_folder, "--curve")["curve"][-1]
        assert dearer["routed_cost_usd"]["value"] >= document["routed_cost_usd"]["value"]


@pytest.mark.parametrize(
    ("lines", "baseline", "more", "part"),
    [
        ([{"id": "a", "text": "Hi"}], "who", (), "unknown model `who`; expected one of `default/chat/medium`"),
        (
            [{"id": "a", "text": "Hi"}],
            "strong",
            ("--curve",),
            "--curve needs calls that a policy with strategy `Utility` takes",
        ),
        (["nonsense"], "strong", (), "can be used: line 1 cannot be read"),
        ([{"id": "a", "text": "Why? " * 300}], "small", (), "could have answered none of the 1 calls: `context_length`"),
    ],
)
def test_what_cannot_be_compared_is_wrong_usage(
    tradewind: Tradewind,
    predictor_folder: Path,
    tmp_path: Path,
    lines: list[Any],
    baseline: str,
    more: tuple[str, ...],
    part: str,
) -> None:
    config = pool.config(tmp_path, pool.CHEAPEST)
    log = pool.log(tmp_path, lines)
    arguments = ("--log", log, "--baseline", baseline, "--config", config, "--predictor", predictor_folder, *more)
    status, out, err = tradewind("savings", *arguments)
    assert (status, out) == (2, "")
    assert part in " ".join(err.split())
