"""LiteLLM's configuration becomes resources that `plan check` takes; what is not carried over is named, and no key is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.artifacts import predictor, schemas
from tradewind.cli.app import run
from tradewind.migration import litellm
from tradewind.migration.litellm import Migration
from tradewind.migration.litellm_tables import FOREIGN, PROVIDERS, REASONS, STRATEGIES
from tradewind.resources import assemble, documents, folder

PROFILES = frozenset(predictor.read(None).manifest["profiles"])
PRICED = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": "1e-05"}
HELD = {"max_input_tokens": 128000, "max_output_tokens": 16384}
KNOWS = {"supports_function_calling": True, "supports_response_schema": False}
SECRET_TEXT = "sk-never-to-be-seen"


def entry(name: str, model: str, info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {"model": model, **params},
        "model_info": {**PRICED, **HELD, **KNOWS} if info is None else info,
    }


def translated(config: dict[str, Any], prices: dict[str, Any] | None = None) -> Migration:
    (document,), _ = documents.read(yaml.safe_dump(config).encode(), "config.yaml")
    return litellm.translate(document, PROFILES, prices or {})


def policy(made: Migration, name: str) -> dict[str, Any]:
    (found,) = (each["spec"] for each in made.resources if (each["kind"], each["metadata"]["name"]) == ("RoutingPolicy", name))
    return dict(found)


def models(made: Migration) -> list[dict[str, Any]]:
    return [model for each in made.resources if each["kind"] == "ModelPool" for model in each["spec"]["models"]]


def named(made: Migration) -> dict[str, str]:
    return {problem.path: problem.message for problem in made.problems}


def refused(made: Migration) -> list[str]:
    """What `plan check` says of the resources."""
    (parsed, problems) = documents.read(yaml.safe_dump_all(made.resources).encode(), "made.yaml")
    assert not problems
    assembled = assemble.assemble(folder.parse(parsed), predictor.Predictors(predictor.read(None)))
    return [str(problem) for problem in assembled.problems]


def test_a_deployment_becomes_a_model_and_its_name_an_alias() -> None:
    made = translated({"model_list": [entry("gpt-4o", "openai/gpt-4o", api_key="os.environ/MY_KEY")]})
    assert made.problems == []
    assert models(made) == [
        {
            "name": "openai/gpt-4o",
            "upstream": {
                "url": "https://api.openai.com/v1",
                "dialect": "OpenAI",
                "model": "gpt-4o",
                "credentials": {"secretKeyRef": {"name": "litellm-keys", "key": "MY_KEY"}},
            },
            "price": {"inputPerMillion": "2.5", "outputPerMillion": "10"},
            "limits": {"contextTokens": 128000, "outputTokens": 16384},
            "capabilities": ["Tools"],
            "quality": {"profile": "gpt-4o"},
            "labels": {"litellm/gpt-4o": "true"},
        }
    ]
    assert policy(made, "gpt-4o")["match"] == {"models": ["gpt-4o"]}
    assert policy(made, "gpt-4o")["strategy"] == {"type": "Pinned", "pinned": {"model": "openai/gpt-4o"}}
    assert policy(made, "auto")["strategy"]["type"] == "Utility"
    assert made.secret_keys == ["MY_KEY"]
    assert refused(made) == []


def test_deployments_of_one_name_are_drawn_by_weight_and_fallbacks_stand_in() -> None:
    config = {
        "model_list": [
            entry("a", "openai/gpt-4o", weight=2),
            entry("a", "openai/gpt-4o", weight=1),
            entry("b", "groq/llama-3.1-8b-instant"),
        ],
        "router_settings": {
            "fallbacks": [{"a": ["b"]}],
            "model_group_alias": {"old": "a"},
            "num_retries": 3,
            "timeout": 30,
            "stream_timeout": 0.5,
        },
    }
    made = translated(config)
    weights = [{"model": "openai/gpt-4o", "weight": 2000}, {"model": "openai/gpt-4o-2", "weight": 1000}]
    found = policy(made, "a")
    assert found["strategy"] == {"type": "Weighted", "weighted": {"weights": weights}}
    assert found["match"]["models"] == ["a", "old"]
    assert found["timeouts"] == {"request": "30s", "firstToken": "500ms"}
    assert found["retry"] == {"attempts": 3}
    assert [model["name"] for model in models(made) if "litellm/a" in model["labels"]] == [
        "openai/gpt-4o",
        "openai/gpt-4o-2",
        "groq/llama-3.1-8b-instant",
    ]
    assert refused(made) == []


def test_the_price_list_tells_what_the_configuration_does_not() -> None:
    row = {**PRICED, **HELD, **KNOWS, "cache_read_input_token_cost": 1.25e-06}
    made = translated({"model_list": [entry("a", "openai/gpt-4o", {})]}, {"gpt-4o": row})
    assert made.problems == []
    assert models(made)[0]["price"]["cachedInputPerMillion"] == "1.25"
    without = translated({"model_list": [entry("a", "openai/gpt-4o", {})]})
    assert without.resources == []
    assert "has no price" in named(without)["model_list[0]"]


def test_what_is_not_told_is_assumed_and_said() -> None:
    made = translated({"model_list": [entry("a", "hosted_vllm/mine", dict(PRICED), api_base="http://vllm:8000/v1")]})
    assert {problem.code for problem in made.problems} == {"assumed"}
    assert models(made)[0]["limits"] == {"contextTokens": 8192, "outputTokens": 4096}
    assert models(made)[0]["quality"] == {"prior": "0.5"}
    assert models(made)[0]["capabilities"] == ["Tools", "JSON"]
    assert "credentials" not in models(made)[0]["upstream"]


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_each_provider_has_an_address(provider: str) -> None:
    base = {} if PROVIDERS[provider].url else {"api_base": "http://host:1"}
    made = translated({"model_list": [entry("a", f"{provider}/some-model", **base)]})
    assert refused(made) == []
    assert models(made)[0]["upstream"]["url"] == (PROVIDERS[provider].url or "http://host:1" + PROVIDERS[provider].suffix)


@pytest.mark.parametrize("provider", sorted(FOREIGN))
def test_what_cannot_be_called_is_left_out_with_the_reason(provider: str) -> None:
    made = translated({"model_list": [entry("a", f"{provider}/some-model"), entry("b", "openai/gpt-4o")]})
    assert [model["name"] for model in models(made)] == ["openai/gpt-4o"]
    assert FOREIGN[provider] in named(made)["model_list[0].litellm_params.model"]


@pytest.mark.parametrize("key", sorted(REASONS))
def test_each_reason_is_given_where_its_key_stands(key: str) -> None:
    made = translated({"model_list": [entry("a", "openai/gpt-4o")], "general_settings": {key: 1}})
    assert named(made)[f"general_settings.{key}"] == REASONS[key]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_each_strategy_is_carried_or_named(strategy: str) -> None:
    config = {
        "model_list": [entry("a", "openai/gpt-4o"), entry("a", "openai/gpt-4o-mini")],
        "router_settings": {"routing_strategy": strategy},
    }
    made = translated(config)
    assert bool(made.problems) == bool(STRATEGIES[strategy])
    kind = "Cheapest" if strategy == "cost-based-routing" else "Weighted"
    assert policy(made, "a")["strategy"]["type"] == kind


def test_a_key_nobody_knows_is_named_with_its_line() -> None:
    made = translated({"model_list": [entry("a", "openai/gpt-4o", brand_new={"x": 1})], "router_settings": {"odd": [1, 2]}})
    assert "model_list[0].litellm_params.brand_new.x" in named(made)
    assert {"router_settings.odd[0]", "router_settings.odd[1]"} <= named(made).keys()
    assert all(problem.line for problem in made.problems)


KEYS = st.sampled_from([*REASONS, "routing_strategy", "fallbacks", "num_retries", "timeout", "model_group_alias", "mystery"])
VALUES = st.one_of(st.booleans(), st.integers(-5, 2**40), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2))
MODELS = st.one_of(
    st.sampled_from(["openai/gpt-4o", "groq/x", "azure/y", "bedrock/z", "gpt-4o", "openai/*", "who/knows", "claude-3-haiku"]),
    st.text(max_size=20),
)
PARAMS = st.dictionaries(st.sampled_from(["rpm", "weight", "api_base", "timeout", "mystery", "custom_llm_provider"]), VALUES)
ENTRIES = st.builds(
    lambda name, model, params, info: {
        "model_name": name,
        "litellm_params": {**params, "model": model, "api_key": SECRET_TEXT},
        "model_info": info,
    },
    st.one_of(st.sampled_from(["a", "b", "auto", "A b"]), st.text(max_size=8)),
    MODELS,
    PARAMS,
    st.dictionaries(st.sampled_from([*PRICED, *HELD, *KNOWS, "mode", "id"]), st.one_of(VALUES, st.floats(0, 1e-4))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, max_size=5), st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_whatever_it_says_the_result_is_valid_and_nothing_is_lost_in_silence(
    entries: list[Any], router: dict[str, Any], general: dict[str, Any]
) -> None:
    config = {"model_list": entries, "router_settings": router, "general_settings": general}
    made = translated(config)
    if made.resources:
        assert refused(made) == []
    assert SECRET_TEXT not in yaml.safe_dump_all(made.resources) + str(made.problems)
    # Each key that nothing stands for is named.
    for key, value in general.items():
        if value not in ([], ""):
            assert any(path.startswith(f"general_settings.{key}") for path in named(made)), key


Tradewind = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tradewind(capfdbinary: pytest.CaptureFixture[bytes]) -> Tradewind:
    """Runs a command in this process; gives exit status, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return call


def test_the_command_writes_resources_that_check_takes(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"model_list": [entry("a", "openai/gpt-4o", rpm=7, api_key=SECRET_TEXT)]}))
    status, out, err = tradewind("import", "litellm", config)
    assert status == 1
    assert SECRET_TEXT not in out + err
    assert out.startswith("# assumed: ") or out.startswith("# not_carried: ")
    assert "model_list[0].litellm_params.rpm" in err
    assert "kubectl -n default create secret generic litellm-keys" in err
    made = tmp_path / "made"
    made.mkdir()
    (made / "all.yaml").write_text(out)
    assert tradewind("plan", "check", made)[0] == 0

    status, out, _ = tradewind("import", "litellm", config, "--json")
    assert status == 1
    jsonschema.validate(json.loads(out), schemas.read("import"))


def test_what_is_no_configuration_is_refused(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("a: 1\n")
    assert tradewind("import", "litellm", config)[0] == 2
    config.write_text("a: [\n")
    assert tradewind("import", "litellm", config)[0] == 2
    status, _, err = tradewind("import", "litellm", config, "--namespace", "No_Such")
    assert (status, "--namespace" in err) == (2, True)
