"""Routers of the user's own, by the name of their class. Those at the top are what a user would write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import synthetic

from tradewind.cli import app
from tradewind.errors import UsageError
from tradewind.training import datasets, evaluate, prices, splits

HERE = __name__


class Oracle:
    """Was told the answers beforehand."""

    answers: ClassVar[dict[str, Any]] = {}

    def forecast(self, texts: list[str], models: list[str]) -> Any:
        return np.stack([self.answers[text][0] for text in texts]), np.stack([self.answers[text][1] for text in texts])


class Cheapest:
    """Learns which model is the cheapest, and always picks it."""

    def fit(self, texts: list[str], models: list[str], score: Any, cost_usd: Any) -> None:
        self.column = int(np.argmin(cost_usd.mean(axis=0)))

    def choose(self, texts: list[str], models: list[str], willingness_to_pay_usd: list[float]) -> Any:
        return [[self.column] * len(willingness_to_pay_usd) for _ in texts]


class Words:
    """The large model for words, however little is paid; the small one for sums, however much."""

    def choose(self, texts: list[str], models: list[str], willingness_to_pay_usd: list[float]) -> Any:
        picked = [models.index("large" if text.startswith("Explain") else "small") for text in texts]
        return np.repeat(np.array(picked)[:, None], len(willingness_to_pay_usd), axis=1)


class Quality:
    """Forecasts no costs, and always the same."""

    def forecast(self, texts: list[str], models: list[str]) -> Any:
        return [[{"small": 0.5, "large": 0.9, "other": 0.1}[model] for model in models] for _ in texts]


class Demanding:
    def __init__(self, path: str) -> None:
        self.path = path

    forecast = Quality.forecast


class Misfit(Quality):
    def fit(self, texts: list[str]) -> None: ...


class Given:
    """Gives what a test says."""

    answer: ClassVar[Any] = None

    def forecast(self, texts: list[str], models: list[str]) -> Any:
        return self.answer(len(texts), len(models))


class GivenChoice:
    answer: ClassVar[Any] = None

    def choose(self, texts: list[str], models: list[str], willingness_to_pay_usd: list[float]) -> Any:
        return self.answer(len(texts), len(willingness_to_pay_usd))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.sets(tmp_path_factory.mktemp("data"), ours=300, pair=200)


def check(data: Path, router: str, name: str = "ours", split: str = "question:1") -> dict[str, Any]:
    """The figures of one set."""
    asked = evaluate.Options(data, (name,), router=(f"{HERE}:{router}",), split=split)
    scores: dict[str, Any] = evaluate.run(asked)["sets"][name]
    return scores


def test_a_router_that_knows_the_answers_beats_mixing_at_random(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = datasets.load(data, "ours", prices.load(data))
    rows = zip(table.texts, table.score, table.cost_usd, strict=True)
    monkeypatch.setattr(Oracle, "answers", {text: (score, cost) for text, score, cost in rows})
    found = check(data, "Oracle")
    assert found["aiq_minus_zero"]["low"] > 0
    assert found["score"]["value"] == pytest.approx(found["oracle"]["value"])
    assert found["share_of_questions_trained_on"] is None
    assert check(data, "Oracle", split="none")["n"] == 300


def test_a_router_that_always_picks_the_cheapest_is_where_zero_begins(data: Path) -> None:
    found = check(data, "Cheapest")
    pool = datasets.pool(datasets.load(data, "ours", prices.load(data)))
    inside = splits.parse("question:1", [pool]).tested(pool)
    learned = pool.take(~inside)
    cheapest = int(np.argmin(learned.cost_usd.mean(axis=0)))
    [[routed_cost, routed_quality]] = found["frontier"]["router"]
    assert routed_cost == pytest.approx(pool.take(inside).cost_usd[:, cheapest].mean(), rel=1e-5)
    assert routed_quality == pytest.approx(pool.take(inside).score[:, cheapest].mean(), abs=1e-5)
    assert found["aiq"]["value"] < found["zero"]["value"]


def test_choices_also_rank_the_questions_of_a_pair(data: Path) -> None:
    found = check(data, "Words", "pair")
    # All of the gain at half of the calls is an area of 3/4; mixing at random has 1/2.
    assert found["apgr"]["value"] == pytest.approx(0.75, abs=0.05)
    assert found["apgr"]["low"] > 0.5


def test_forecasts_without_costs_are_bought_at_mean_cost(data: Path) -> None:
    found = check(data, "Quality")
    singles = found["frontier"]["singles"]
    assert found["frontier"]["router"] == [singles["small"], singles["large"]]


@pytest.mark.parametrize(
    ("router", "message"),
    [
        ("Quality", "`Quality` names no class; expected `module:Class`"),
        ("nowhere.at_all:Router", "no module `nowhere.at_all`, neither installed nor in the current folder"),
        (f"{HERE}:Nobody", f"the module `{HERE}` has no class `Nobody`; it has .*`Cheapest`.*"),
        (f"{HERE}:check", f"the module `{HERE}` has no class `check`"),
        (f"{HERE}:Path", r"neither method: `forecast\(texts, models\)` or `choose\(texts, models, willingness_to_pay_usd\)`"),
        (f"{HERE}:Demanding", "needs arguments to be constructed"),
        (f"{HERE}:Misfit", r"`test_user_router:Misfit.fit` .* expected `fit\(texts, models, score, cost_usd\)`"),
    ],
)
def test_a_class_that_cannot_route_is_refused(data: Path, router: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate.run(evaluate.Options(data, ("ours",), router=(router,), split="question:1"))


def test_a_module_that_needs_another_one_says_which(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_router.py").write_text("import missing_library\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="the module `needy_router` needs `missing_library`, which is not installed"):
        evaluate.run(evaluate.Options(data, ("ours",), router=("needy_router:Router",), split="question:1"))


def corner(value: float) -> Any:
    """A table of halves with `value` at [0, 1]."""

    def answer(rows: int, columns: int) -> Any:
        table = np.full((rows, columns), 0.5)
        table[0, 1] = value
        return table

    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda n, m: np.zeros((m, n)), r"quality of shape \(3, \d+\); expected \(\d+, 3\)"),
        (lambda n, m: np.zeros(n), r"quality of shape \(\d+,\)"),
        (lambda n, m: None, "quality of shape"),
        (lambda n, m: [["high"] * m] * n, "quality that are not a table of numbers"),
        (corner(float("nan")), r"nan as quality\[0, 1\]; expected from 0 to 1"),
        (corner(1.5), r"1.5 as quality\[0, 1\]; expected from 0 to 1"),
        (lambda n, m: (np.zeros((n, m)), corner(-0.5)(n, m)), r"-0.5 as cost_usd\[0, 1\]; expected 0 or more"),
        (lambda n, m: (np.zeros((n, m)), np.zeros((n, 1))), r"cost_usd of shape \(\d+, 1\)"),
    ],
)
def test_a_forecast_that_is_none_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, message: str) -> None:
    monkeypatch.setattr(Given, "answer", staticmethod(answer))
    with pytest.raises(UsageError, match=f"`{HERE}:Given.forecast` gave {message}"):
        check(data, "Given")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda n, g: np.zeros((n, 3), int), r"choices of shape \(\d+, 3\); expected \(\d+, 46\)"),
        (lambda n, g: np.full((n, g), 3), r"3 as choices\[0, 0\]; expected from 0 to 2"),
        (lambda n, g: np.full((n, g), -1), r"-1 as choices\[0, 0\]; expected from 0 to 2"),
        (corner(0.5), r"0.5 as choices\[0, 0\]; expected a whole number from 0 to 2"),
    ],
)
def test_a_choice_that_is_none_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, message: str) -> None:
    monkeypatch.setattr(GivenChoice, "answer", staticmethod(answer))
    with pytest.raises(UsageError, match=f"`{HERE}:GivenChoice.choose` gave {message}"):
        check(data, "GivenChoice")


def test_what_a_router_of_the_users_own_cannot_do_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"`{HERE}:Cheapest` has `fit`, which needs a split"):
        check(data, "Cheapest", split="none")
    asked = evaluate.Options(data, ("ours",), router=(f"{HERE}:Cheapest",), split="question:1")
    with pytest.raises(UsageError, match="--decisions-out is for routers that run `decide` on a plan"):
        evaluate.run(evaluate.Options(data, router=asked.router, split="question:1", decisions_out=tmp_path / "d"))
    assert not (tmp_path / "d").exists()
    with pytest.raises(UsageError, match="--plans-out is for routers that run `decide` on a plan"):
        evaluate.run(evaluate.Options(data, router=asked.router, split="question:1", plans_out=tmp_path))


PROGRAM = """
class Last:
    def choose(self, texts, models, willingness):
        return [[len(models) - 1] * len(willingness)] * len(texts)
"""


def test_the_command_finds_a_class_in_the_current_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "users_own.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = [
        "evaluate",
        "--data",
        str(data),
        "--router",
        "users_own:Last",
        "--split",
        "question:1",
        "--report",
        "out",
        "--json",
    ]
    assert app.run(command) == 0
    document = json.loads(capfdbinary.readouterr().out)
    assert document["router"] == "users_own:Last"
    assert set(document["sets"]) == {"ours", "pair"}
    assert "users_own:Last" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "ours.png").is_file()
    assert app.run(["evaluate", "--data", str(data), "--router", "users_own:First"]) == 2
    assert "has no class `First`; it has `Last`" in " ".join(capfdbinary.readouterr().err.decode().split())
