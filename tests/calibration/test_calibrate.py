"""`tradewind calibrate`: what it finds reaches the goal, under `decide` and under the policy that people write."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pool
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands import Tradewind
from tradewind.artifacts import schemas
from tradewind.calibration import calibrate
from tradewind.calibration.calibrate import Wish
from tradewind.calibration.goals import Goal, QualityFloor, Saving, Share
from tradewind.calibration.inputs import Inputs

N = 30


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return pool.log(tmp_path, pool.texts(N))


def check(tradewind: Tradewind, log: Path, config: Path, artifact: Path, *goal: object, status: int = 0) -> dict[str, Any]:
    arguments = ("--log", log, "--config", config, "--predictor", artifact, *goal)
    found, out, err = tradewind("calibrate", *arguments, "--json")
    assert found == status, err
    document: dict[str, Any] = json.loads(out)
    jsonschema.validate(document, schemas.read("calibrate"))
    return document


def decided(tradewind: Tradewind, log: Path, config: Path, artifact: Path) -> list[dict[str, Any]]:
    out = tradewind("decide", "--input", log, "--config", config, "--predictor", artifact, "--json")[1]
    return [json.loads(line) for line in out.splitlines()]


def cheapest(decision: dict[str, Any]) -> str:
    admitted = [candidate for candidate in decision["candidates"] if candidate["admitted"]]
    return str(min(admitted, key=lambda candidate: (candidate["cost_nanousd"], candidate["model"]))["model"])


@pytest.mark.parametrize("policy", [pool.UTILITY, pool.CHEAPEST + "\nconstraints: {whenUnsatisfied: BestEffort}"])
@pytest.mark.parametrize("goal", ["--share 30%", "--share 0.5", "--saving 50%", "--quality-floor 0.6"])
def test_the_written_policy_reaches_the_goal(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path, policy: str, goal: str
) -> None:
    flag, target = goal.split()
    found = check(tradewind, log, pool.config(tmp_path, policy), predictor_folder, flag, target)
    assert found["met"]
    written = found["yaml"] if policy == pool.UTILITY else found["yaml"].replace("}", ", whenUnsatisfied: BestEffort}")
    kept = "" if policy == pool.UTILITY else pool.CHEAPEST + "\n"
    config = pool.config(tmp_path, kept + written)
    decisions = decided(tradewind, log, config, predictor_folder)
    assert Counter(decision["chosen"] for decision in decisions) == {row["model"]: row["calls"] for row in found["models"]}
    share = sum(decision["chosen"] != cheapest(decision) for decision in decisions) / N
    assert found["achieved"]["share"]["value"] == pytest.approx(share)
    saved = json.loads(
        tradewind(
            *("savings", "--log", log, "--baseline", found["baseline"], "--config", config),
            *("--predictor", predictor_folder, "--json"),
        )[1]
    )
    assert saved["saved"] == pytest.approx(found["achieved"]["saved"])
    assert saved["routed_quality"] == pytest.approx(found["achieved"]["quality"])
    wanted = float(target.rstrip("%")) / (100 if target.endswith("%") else 1)
    if flag == "--share":
        assert abs(share - wanted) <= 1 / N
    elif flag == "--saving":
        assert saved["saved"]["value"] >= wanted
    else:
        assert saved["routed_quality"]["value"] >= wanted
    assert found["interval"]["low"] <= float(found["value"]) <= found["interval"]["high"]
    assert found["interval"]["low"] < found["interval"]["high"]


@pytest.mark.parametrize(
    ("goal", "worse"),
    [(Saving(0.5), lambda low, high: high["saved"] < 0.5), (QualityFloor(0.6), lambda low, high: low["quality"] < 0.6)],
)
def test_one_step_further_would_miss_the_goal_or_cost_more(
    predictor_folder: Path, tmp_path: Path, log: Path, goal: Goal, worse: Any
) -> None:
    inputs = Inputs(log, pool.config(tmp_path), predictor_folder)
    found = calibrate.run(inputs, Wish(goal))
    prepared = calibrate.inputs.prepare(inputs)
    route = prepared.plan.routes[0]
    dial = calibrate.dials.TABLE["utility"]
    ends, _, _ = calibrate.decide_ends(prepared, route, dial)
    ladder = dial.climb(route, ends)
    setting = round(float(found["value"]) * 1e9)
    below = int(ladder.at[ladder.at <= setting].max()) - 1
    above = int(ladder.at[ladder.at > setting].min())
    measured = calibrate.pool_of(ends[0], ladder, None)
    low, high = (
        {
            name: part["value"]
            for name, part in calibrate.figures(measured, ladder.chosen(at), goal, 0).items()
            if isinstance(part, dict)
        }
        for at in (below, above)
    )
    assert worse(low, high)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 60), min_size=2, max_size=12, unique=True), target=st.floats(0, 1), of=st.booleans())
def test_any_share_between_the_least_and_the_largest_is_met_within_one_call(
    predictor_folder: Path,
    tmp_path: Path,
    lengths: list[int],
    target: float,
    of: bool,
) -> None:
    lines = [{"id": str(length), "text": "Why? " * length} for length in lengths]
    inputs = Inputs(pool.log(tmp_path, lines), pool.config(tmp_path, models=("tiny", "strong")), predictor_folder)
    found = calibrate.run(inputs, Wish(Share(target), of="strong" if of else None))
    reachable = found["achievable"]["low"] <= target <= found["achievable"]["high"]
    near = abs(found["achieved"]["share"]["value"] - target) <= 1 / len(lengths) + 1e-9
    assert found["met"] == near
    assert near or not reachable
    if of:
        assert found["goal"]["of"] == "default/chat/strong"


def test_what_cannot_be_reached_is_status_1_with_what_can(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path
) -> None:
    config = pool.config(tmp_path)
    found = check(tradewind, log, config, predictor_folder, "--quality-floor", "0.99", status=1)
    assert (found["met"], found["yaml"], found["met_in_samples"]) == (False, None, 0)
    assert found["achieved"]["quality"]["value"] == pytest.approx(found["achievable"]["high"])
    status, out, _ = tradewind(
        "calibrate", "--log", log, "--config", config, "--predictor", predictor_folder, "--quality-floor", "0.99"
    )
    assert status == 1
    assert f"A mean forecast quality of 0.99: this cannot be reached. From {found['achievable']['low']:.6g} to" in out


def test_a_saving_is_measured_on_the_calls_that_the_baseline_could_answer(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path
) -> None:
    found = check(tradewind, log, pool.config(tmp_path), predictor_folder, "--saving", "20%", "--baseline", "small")
    config = pool.config(tmp_path, found["yaml"])
    out = tradewind(
        *("savings", "--log", log, "--baseline", "small", "--config", config, "--predictor", predictor_folder, "--json")
    )[1]
    saved = json.loads(out)
    assert 0 < saved["n"] < found["n"] == N
    assert found["achieved"]["saved"]["value"] == pytest.approx(saved["saved"]["value"])
    assert saved["saved"]["value"] >= 0.2


def test_calls_that_move_together_are_named_as_the_reason(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    log, config = pool.log(tmp_path, [{"id": "a", "text": "Hi"}] * 10), pool.config(tmp_path)
    arguments = ("--log", log, "--config", config, "--predictor", predictor_folder, "--share", "50%")
    status, out, _ = tradewind("calibrate", *arguments)
    assert status == 1
    assert "calls move together" in out


def test_people_get_the_line_for_their_policy(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path) -> None:
    config = pool.config(tmp_path)
    found = check(tradewind, log, config, predictor_folder, "--share", "30%")
    status, out, _ = tradewind("calibrate", "--log", log, "--config", config, "--predictor", predictor_folder, "--share", "30%")
    assert status == 0
    assert f"For the spec of policy default/default, beside what else it has:\n  {found['yaml']}\n" in out
    assert f'willingnessToPayUSD: "{found["value"]}"' in found["yaml"]
    assert "0.3 of the calls to another model than their cheapest: this is reached at willingness_to_pay_usd" in out


def test_a_call_with_a_willingness_of_its_own_stays_where_it_is(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path
) -> None:
    lines = [*pool.texts(10), *({**call, "willingness_to_pay_usd": 9} for call in pool.texts(10))]
    found = check(tradewind, pool.log(tmp_path, lines), pool.config(tmp_path), predictor_folder, "--share", "0.0%")
    assert (found["movable"], found["n"]) == (10, 20)


def test_a_log_of_several_policies_needs_to_be_told_which(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    second = """---
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: fast}
spec:
  poolRefs: [{name: chat}]
  match: {models: [fast]}
  strategy: {type: Best}
"""
    bodies = [{"id": str(n), "body": {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}} for n in range(3)]
    log, config = pool.log(tmp_path, [*pool.texts(10), *bodies]), pool.config(tmp_path, more=second)
    arguments = ("--log", log, "--config", config, "--predictor", predictor_folder, "--share", "30%")
    status, _, err = tradewind("calibrate", *arguments)
    assert (status, "choose one with --policy: `default/default`, `default/fast`" in " ".join(err.split())) == (2, True)
    found = check(tradewind, log, config, predictor_folder, "--share", "30%", "--policy", "default/default")
    assert (found["n"], found["other_policies"]) == (10, {"default/fast": 3})
    status, _, err = tradewind("calibrate", *arguments, "--policy", "default/fast")
    assert (status, "no setting to calibrate; expected one of `utility`" in " ".join(err.split())) == (2, True)
    status, _, err = tradewind("calibrate", *arguments, "--policy", "who")
    assert (status, "unknown policy `who`; expected one of `default/default`" in " ".join(err.split())) == (2, True)


def test_a_floor_that_rejects_goes_no_further_than_every_call_can(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path
) -> None:
    config = pool.config(tmp_path, pool.CHEAPEST + '\nconstraints: {minQuality: "0.9"}')
    found = check(tradewind, log, config, predictor_folder, "--quality-floor", "0.99", status=1)
    assert found["n"] == N
    assert found["achieved"]["refused"] == 0
    assert found["now"]["refused"] > 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "exactly one of --share, --saving, --quality-floor"),
        (("--share", "30%", "--saving", "50%"), "2 are given"),
        (("--share", "30"), "--share is `30`; expected a percentage from `0%` to `100%` or a fraction such as `0.3`"),
        (("--share", "1"), "expected a percentage"),
        (("--saving", "130%"), "expected a percentage"),
        (("--saving", "-0.3"), "expected a percentage"),
        (("--saving", "0,3"), "expected a percentage"),
        (("--quality-floor", "٣%"), "expected a percentage"),
        (("--quality-floor", "0.8", "--of", "strong"), "--of names the model of a --share"),
        (("--share", "30%", "--of", "who"), "unknown model `who`"),
        (("--saving", "30%", "--baseline", "who"), "unknown model `who`"),
    ],
)
def test_wrong_usage_says_what_is_accepted(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path, log: Path, arguments: tuple[str, ...], part: str
) -> None:
    given = ("--log", log, "--config", pool.config(tmp_path), "--predictor", predictor_folder, *arguments)
    status, out, err = tradewind("calibrate", *given)
    assert (status, out) == (2, "")
    assert part in " ".join(err.split())
