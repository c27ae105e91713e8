"""The router as a library: no gateway, no network, typed answers and typed errors."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tradewind
from tradewind import core
from tradewind import engine as engines
from tradewind.engine import Engine
from tradewind.errors import ConfigurationError, DialIgnored, InvalidJson, InvalidPlan, ModelNotFound, UsageError

RESOURCES = Path(__file__).parent.parent / "resources"
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def engine(predictor_folder: Path) -> Engine:
    return Engine.from_config(RESOURCES / "valid" / "minimal.yaml", predictor_at=predictor_folder)


def test_the_package_offers_the_engine() -> None:
    assert tradewind.Engine is Engine
    assert "Engine" in dir(tradewind)


def test_a_decision_is_typed_and_says_why(engine: Engine) -> None:
    decision = engine.decide(BODY, id="a", willingness_to_pay_usd=0.001)
    assert (decision.id, decision.plan, decision.predictor) == ("a", engine.plan_id, engine.predictor.digest)
    assert decision.chosen.name == "cheap"
    assert decision.chosen is decision.ranking[0]
    assert decision.objective.willingness_to_pay_usd == 0.001
    assert decision.chosen.utility == pytest.approx(0.001 * decision.chosen.quality - decision.chosen.cost_usd)


def test_the_library_counts_tokens_costs_and_classifies(engine: Engine) -> None:
    assert engine.tokenize("Hi") == [7632]
    assert engine.cost("dear", 1_000_000, 0) == 10_000_000_000
    easy, hard = engine.classify("Hi"), engine.classify("Explain in depth. " * 5)
    assert max(easy["difficulty"]) < min(hard["difficulty"])


def test_a_text_is_classified_by_the_predictor_that_the_plan_names(engine: Engine) -> None:
    shipped = Engine.from_config()
    graphs = [engine.predictor.graph, shipped.predictor.graph]
    for one in (engine, shipped):
        config = RESOURCES / "valid" / "minimal.yaml" if one is engine else engines.default_config()
        planner = core.Planner(engines.load(config, one.predictor).plan, graphs)
        assert planner.classify("Hi") == one.classify("Hi")


def test_errors_are_typed_with_their_place(engine: Engine) -> None:
    with pytest.raises(InvalidJson):
        engine.decide(b"{")
    with pytest.raises(ModelNotFound) as found:
        engine.decide({**BODY, "model": "who"})
    assert found.value.path == "model"
    with pytest.raises(DialIgnored):
        engine.decide({**BODY, "model": "dear"}, willingness_to_pay_usd=1.0)


def test_a_refused_configuration_names_all_its_problems(predictor_folder: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Engine.from_config(RESOURCES / "invalid" / "everything_at_once.yaml", predictor_at=predictor_folder)
    assert len(refused.value.problems) == 4
    with pytest.raises(UsageError):
        Engine.from_config("/nowhere", predictor_at=predictor_folder)


def test_a_plan_with_problems_names_each_with_its_place_once(engine: Engine) -> None:
    def refused(plan: object) -> InvalidPlan:
        with pytest.raises(InvalidPlan) as found:
            core.Planner(json.dumps(plan).encode(), [engine.predictor.graph])
        with pytest.raises(InvalidPlan) as again:
            core.Gateway(json.dumps(plan).encode(), [engine.predictor.graph])
        assert str(found.value) == str(again.value)
        return found.value

    source = json.loads(engines.load(RESOURCES / "valid" / "minimal.yaml", engine.predictor).plan)
    source["routes"][0]["candidates"] = []
    one = refused(source)
    assert (one.path, one.message) == ("routes[0].candidates", "a route needs at least one candidate")
    assert str(one) == f"{one.path}: {one.message}"
    source["routes"][0]["strategy"] = {"type": "cheapst"}
    both = refused(source)
    assert both.path == ""
    lines = str(both).splitlines()
    assert all(line.startswith("routes[0].") for line in lines)
    assert len(lines) == 2
    unreadable = refused([])
    assert unreadable.path == ""
    assert str(unreadable).startswith("the plan source cannot be read")


def test_many_threads_decide_the_same(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        decisions = threads.map(lambda _: engine.decide(BODY).document, range(200))
        assert all(document == engine.decide(BODY).document for document in decisions)
