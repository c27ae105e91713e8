"""Every rule of the resources by example: a file a rule, which names the problem, its place and its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tradewind import core
from tradewind.artifacts import plan, predictor
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.errors import Problem, UsageError
from tradewind.resources import documents, folder, formats, rules
from tradewind.resources.assemble import Assembled, assemble
from tradewind.resources.model_pool import ModelPool
from tradewind.resources.routing_policy import RoutingPolicy
from tradewind.resources.shape import Shape

HERE = Path(__file__).parent
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))


@pytest.fixture(scope="module")
def artifact(predictor_folder: Path) -> Artifact:
    return predictor.read(predictor_folder)


def check(place: Path, artifact: Artifact) -> Assembled:
    return assemble(folder.read(place), Predictors(artifact))


def expected(file: Path) -> list[tuple[str, str, str]]:
    lines = [line for line in file.read_text().splitlines() if line.startswith("# expect: ")]
    parts = [line.removeprefix("# expect: ").split(" | ") for line in lines]
    return sorted((code.strip(), path.strip(), message.strip()) for code, path, message in parts)


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_file_has_no_problem(file: Path, artifact: Artifact) -> None:
    assembled = check(file, artifact)
    assert assembled.problems == ()
    assert core.Planner(assembled.plan.to_json(), [artifact.graph]).warnings == []


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_an_invalid_file_is_refused_with_place_and_reason(file: Path, artifact: Artifact) -> None:
    found = sorted(check(file, artifact).problems, key=lambda problem: (problem.code, problem.path))
    wanted = expected(file)
    assert [(problem.code, problem.path) for problem in found] == [(code, path) for code, path, _ in wanted]
    for problem, (_, _, message) in zip(found, wanted, strict=True):
        assert message in problem.message
    marked = [number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# here")]
    if marked:
        assert {problem.line for problem in found} == set(marked)
    assert all(problem.file == str(file) for problem in found)


@pytest.mark.parametrize("file", [*INVALID, *VALID], ids=lambda file: file.stem)
def test_every_file_says_what_an_api_server_does_with_it(file: Path) -> None:
    marks = [line for line in file.read_text().splitlines() if line.startswith("# cluster: ")]
    codes = {code for code, _, _ in expected(file)}
    assert marks in (["# cluster: accepted"], ["# cluster: refused"])
    # What concerns one object alone is in the CRDs, by schema or rule; no rule is ours alone.
    assert marks == ["# cluster: refused"] or not codes & {rule.id for rule in rules.TABLE} or file.stem == "same_pool_twice"


def test_every_rule_has_a_file_that_breaks_it() -> None:
    broken = {code for file in INVALID for code, _, _ in expected(file)}
    assert {rule.id for rule in rules.TABLE} <= broken


def test_every_rule_says_the_same_in_three_tongues() -> None:
    schemas = [shape.model_json_schema()["$defs"] for shape in (ModelPool, RoutingPolicy)]
    assert len({rule.id for rule in rules.TABLE}) == len(rules.TABLE)
    for rule in rules.TABLE:
        assert rule.message[0] in "`aet"
        assert bool(rule.cel) != bool(rule.otherwise), f"{rule.id} is held by the API server in one way"
        found = [schema[rule.shape] for schema in schemas if rule.shape in schema]
        assert found, rule.id
        assert all(not rule.field or rule.field in schema["properties"] for schema in found), rule.id


@pytest.mark.parametrize("shape", [ModelPool, RoutingPolicy])
def test_every_list_map_string_and_number_has_a_limit(shape: type[ModelPool]) -> None:
    def walk(schema: dict[str, object], place: str) -> None:
        kind = schema.get("type")
        if kind == "string" and "const" not in schema and "enum" not in schema:
            assert "maxLength" in schema, place
        if kind == "array":
            assert "maxItems" in schema, place
        if kind == "object" and "properties" not in schema:
            assert "maxProperties" in schema, place
        if kind == "integer":
            assert "minimum" in schema, place
            assert "maximum" in schema, place
        for key, value in schema.items():
            if isinstance(value, dict):
                walk(value, f"{place}.{key}")
            if isinstance(value, list):
                for entry in value:
                    if isinstance(entry, dict):
                        walk(entry, place)

    walk(shape.model_json_schema(), shape.__name__)


def test_every_field_has_a_description() -> None:
    for shape in subclasses(Shape):
        for name, field in shape.model_fields.items():
            assert (field.description or "").endswith("."), f"{shape.__name__}.{name}"


def subclasses(shape: type[Shape]) -> list[type[Shape]]:
    return [found for child in shape.__subclasses__() for found in (child, *subclasses(child))]


def test_all_problems_come_at_once_and_the_plan_of_the_rest_is_refused(artifact: Artifact) -> None:
    assembled = check(HERE / "invalid" / "everything_at_once.yaml", artifact)
    assert len(assembled.problems) == 4
    assert assembled.refused


def test_a_conflict_names_the_winner_and_does_not_refuse(artifact: Artifact) -> None:
    assembled = check(HERE / "invalid" / "conflicted.yaml", artifact)
    assert not assembled.refused
    assert [problem.severity for problem in assembled.problems] == ["warning"]
    assert [route.id for route in assembled.plan.routes] == ["default/default", "default/second"]


def test_unknown_names_come_with_those_that_are_accepted(artifact: Artifact) -> None:
    def accepted(name: str) -> tuple[str, ...]:
        found: tuple[Problem, ...] = check(HERE / "invalid" / f"{name}.yaml", artifact).problems
        return found[0].accepted

    assert accepted("unknown_profile") == ("medium", "small", "strong", "tiny")
    assert accepted("unknown_capability") == ("Tools", "JSON")
    assert accepted("missing_pool") == ("default/chat",)
    assert accepted("pinned_to_a_stranger") == ("cheap", "dear")


def test_everything_that_is_written_reaches_the_plan(artifact: Artifact) -> None:
    source = check(HERE / "valid" / "everything.yaml", artifact).plan
    small, large, in_house = source.models
    assert small.id == "platform/chat/Qwen/Qwen3-8B"
    assert small.upstream.url == "http://vllm-small.platform.svc:8000/openai/v1"
    assert small.upstream.credential == "platform/keys/small"
    assert (small.upstream.model, large.upstream.model) == ("qwen", "gpt-4.1")
    assert large.upstream.url == "https://api.example.com/v1"
    price = small.price
    assert (price.input_nanousd_per_million, price.cached_input_nanousd_per_million) == (50_000_000, 1)
    assert (small.limits.concurrent_requests, small.capabilities) == (64, ("json", "tools"))
    assert (small.latency.first_token_ms, small.latency.output_tokens_per_second) == (1200, 125)
    assert source.profiles[in_house.profile].bias == pytest.approx(2.1972246)
    assert source.profiles[large.profile] == plan.Profile(
        2.2, 0.9, latent=(0.1,), calibration=plan.Calibration(1.1), length=plan.Length(5.0), answers=12
    )
    (route,) = source.routes
    assert (route.id, route.aliases, route.retry_attempts) == ("team-a/default", ("auto", "fast"), 0)
    assert (route.when, route.callers) == ("size(request.tools) == 0", plan.Callers("listed", ("team-b",)))
    assert route.constraints.max_request_nanousd == 50_000_000
    assert route.constraints.when_unsatisfied == "best_effort"
    assert (route.timeouts.request_ms, route.timeouts.first_token_ms) == (90_000, 5_000)
    assert route.strategy["weighted"] == {"weights": {"Qwen/Qwen3-8B": 3, "gpt-4.1": 1}}


def test_the_defaults_of_resources_are_those_of_the_core(artifact: Artifact) -> None:
    source = check(HERE / "valid" / "minimal.yaml", artifact).plan.document()
    required = ("id", "aliases", "predictor", "candidates", "strategy")
    bare = {**source, "routes": [{key: source["routes"][0][key] for key in required}]}
    required = ("id", "upstream", "price", "limits", "profile")
    bare["models"] = [{key: model[key] for key in required} for model in source["models"]]

    def plan_id(document: object) -> str:
        return core.Planner(json.dumps(document).encode(), [artifact.graph]).id

    assert plan_id(bare) == plan_id(source)


def test_the_enums_of_resources_are_the_tables_of_the_core() -> None:
    def values(shape: type[ModelPool] | type[RoutingPolicy], owner: str, field: str) -> set[str]:
        schema = shape.model_json_schema()["$defs"][owner]["properties"][field]
        schema = schema.get("items", schema)
        return {value.lower() for value in schema.get("enum", [schema.get("const")])}

    tables = core.tables()
    assert values(RoutingPolicy, "Strategy", "type") == {row["name"] for row in tables["strategies"]}
    assert values(ModelPool, "Model", "capabilities") == set(tables["capabilities"])
    assert values(ModelPool, "Upstream", "dialect") == set(tables["dialects"])


def test_a_folder_is_read_by_name_and_hidden_files_are_left_out(tmp_path: Path, artifact: Artifact) -> None:
    pool, policy = (HERE / "valid" / "minimal.yaml").read_text().split("---\n")
    (tmp_path / "b.yaml").write_text(pool)
    (tmp_path / "a.yml").write_text(policy)
    (tmp_path / ".hidden.yaml").write_text("kind: Nonsense")
    (tmp_path / "notes.txt").write_text("not YAML")
    assert check(tmp_path, artifact).problems == ()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \.yaml"):
        folder.read(tmp_path / "empty")


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]" for n in range(8))
    found, problems = documents.read(f"a: &a [1,1,1,1,1,1,1,1,1,1]\n{levels}\n".encode(), "bomb.yaml")
    assert found == []
    assert "after its aliases are expanded" in problems[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [("800ms", 800), ("5s", 5000), ("1m30s", 90_000), ("1h2m3s4ms", 3_723_004), ("0s", 0)],
)
def test_durations_are_exact(text: str, expected: int) -> None:
    assert formats.milliseconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("0.000000001", 1), ("0.15", 150_000_000), ("999999.999999999", 10**15 - 1)],
)
def test_money_is_exact(text: str, expected: int) -> None:
    assert formats.nanousd(text) == expected
