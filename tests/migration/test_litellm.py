"""LiteLLM's configuration becomes resources that `plan check` takes; what is not carried over is named, and no key is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import Tradewind
from tradewind.artifacts import predictor, schemas
from tradewind.migration import litellm, page
from tradewind.migration.litellm import Migration
from tradewind.migration.litellm_tables import AS_HERE, FOREIGN, PROVIDERS, REASONS, STRATEGIES
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
    assert found["timeouts"] == {"request": "90s", "firstToken": "500ms"}
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


UNSET = "a variable that the configuration does not set"


@pytest.mark.parametrize(
    ("params", "path", "part"),
    [
        ({"api_base": "os.environ/ELSEWHERE"}, "litellm_params.api_base", UNSET),
        ({"api_base": 7}, "litellm_params.api_base", UNSET),
        ({"api_base": f"http://user:{SECRET_TEXT}@host/v1"}, "litellm_params.api_base", "without credentials"),
        ({"api_base": f"http://host/v1?key={SECRET_TEXT}"}, "litellm_params.api_base", "without credentials"),
        ({"litellm_credential_name": "stranger"}, "litellm_params.litellm_credential_name", "no such credential"),
        ({"model": "os.environ/MODEL"}, "litellm_params.model", UNSET),
    ],
)
def test_a_model_whose_address_is_not_known_is_left_out_and_never_called_elsewhere(
    params: dict[str, Any], path: str, part: str
) -> None:
    made = translated({"model_list": [entry("a", "openai/gpt-4o") | {"litellm_params": {"model": "openai/gpt-4o", **params}}]})
    assert made.resources == []
    assert part in named(made)[f"model_list[0].{path}"]
    assert SECRET_TEXT not in str(made)


def test_of_a_model_that_is_left_out_no_key_is_asked_for() -> None:
    lost = entry("b", "groq/x", {}, api_key="os.environ/LOST")
    literal = entry("c", "groq/x", {}, api_key=SECRET_TEXT)
    made = translated({"model_list": [entry("a", "openai/gpt-4o"), lost, literal]})
    assert made.secret_keys == ["OPENAI_API_KEY"]
    assert [(problem.code, problem.path) for problem in made.problems] == [
        ("left_out", "model_list[1]"),
        ("left_out", "model_list[2]"),
    ]


def test_an_address_that_gateways_in_a_cluster_do_not_call_is_named() -> None:
    made = translated({"model_list": [entry("a", "hosted_vllm/gpt-4o", api_base="http://localhost:8000/v1")]})
    assert "calls no address of its own machine" in named(made)["model_list[0].litellm_params.api_base"]


@pytest.mark.parametrize(
    ("params", "accepted"),
    [
        ({"weight": "heavy"}, "a number of at least 0"),
        ({"weight": float("inf")}, "a number of at least 0"),
        ({"max_parallel_requests": 0}, "a whole number from 1"),
        ({"num_retries": -1}, "a whole number from 0"),
        ({"timeout": "soon"}, "seconds"),
        ({"custom_llm_provider": 3}, "a text"),
        ({"api_key": 3}, "a text"),
        ({"cache_read_input_token_cost": "x"}, "USD per token"),
        ({"cache_read_input_token_cost": 10**400}, "USD per token"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_what_is_accepted(params: dict[str, Any], accepted: str) -> None:
    made = translated({"model_list": [entry("a", "openai/gpt-4o", **params)]})
    (key,) = params
    assert accepted in named(made)[f"model_list[0].litellm_params.{key}"]
    assert refused(made) == []


@pytest.mark.parametrize(
    ("input_cost", "expected"),
    [
        ("0.00000015", "0.15"),
        (1.5e-07, "0.15"),
        ("1e-15", "0.000000001"),
        (0, "0"),
        # Less than a nano-dollar is no price: it would be free.
        ("1e-17", None),
        (-1e-6, None),
        (10**30, None),
        ("1e999999999", None),
    ],
)
def test_prices_are_exact_and_nothing_becomes_free(input_cost: object, expected: str | None) -> None:
    info = {**PRICED, **HELD, **KNOWS, "input_cost_per_token": input_cost}
    made = translated({"model_list": [entry("a", "openai/gpt-4o", info)]})
    assert [model["price"]["inputPerMillion"] for model in models(made)] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("settings", "timeouts"),
    [
        ({"timeout": 10}, {"request": "10s", "firstToken": "10s", "streamIdle": "10s"}),
        ({"timeout": 600}, {"request": "600s", "firstToken": "600s"}),
        ({"timeout": "1.5"}, {"request": "1s500ms", "firstToken": "1s500ms", "streamIdle": "1s500ms"}),
        # An answer that is no stream may take `firstToken` and `streamIdle` to its first byte.
        ({"timeout": 120, "stream_timeout": 10}, {"request": "120s", "firstToken": "10s", "streamIdle": "110s"}),
        ({"timeout": 10, "stream_timeout": 20}, {"request": "10s", "firstToken": "10s", "streamIdle": "10s"}),
        ({"stream_timeout": 20}, {"firstToken": "20s"}),
        ({"stream_timeout": 90}, {"request": "90s", "firstToken": "90s"}),
    ],
)
def test_the_timeouts_of_an_attempt_are_kept(settings: dict[str, Any], timeouts: dict[str, str]) -> None:
    of_all = translated({"model_list": [entry("a", "openai/gpt-4o")], "router_settings": settings})
    of_one = translated({"model_list": [entry("a", "openai/gpt-4o", **settings)]})
    for made in (of_all, of_one):
        assert made.problems == []
        assert policy(made, "a")["timeouts"] == timeouts
        assert refused(made) == []


def test_the_timeout_of_a_request_holds_all_attempts() -> None:
    entries = [entry("a", f"openai/{name}") for name in ("gpt-4o", "gpt-4o-mini", "o1", "o3")]
    made = translated({"model_list": entries, "router_settings": {"timeout": 20, "num_retries": 1}})
    assert policy(made, "a")["timeouts"]["request"] == "40s"


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        ([{"weight": 0.7}, {"weight": 0.3}], [700, 300]),
        ([{"weight": 5000}, {"weight": 1000}], [1_000_000, 200_000]),
        ([{"weight": 1}, {}], [1000, 0]),
        ([{"rpm": 60}, {"rpm": 600}], [60_000, 600_000]),
        ([{"tpm": 10, "weight": 1}, {"tpm": 90, "weight": 3}], [1000, 3000]),
        ([{"order": 2}, {"order": 1}], [0, 1000]),
    ],
)
def test_weights_are_those_by_which_litellm_shuffles(shares: list[dict[str, Any]], weights: list[int]) -> None:
    made = translated({"model_list": [entry("a", "openai/gpt-4o", **share) for share in shares]})
    assert [each["weight"] for each in policy(made, "a")["strategy"]["weighted"]["weights"]] == weights
    assert refused(made) == []


def test_the_cheapest_of_a_name_comes_before_its_stand_ins() -> None:
    cheap = {**HELD, **KNOWS, "input_cost_per_token": 1e-7, "output_cost_per_token": 1e-7}
    dearer = {**cheap, "output_cost_per_token": 2e-7}
    config = {
        "model_list": [entry("a", "openai/gpt-4o"), entry("a", "openai/o3", dearer), entry("b", "openai/o1", cheap)],
        "router_settings": {"routing_strategy": "cost-based-routing", "fallbacks": [{"a": ["b"]}]},
    }
    assert policy(translated(config), "a")["strategy"] == {"type": "Pinned", "pinned": {"model": "openai/o3"}}


def test_stand_ins_are_reached_however_many_retries_there_are() -> None:
    entries = [entry(name, "openai/gpt-4o") for name in "aabc"]
    router = {"num_retries": 0, "fallbacks": [{"a": ["b", "old"]}], "model_group_alias": {"old": "c"}}
    made = translated({"model_list": entries, "router_settings": router})
    assert policy(made, "a")["retry"] == {"attempts": 3}
    assert policy(made, "b")["retry"] == {"attempts": 0}
    assert "tried by forecast quality" in named(made)["router_settings.fallbacks[0].a"]
    assert refused(made) == []


def test_a_default_stand_in_of_very_many_stays_within_the_labels_of_a_model() -> None:
    entries = [entry(f"m{index}", "openai/gpt-4o") for index in range(40)]
    made = translated({"model_list": entries, "router_settings": {"default_fallbacks": ["m0"]}})
    assert refused(made) == []
    assert len([problem for problem in made.problems if "cannot stand in" in problem.message]) == 39 - 31


@pytest.mark.parametrize(
    ("aliases", "path", "part"),
    [
        ({"a": "a"}, "a", "is a `model_name` too"),
        ({"b": "a"}, "b", "is a `model_name` too"),
        ({"x": "nobody"}, "x", "no model that was carried over"),
        ({"x\n": "a"}, "x�", "expected a name"),
        ({"x": {"model": "a", "hidden": True}}, "x.hidden", "lists every alias"),
    ],
)
def test_an_alias_that_cannot_be_is_named(aliases: dict[str, Any], path: str, part: str) -> None:
    entries = [entry("a", "openai/gpt-4o"), entry("b", "openai/gpt-4o")]
    made = translated({"model_list": entries, "router_settings": {"model_group_alias": aliases}})
    assert part in named(made)[f"router_settings.model_group_alias.{path}"]
    assert refused(made) == []


def test_what_a_credential_stands_for_is_found() -> None:
    values = {"api_base": "os.environ/MINE", "api_key": SECRET_TEXT, "api_version": "1"}
    config = {
        "model_list": [entry("a", "openai/x", litellm_credential_name="mine")],
        "credential_list": [{"credential_name": "mine", "credential_values": values}],
        "environment_variables": {"MINE": "http://mine/v1"},
    }
    made = translated(config)
    assert models(made)[0]["upstream"]["url"] == "http://mine/v1"
    assert made.secret_keys == ["a"]
    assert "put it into Secret" in named(made)["credential_list[0].credential_values.api_key"]
    assert "credential_list[0].credential_name" not in named(made)
    assert SECRET_TEXT not in str(made)


def test_the_price_list_tells_what_is_no_chat_model() -> None:
    row = {**PRICED, "mode": "embedding"}
    made = translated({"model_list": [entry("e", "openai/text-embedding-3-small", {})]}, {"text-embedding-3-small": row})
    assert made.resources == []
    assert "only chat is routed" in named(made)["model_list[0]"]


def test_merge_keys_are_read_as_litellm_reads_them() -> None:
    text = (
        "model_list:\n"
        "- &first\n"
        "  model_name: a\n"
        "  litellm_params: &params {model: openai/gpt-4o, api_key: os.environ/ONE, strange: 1}\n"
        "  model_info: {input_cost_per_token: 1e-6, output_cost_per_token: 1e-6}\n"
        "- <<: *first\n"
        "  litellm_params: {<<: *params, model: openai/gpt-4o-mini}\n"
    )
    (document,), _ = documents.read(text.encode(), "config.yaml")
    made = litellm.translate(document, PROFILES, {})
    assert [model["upstream"]["model"] for model in models(made)] == ["gpt-4o", "gpt-4o-mini"]
    assert models(made)[1]["upstream"]["credentials"]["secretKeyRef"]["key"] == "ONE"
    lines = {problem.path: problem.line for problem in made.problems}
    assert lines["model_list[0].litellm_params.strange"] == lines["model_list[1].litellm_params.strange"] == 4


def test_fireworks_names_are_written_out_and_its_models_recognised() -> None:
    made = translated({"model_list": [entry("a", "fireworks_ai/llama-v3p1-8b-instruct")]})
    assert models(made)[0]["upstream"]["model"] == "accounts/fireworks/models/llama-v3p1-8b-instruct"
    assert models(made)[0]["quality"] == {"profile": "llama-3.1-8b-instruct"}


@pytest.mark.parametrize("key", sorted(AS_HERE))
def test_a_switch_that_asks_for_what_is_so_needs_no_word(key: str) -> None:
    for value in (AS_HERE[key], not AS_HERE[key]):
        made = translated({"model_list": [entry("a", "openai/gpt-4o")], "general_settings": {key: value}})
        assert bool(made.problems) == (value is not AS_HERE[key])


NAMES = st.sampled_from(["a", "b", "auto", "A b"])
ROUTER = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.integers(0, 99),
        "stream_timeout": st.floats(0, 99),
        "num_retries": st.integers(0, 12),
        "routing_strategy": st.sampled_from([*STRATEGIES, "own"]),
        "fallbacks": st.lists(st.dictionaries(NAMES, st.lists(NAMES, max_size=3)), max_size=3),
        "context_window_fallbacks": st.lists(st.dictionaries(NAMES, st.lists(NAMES, max_size=2)), max_size=2),
        "default_fallbacks": st.lists(NAMES, max_size=2),
        "model_group_alias": st.dictionaries(st.one_of(NAMES, st.text(max_size=4)), NAMES, max_size=3),
    },
)
KEYS = st.sampled_from([*REASONS, "routing_strategy", "fallbacks", "num_retries", "timeout", "model_group_alias", "mystery"])
VALUES = st.one_of(st.booleans(), st.integers(-5, 2**40), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2))
MODELS = st.one_of(
    st.sampled_from(["openai/gpt-4o", "groq/x", "azure/y", "bedrock/z", "gpt-4o", "openai/*", "who/knows", "claude-3-haiku"]),
    st.text(max_size=20),
)
SETTINGS = ["rpm", "weight", "order", "api_base", "timeout", "stream_timeout", "num_retries", "mystery", "custom_llm_provider"]
PARAMS = st.dictionaries(st.sampled_from(SETTINGS), st.one_of(VALUES, st.integers(0, 99), st.floats()))
ENTRIES = st.builds(
    lambda name, model, params, info: {
        "model_name": name,
        "litellm_params": {**params, "model": model, "api_key": SECRET_TEXT},
        "model_info": info,
    },
    st.one_of(st.sampled_from(["a", "b", "auto", "A b"]), st.text(max_size=8)),
    MODELS,
    PARAMS,
    st.builds(
        lambda sound, strange: {**(PRICED if sound else {}), **strange},
        st.booleans(),
        st.dictionaries(st.sampled_from([*PRICED, *HELD, *KNOWS, "mode", "id"]), st.one_of(VALUES, st.floats(0, 1e-4))),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, max_size=5), st.one_of(ROUTER, st.dictionaries(KEYS, VALUES)), st.dictionaries(KEYS, VALUES))
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
        if value != [] and value is not AS_HERE.get(key):
            assert any(path.startswith(f"general_settings.{key}") for path in named(made)), key


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


def test_what_is_said_of_many_places_is_said_once(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"model_list": [entry(name, "openai/gpt-4o", rpm=7) for name in "abc"]}, sort_keys=False))
    _, out, err = tradewind("import", "litellm", config)
    for text in (out, err):
        assert text.count(REASONS["rpm"]) == 1
        assert [f"model_list[{index}].litellm_params.rpm" in text for index in range(3)] == [True] * 3


def test_no_text_of_the_configuration_can_end_a_comment(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    strange = "a\rkind: x\u2028y\x85z\x1b[31m\n"
    entries = [entry("a", "openai/gpt-4o"), entry(strange, "openai/gpt-4o")]
    config.write_text(yaml.safe_dump({"model_list": entries, strange: 1, "router_settings": {"routing_strategy": strange}}))
    status, out, err = tradewind("import", "litellm", config)
    assert status == 1
    assert not set("\r\u2028\x85\x1b") & set(out + err)
    made = tmp_path / "made.yaml"
    made.write_text(out)
    assert tradewind("plan", "check", made)[0] == 0


def test_a_configuration_of_which_no_model_comes_along_is_a_finding(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"model_list": [entry("a", "azure/x")]}))
    status, out, _ = tradewind("import", "litellm", config, "--json")
    assert (status, json.loads(out)["resources"]) == (1, [])
    config.write_text("model_list: []\n")
    assert tradewind("import", "litellm", config)[0] == 1


def test_what_is_no_configuration_is_refused(tradewind: Tradewind, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("a: 1\n")
    assert tradewind("import", "litellm", config)[0] == 2
    config.write_text("a: [\n")
    assert tradewind("import", "litellm", config)[0] == 2
    status, _, err = tradewind("import", "litellm", config, "--namespace", "No_Such")
    assert (status, "--namespace" in err) == (2, True)


def test_the_page_has_the_tables() -> None:
    text = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
    assert text == page.renewed(text), "run `make docs`"
    assert all(f"`{key}`" in text for key in [*PROVIDERS, *FOREIGN, *STRATEGIES, *REASONS])
