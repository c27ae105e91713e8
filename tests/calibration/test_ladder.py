"""What calls choose as a setting rises: as `decide` has it, at every step and beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pool
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.artifacts.plan import Constraints, Route
from tradewind.calibration import calibrate, dials, inputs
from tradewind.calibration.deciding import Decided, Ints
from tradewind.calibration.dials import floor, willingness
from tradewind.calibration.inputs import Inputs
from tradewind.calibration.ladder import BILLIONTHS, decimal, shortest
from tradewind.calibration.log import Call
from tradewind.errors import UsageError

ROUTE = Route("default/default", ("auto",), "sha256:0", (), {"type": "utility", "utility": {"willingness_to_pay_usd": 0.0}})
SETTINGS = st.integers(0, 10**12) | st.integers(0, 10**8)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Qualities, singles with many equal ones, and costs in nano-dollars."""
    calls, models = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    quality = st.integers(0, 1000).map(lambda part: part / 1000) | st.floats(0, 1, width=32)
    cost = st.integers(0, 10) | st.integers(0, 10**8)

    def rows(cells: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(st.lists(cells, min_size=models, max_size=models), min_size=calls, max_size=calls)))

    return rows(quality).astype(np.float32).astype(np.float64), rows(cost).astype(np.float64)


def decided(quality: np.ndarray, cost: np.ndarray, setting: int) -> Decided:
    """As strategy `utility` ranks."""
    utility = setting / BILLIONTHS * quality - cost / 1e9
    rankings = tuple(tuple(np.lexsort((np.arange(len(row)), -row)).tolist()) for row in utility)
    n, models = quality.shape
    calls = tuple(Call(Path("calls.jsonl"), number, "") for number in range(n))
    names = tuple(f"default/chat/{number}" for number in range(models))
    return Decided(names, calls, (ROUTE.id,) * n, quality, cost, ({},) * n, rankings, np.zeros(n, np.bool_))


@settings(max_examples=50)
@given(tables(), st.lists(SETTINGS, max_size=5))
def test_the_ladder_of_the_willingness_chooses_the_largest_utility(
    table: tuple[np.ndarray, np.ndarray], others: list[int]
) -> None:
    ends = [decided(*table, setting) for setting in dials.TABLE["utility"].ends]
    ladder = willingness.climb(ROUTE, ends)
    beside = [around for at in ladder.at.tolist() if at < 10**12 for around in (at - 1, at, at + 1)]
    for setting in (*others, *beside):
        assert ladder.chosen(setting).tolist() == decided(*table, setting).chosen.tolist()


@settings(max_examples=50)
@given(tables(), st.lists(st.integers(0, BILLIONTHS), max_size=5))
def test_the_ladder_of_the_floor_chooses_the_cheapest_that_reaches_it(
    table: tuple[np.ndarray, np.ndarray], others: list[int]
) -> None:
    quality, cost = table
    relaxing = replace(ROUTE, constraints=Constraints(when_unsatisfied="best_effort"))

    def expected(setting: int) -> list[int]:
        missing = np.maximum(np.float32(setting / BILLIONTHS) - quality, 0)
        orders = np.lexsort((np.broadcast_to(np.arange(quality.shape[1]), quality.shape), -quality, cost, missing), axis=1)
        return [int(order[0]) for order in orders]

    ranked = replace(decided(quality, cost, 0), rankings=tuple((column, *range(quality.shape[1])) for column in expected(0)))
    ladder = floor.climb(relaxing, [ranked])
    for setting in (*others, *(around for at in ladder.at.tolist() for around in (at - 1, at, min(at + 1, BILLIONTHS)))):
        assert ladder.chosen(setting).tolist() == expected(setting)


@settings(max_examples=50)
@given(tables())
def test_quality_and_cost_and_the_share_of_dear_calls_rise_with_the_willingness(table: tuple[np.ndarray, np.ndarray]) -> None:
    quality, cost = table
    ladder = willingness.climb(ROUTE, [decided(*table, setting) for setting in dials.TABLE["utility"].ends])
    assert (np.diff(ladder.at) >= 0).all()
    assert (quality[ladder.call, ladder.after] > quality[ladder.call, ladder.before]).all()
    assert (cost[ladder.call, ladder.after] >= cost[ladder.call, ladder.before]).all()
    assert (ladder.after != ladder.start[ladder.call]).all(), "who has left its cheapest never comes back"


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        (pool.UTILITY, {"willingness_to_pay_usd": 3}),
        (pool.UTILITY, {"max_cost_usd": 0.0001}),
        (pool.UTILITY + '\nconstraints: {minQuality: "0.2", maxRequestUSD: "0.0008", whenUnsatisfied: BestEffort}', {}),
        (pool.CHEAPEST, {"max_cost_usd": 0.0001}),
        (pool.CHEAPEST + '\nconstraints: {minQuality: "0.3", whenUnsatisfied: BestEffort}', {}),
    ],
)
def test_decide_chooses_what_the_ladder_says_at_every_step(
    tmp_path: Path, predictor_folder: Path, policy: str, more: dict[str, float]
) -> None:
    file = pool.log(tmp_path, [*pool.texts(25), {"id": "own", "text": "Hi", **more}])
    prepared = inputs.prepare(Inputs(file, pool.config(tmp_path, policy), predictor_folder))
    route = prepared.plan.routes[0]
    dial = dials.TABLE[route.strategy["type"]]
    ends, _, _ = calibrate.decide_ends(prepared, route, dial)
    ladder = dial.climb(route, ends)
    assert len(ladder.at) > 5

    def chosen(setting: int) -> Ints:
        return calibrate.decide_at(prepared, calibrate.pool_of(ends[0], ladder, None), {route.id}, dial, setting)

    for at in ladder.at[::4].tolist():
        for setting in (at - 1, at):
            assert chosen(setting).tolist() == ladder.chosen(setting).tolist()


def test_a_floor_that_would_refuse_a_call_is_beyond_the_ladder(tmp_path: Path, predictor_folder: Path) -> None:
    config = pool.config(tmp_path, pool.CHEAPEST)
    prepared = inputs.prepare(Inputs(pool.log(tmp_path, pool.texts(9)), config, predictor_folder))
    route, dial = prepared.plan.routes[0], dials.TABLE["cheapest"]
    ends, _, _ = calibrate.decide_ends(prepared, route, dial)
    ladder = dial.climb(route, ends)
    found = calibrate.pool_of(ends[0], ladder, None)
    assert (calibrate.decide_at(prepared, found, {route.id}, dial, ladder.top) >= 0).all()
    assert (calibrate.decide_at(prepared, found, {route.id}, dial, ladder.top + 1) == -1).sum() == 1


def test_a_floor_is_not_found_where_other_limits_are_relaxed_with_it(tmp_path: Path, predictor_folder: Path) -> None:
    both = pool.CHEAPEST + '\nconstraints: {maxRequestUSD: "0.001", whenUnsatisfied: BestEffort}'
    given_inputs = Inputs(pool.log(tmp_path, pool.texts(3)), pool.config(tmp_path, both), predictor_folder)
    prepared = inputs.prepare(given_inputs)
    route: Route = prepared.plan.routes[0]
    assert route.constraints == Constraints(max_request_nanousd=1_000_000, when_unsatisfied="best_effort")
    ends, _, _ = calibrate.decide_ends(prepared, route, dials.TABLE["cheapest"])
    with pytest.raises(UsageError, match="relaxes a cap or a deadline"):
        dials.TABLE["cheapest"].climb(route, ends)


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**9))
def test_the_shortest_setting_lies_between_and_is_written_as_a_policy_has_it(low: int, more: int) -> None:
    from decimal import Decimal

    found = shortest(low, min(low + more, 10**15 - 1))
    assert low <= found <= low + more
    assert int(Decimal(decimal(found)) * BILLIONTHS) == found


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [(0, 5, "0"), (12_340_000, 12_380_000, "0.01236"), (12_345_678, 12_345_678, "0.012345678"), (10**9, 3 * 10**9, "2")],
)
def test_settings_are_short(low: int, high: int, written: str) -> None:
    assert decimal(shortest(low, high)) == written
