"""A graph of a user's own from folder to answer: what fits decides as numpy computes, what does not is refused by name."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto

import doors
import own_graph
import routing
from commands import Tradewind
from hosted import hosted
from tradewind import core
from tradewind.artifacts import plan, predictor
from tradewind.artifacts.predictor import Predictors
from tradewind.engine import Engine
from tradewind.errors import ConfigurationError, InvalidPredictor, PredictorFailed
from tradewind.resources import folder
from tradewind.resources.assemble import assemble

CONFIG = Path(__file__).parent.parent / "resources" / "valid" / "minimal.yaml"
"""A pool of `cheap` (profile `tiny`) and `dear` (profile `strong`)."""
TEXTS = ("Hi", "Why is the sky blue?", "Prove that there are infinitely many primes. " * 40, "证明这个定理。", "")
COMBINATIONS = [chosen for size in (1, 2, 3) for chosen in combinations(own_graph.INPUTS, size)]


def body(text: str) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}]}).encode()


def forecasts(engine: Engine, text: str) -> dict[str, tuple[float, int]]:
    return {each.name: (each.quality, each.output_tokens) for each in engine.decide(body(text)).candidates}


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "no_tokens"])
@pytest.mark.parametrize("inputs", COMBINATIONS, ids="+".join)
def test_every_combination_of_inputs_and_outputs_forecasts_what_numpy_does(
    tmp_path: Path, inputs: tuple[str, ...], tokens: bool
) -> None:
    place = own_graph.write(
        tmp_path, own_graph.build(inputs, tokens=tokens), profiles={"tiny": {"bias": 0, "length": {"bias": 3}}}
    )
    engine = Engine.from_config(CONFIG, predictor_at=place)
    for text in TEXTS:
        quality, length = own_graph.expected(text, inputs)
        found = forecasts(engine, text)
        for model, column, silent in (("cheap", 0, np.exp(3)), ("dear", 1, np.exp(5.5))):
            assert found[model][0] == pytest.approx(quality[column], abs=1e-5)
            assert found[model][1] == pytest.approx(max(1, length[column] if tokens else silent), abs=0.51)


def test_the_executor_is_onnxruntime_whatever_is_asked_for_and_decisions_repeat(tmp_path: Path, tradewind: Tradewind) -> None:
    place = own_graph.write(tmp_path / "own")
    lines = tmp_path / "calls.jsonl"
    lines.write_text("".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(TEXTS)))
    asked = ("decide", "--config", CONFIG, "--predictor", place, "--input", lines, "--json")
    runs = [tradewind(*asked, "--executor", executor) for executor in ("native", "onnxruntime", "native")]
    assert runs[0][0] == 0
    assert runs[0] == runs[1] == runs[2]
    assert len({json.loads(line)["chosen"] for line in runs[0][1].splitlines()}) == 2, "the text matters"
    status, shown, _ = tradewind("route", "Hi", "--config", CONFIG, "--predictor", place, "--json")
    assert (status, json.loads(shown)["decision"]["predictor"]) == (0, predictor.read(place).digest)


def test_a_policy_names_it_by_url_and_digest(tmp_path: Path) -> None:
    artifact = predictor.read(own_graph.write(tmp_path / "site" / "own"))
    with hosted(tmp_path / "site") as site:
        named = (
            f"\n  predictor: {{url: '{site.url}/own/predictor.onnx', sha256: '{artifact.digest.removeprefix('sha256:')}'}}\n"
        )
        (tmp_path / "config.yaml").write_text(CONFIG.read_text().rstrip() + named)
        engine = Engine.from_config(tmp_path / "config.yaml", predictor_cache=tmp_path / "cache")
    decided = engine.decide(body(TEXTS[1]))
    assert decided.predictor == artifact.digest
    assert decided.candidates[1].quality == pytest.approx(own_graph.expected(TEXTS[1])[0][1], abs=1e-5)


def test_models_are_matched_by_profile_then_by_name_and_a_stranger_is_a_problem(tmp_path: Path) -> None:
    def assembled(models: list[str]) -> list[str]:
        own = predictor.read(own_graph.write(tmp_path / "-".join(models), models=models))
        given = tmp_path / "config.yaml"
        given.write_text(CONFIG.read_text().replace("quality: {profile: strong}", "quality: {prior: '0.8'}"))
        found = assemble(folder.read(given), Predictors(own))
        return [problem.message for problem in found.problems]

    assert assembled(["dear", "tiny", "third"]) == []
    (message,) = assembled(["strong", "tiny", "third"])
    assert "has no column for `default/chat/dear`" in message
    assert "it has `strong`, `third`, `tiny`" in message


@pytest.mark.parametrize(
    ("built", "part"),
    [
        ({"declared": {"input_ids": (TensorProto.INT32, [1, "T"])}}, r"input `input_ids` int32\[1,T\]; accepted are"),
        ({"declared": {"input_ids": (TensorProto.INT64, [1, 128])}}, r"input `input_ids` int64\[1,128\]"),
        ({"declared": {"attention_mask": (TensorProto.INT64, ["T"])}}, r"input `attention_mask` int64\[T\]"),
        ({"declared": {"features": (TensorProto.FLOAT, [1, 7])}}, r"input `features` float32\[1,7\]"),
        ({"declared": {"features": (TensorProto.DOUBLE, [1, 32])}}, r"input `features` float64\[1,32\]"),
        ({"inputs": ()}, "has no input"),
        (
            {"inputs": ("input_ids", "token_type_ids"), "declared": {"token_type_ids": (TensorProto.INT64, [1, "T"])}},
            r"input `token_type_ids` int64\[1,T\]",
        ),
        ({"declared": {"quality": (TensorProto.FLOAT16, [1, 3])}}, r"output `quality` float16\[1,3\]"),
        ({"declared": {"quality": (TensorProto.FLOAT, [1, "M"])}}, r"output `quality` float32\[1,M\]"),
        ({"declared": {"quality": (TensorProto.FLOAT, [2, 3])}}, r"output `quality` float32\[2,3\]"),
        ({"declared": {"output_tokens": (TensorProto.FLOAT, [1, 2])}}, "3 columns of `quality` and 2 of `output_tokens`"),
        ({"extra_output": True}, r"output `logit` float32\[1,3\]"),
        ({"properties": {"tradewind.feature_schema": "sha256:old"}}, "feature schema sha256:old"),
        ({"properties": {"tradewind.graph": "tier7/1"}}, "unknown graph `tier7/1`"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused_with_what_was_found(tmp_path: Path, built: dict[str, object], part: str) -> None:
    graph = own_graph.build(**built)  # type: ignore[arg-type]
    with pytest.raises(InvalidPredictor, match=part):
        predictor.read(own_graph.write(tmp_path, graph))
    with pytest.raises(InvalidPredictor, match=part):
        core.Planner(b"{}", [graph])


@pytest.mark.parametrize(
    ("manifest", "part"),
    [
        ({"models": None}, "no order of the 3 columns"),
        ({"models": "tiny"}, "no order of the 3 columns"),
        ({"models": ["tiny", "strong"]}, "names 2 models; its graph has 3 columns"),
        ({"models": ["tiny", "strong", "tiny"]}, "names `tiny` twice"),
        ({"feature_schema": None}, "feature schema `None`; this build computes `sha256:"),
        ({"feature_schema": "sha256:old"}, "feature schema `sha256:old`"),
        ({"profiles": {"large": {"bias": 0}}}, "profiles of `large`"),
    ],
)
def test_a_manifest_that_does_not_order_the_columns_is_refused(tmp_path: Path, manifest: dict[str, object], part: str) -> None:
    with pytest.raises(InvalidPredictor, match=part):
        predictor.read(own_graph.write(tmp_path, **manifest))


def test_a_manifest_of_the_microsecond_tier_orders_no_columns(tmp_path: Path, predictor_folder: Path) -> None:
    manifest = json.loads((predictor_folder / predictor.MANIFEST).read_text())
    (tmp_path / predictor.MANIFEST).write_text(json.dumps({**manifest, "models": ["tiny"]}))
    (tmp_path / predictor.GRAPH).write_bytes((predictor_folder / predictor.GRAPH).read_bytes())
    with pytest.raises(InvalidPredictor, match="its graph has no columns"):
        predictor.read(tmp_path)


def own_plan(graph: bytes, upstream: str, columns: dict[str, int | None]) -> bytes:
    """Models `strong` and `tiny` behind an upstream, read by the graph from these columns."""
    profiles = {name: plan.Profile(0.0, column=column) for name, column in columns.items()}
    models = [routing.model(name, f"{upstream}/v1", like=name) for name in columns]
    route = routing.route("auto", predictor.digest_of(graph), models, "best")
    return plan.PlanSource(profiles, tuple(models), (route,)).to_json()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"strong": 3, "tiny": 0}, "`column` is 3; the predictor has columns 0 to 2"),
        ({"strong": None, "tiny": 0}, "`column` is missing: the predictor is a graph of a user's own"),
    ],
)
def test_a_plan_whose_columns_the_graph_does_not_have_is_refused(columns: dict[str, int | None], message: str) -> None:
    graph = own_graph.build()
    (problem,) = core.check_plan(own_plan(graph, "http://127.0.0.1:1", columns), [graph])
    assert problem["code"] == "profile_mismatch"
    assert message in problem["message"]


def test_a_column_is_nothing_for_the_microsecond_tier(graph: bytes) -> None:
    (problem,) = core.check_plan(own_plan(graph, "http://127.0.0.1:1", {"tiny": 0}), [graph])
    assert "`column` is of a graph of a user's own" in problem["message"]


def test_both_doors_serve_it(tmp_path: Path) -> None:
    graph = own_graph.build()
    with core.Simulator(models=routing.SIMULATED) as simulator:
        source = own_plan(graph, simulator.url, {"strong": 1, "tiny": 0})
        with doors.opened(source, [graph]) as opened:
            for door in doors.NAMES:
                url = opened.url(door)
                assert httpx.get(f"{url}/plan").json()["executor"] == "onnxruntime"
                decided = httpx.post(f"{url}/v1/decide", content=body(TEXTS[1])).json()
                assert decided["candidates"][0]["quality"] == pytest.approx(own_graph.expected(TEXTS[1])[0][1], abs=1e-5)
                answer = httpx.post(f"{url}/v1/chat/completions", content=body(TEXTS[1]))
                assert (answer.status_code, answer.headers["x-tradewind-model"]) == (200, "default/chat/strong")


NAN, WRONG = [0.5, float("nan"), 0.5], [0.5, 1.5, 0.5]


@pytest.mark.parametrize("quality", [NAN, WRONG, [-0.1, 0.5, 0.5], [float("inf"), 0.5, 0.5]], ids=str)
def test_what_is_no_forecast_is_an_error_of_the_call_in_process(quality: list[float]) -> None:
    graph = own_graph.build(quality=np.array(quality, np.float32))
    planner = core.Planner(own_plan(graph, "http://127.0.0.1:1", {"tiny": 0}), [graph])
    with pytest.raises(PredictorFailed, match=r"`quality` has .* in column \d; expected a number from 0 to 1"):
        planner.decide(body("Hi"))
    (line,) = planner.decide_lines(b'{"id":"a","text":"Hi"}\n').splitlines()
    assert json.loads(line)["error"]["code"] == "predictor_failed"


def test_a_gateway_refuses_a_graph_that_fails_on_the_first_text_and_counts_later_failures() -> None:
    with pytest.raises(PredictorFailed):
        core.Gateway(None, [own_graph.build(quality=np.array(NAN, np.float32))])
    # Negative beyond twenty tokens, which no answer has.
    fragile = own_graph.build(("attention_mask",), tokens_each=np.array([[-10.0, 1.0, 1.0]], np.float32), tokens_more=30.0)
    with (
        core.Simulator(models=routing.SIMULATED) as simulator,
        doors.opened(own_plan(fragile, simulator.url, {"tiny": 0}), [fragile]) as opened,
    ):
        for door in doors.NAMES:
            url = opened.url(door)
            assert httpx.post(f"{url}/v1/chat/completions", content=body("Hi there, how are you?")).status_code == 200
            for path in ("/v1/chat/completions", "/v1/decide"):
                refused = httpx.post(f"{url}{path}", content=body("word " * 60))
                assert (refused.status_code, refused.json()["error"]["code"]) == (500, "predictor_failed")
                assert refused.json()["error"]["param"] == "predictor.output_tokens[0]"
        counted = httpx.get(f"{opened.native}/metrics").text
        assert httpx.get(f"{simulator.url}/_stats").json()["requests"] == 2
    assert 'tradewind_calls_total{route="",model="",code="predictor_failed"} 2' in counted
    assert 'tradewind_requests_refused_total{code="predictor_failed"} 2' in counted


def test_a_missing_column_refuses_a_configuration(tmp_path: Path) -> None:
    place = own_graph.write(tmp_path, models=["tiny", "large", "small"])
    with pytest.raises(ConfigurationError) as refused:
        Engine.from_config(CONFIG, predictor_at=place)
    assert "strong" in str(refused.value)
