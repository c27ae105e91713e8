"""Assembly between objects: who may use what, what is left out, and what each predictor reads."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import own_graph
import tiny_predictor
from tradewind.artifacts import plan, predictor
from tradewind.artifacts.predictor import Artifact, Predictors
from tradewind.resources import formats, tenants
from tradewind.resources.assemble import Assembled, assemble, by_priority, predictors_wanted
from tradewind.resources.audience import Audience
from tradewind.resources.documents import Document
from tradewind.resources.folder import parse

API = "tradewind.dev/v1alpha1"


@pytest.fixture(scope="module")
def artifact(predictor_folder: Path) -> Artifact:
    return predictor.read(predictor_folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A predictor of one's own: it knows `small` otherwise, `own` alone, and `tiny` not at all."""
    folder = tiny_predictor.write(tmp_path_factory.mktemp("own"), steepness=2.0)
    manifest = json.loads((folder / predictor.MANIFEST).read_text())
    profiles = {"small": {"bias": 0.25}, "own": {"bias": 0.5}, "strong": tiny_predictor.PROFILES["strong"]}
    (folder / predictor.MANIFEST).write_text(json.dumps({**manifest, "profiles": profiles}))
    return predictor.read(folder)


def model(name: str, profile: str = "small", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "upstream": {"url": "http://a/v1"},
        "price": {"inputPerMillion": "1", "outputPerMillion": "2"},
        "limits": {"contextTokens": 1000, "outputTokens": 100},
        "quality": {"profile": profile},
        **more,
    }


def document(kind: str, name: str, namespace: str | None, created: str = "", **rest: Any) -> Document:
    """As a controller makes one of what the API server serves."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), "uid": "1-2", "generation": 3}
    value = {"apiVersion": "v1" if kind in ("ConfigMap", "Namespace") else API, "kind": kind, "metadata": metadata, **rest}
    return Document(f"{kind}/{namespace}/{name}", value, {(): 0}, created)


def pool(name: str, *models: dict[str, Any], namespace: str = "default", **spec: Any) -> Document:
    return document("ModelPool", name, namespace, spec={"models": list(models), **spec}, status={"usableModels": "1/1"})


def policy(name: str, *pools: str, namespace: str = "default", created: str = "", **spec: Any) -> Document:
    refs = [dict(zip(("name", "namespace"), reversed(ref.split("/")), strict=False)) for ref in pools]
    spec = {"poolRefs": refs, "strategy": {"type": "Best"}, "match": {"models": [name]}, **spec}
    return document("RoutingPolicy", name, namespace, created, spec=spec)


def namespace(name: str, **labels: str) -> Document:
    found = document("Namespace", name, None, spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"})
    found.value["metadata"]["labels"] = labels
    return found


def check(
    artifact: Artifact, *documents: Document, unusable: tuple[str, ...] = (), others: tuple[Artifact, ...] = ()
) -> Assembled:
    predictors = Predictors(artifact, {other.digest: other for other in others})
    return assemble(parse(list(documents)), predictors, frozenset(unusable))


def told(assembled: Assembled) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.file, problem.path) for problem in assembled.problems]


def test_what_an_api_server_serves_is_as_good_as_a_file(artifact: Artifact) -> None:
    assembled = check(artifact, pool("chat", model("a")), policy("auto", "chat"), namespace("default"))
    assert assembled.problems == ()
    assert [route.id for route in assembled.plan.routes] == ["default/auto"]


def test_an_empty_cluster_has_an_empty_plan(artifact: Artifact) -> None:
    assert check(artifact).problems == ()
    assert check(artifact, pool("chat", model("a"))).problems == ()


def test_a_problem_names_its_object(artifact: Artifact) -> None:
    assembled = check(artifact, pool("chat", model("a", "who")), policy("auto", "chart"), policy("bad", "chat", priority="x"))
    assert told(assembled) == [
        ("invalid_type", "RoutingPolicy/default/bad", "spec.priority"),
        ("unknown_name", "ModelPool/default/chat", "spec.models[0].quality.profile"),
        ("missing_pool", "RoutingPolicy/default/auto", "spec.poolRefs[0]"),
    ]


def test_the_larger_priority_then_the_older_then_the_name_comes_first() -> None:
    resources = parse(
        [
            policy("a", "chat", created="2026-01-02T00:00:00Z"),
            policy("b", "chat", created="2026-01-01T00:00:00Z"),
            policy("c", "chat", created="2026-01-01T00:00:00Z"),
            policy("d", "chat", created="2026-01-03T00:00:00Z", priority=1),
        ]
    )
    assert [found.resource.metadata.name for found in by_priority(resources)] == ["d", "b", "c", "a"]


def test_every_pool_that_cannot_be_referred_to_is_told_at_once(artifact: Artifact) -> None:
    assembled = check(artifact, pool("closed", model("a"), namespace="other"), policy("auto", "none", "other/closed"))
    assert told(assembled) == [
        ("missing_pool", "RoutingPolicy/default/auto", "spec.poolRefs[0]"),
        ("not_permitted", "RoutingPolicy/default/auto", "spec.poolRefs[1]"),
    ]


def test_a_pool_that_is_closed_is_not_among_the_names_that_are_told(artifact: Artifact) -> None:
    open_to_all = pool("open", model("a"), namespace="other", allowedNamespaces={"from": "All"})
    assembled = check(artifact, pool("closed", model("a"), namespace="other"), open_to_all, policy("auto", "chat"))
    assert assembled.problems[0].accepted == ("other/open",)
    assert "closed" not in assembled.problems[0].message


@pytest.mark.parametrize(
    ("allowed", "labels", "permitted"),
    [
        ({"from": "Same"}, {"tier": "gold"}, False),
        ({"from": "All"}, {}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}}, {"tier": "gold", "more": "yes"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}}, {"tier": "silver"}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}}, {}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}}, {}, True),
    ],
)
def test_a_pool_is_open_to_whom_it_allows(
    artifact: Artifact, allowed: dict[str, Any], labels: dict[str, str], permitted: bool
) -> None:
    shared = pool("chat", model("a"), namespace="platform", allowedNamespaces=allowed)
    assembled = check(artifact, shared, policy("auto", "platform/chat", namespace="team-a"), namespace("team-a", **labels))
    assert [problem.code for problem in assembled.problems] == ([] if permitted else ["not_permitted"])
    assert len(assembled.plan.routes) == permitted


@pytest.mark.parametrize(
    ("callers", "expected"),
    [
        ({}, plan.Callers()),
        ({"from": "All"}, plan.Callers("all")),
        ({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}}, plan.Callers("listed", ("team-a", "team-c"))),
        ({"from": "Selector", "selector": {"matchLabels": {"tier": "lead"}}}, plan.Callers("listed")),
    ],
)
def test_callers_are_listed_by_the_labels_of_their_namespaces(
    artifact: Artifact, callers: dict[str, Any], expected: plan.Callers
) -> None:
    spaces = [namespace("team-c", tier="gold"), namespace("team-a", tier="gold"), namespace("team-b", tier="tin")]
    home = namespace("default", tier="gold")
    assembled = check(artifact, pool("chat", model("a")), policy("auto", "chat", callers=callers), home, *spaces)
    assert assembled.problems == ()
    assert assembled.plan.routes[0].callers == expected


@given(
    wanted=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), min_size=1),
    labels=st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xy")),
)
def test_more_labels_on_a_namespace_never_close_a_door(wanted: dict[str, str], labels: dict[str, str]) -> None:
    audience = Audience.model_validate({"from": "Selector", "selector": {"matchLabels": wanted}})
    admitted = tenants.admits(audience, "a", {"a": labels})
    assert admitted == all(labels.get(key) == value for key, value in wanted.items())
    assert not admitted or tenants.admits(audience, "a", {"a": {**labels, "more": "x"}})


def test_an_unusable_model_is_left_out_and_the_others_serve(artifact: Artifact) -> None:
    assembled = check(artifact, pool("chat", model("a"), model("b")), policy("auto", "chat"), unusable=("default/chat/a",))
    assert assembled.problems == ()
    assert [found.id for found in assembled.plan.models] == ["default/chat/b"]
    assert assembled.plan.routes[0].candidates == ("default/chat/b",)


def test_a_problem_of_the_core_is_told_at_its_model_though_one_before_it_is_left_out(artifact: Artifact) -> None:
    wrong = model("b", upstream={"url": "http://a/v1"}, quality={"prior": "0.5"})
    assembled = check(
        artifact,
        pool("chat", model("a"), wrong, model("c")),
        policy("auto", "chat", strategy={"type": "Pinned", "pinned": {"model": "d"}}),
        unusable=("default/chat/a",),
    )
    assert told(assembled) == [("invalid_strategy", "RoutingPolicy/default/auto", "spec.strategy.pinned.model")]
    assert assembled.problems[0].accepted == ("b", "c")


@pytest.mark.parametrize("spec", [{}, {"constraints": {"models": {"matchLabels": {"region": "eu"}}}}])
def test_a_policy_without_a_usable_model_is_left_out_with_a_warning(artifact: Artifact, spec: dict[str, Any]) -> None:
    unusable = ("default/chat/a",) if spec else ("default/chat/a", "default/chat/b")
    models = model("a", labels={"region": "eu"}), model("b")
    assembled = check(artifact, pool("chat", *models), policy("auto", "chat", **spec), unusable=unusable)
    assert told(assembled) == [("no_usable_model", "RoutingPolicy/default/auto", "spec.poolRefs")]
    assert not assembled.refused
    assert assembled.plan.routes == ()


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"type": "Pinned", "pinned": {"model": "a"}}, {"type": "best"}),
        ({"type": "Pinned", "pinned": {"model": "b"}}, {"type": "pinned", "pinned": {"model": "b"}}),
        (
            {"type": "Weighted", "weighted": {"weights": [{"model": "a", "weight": 1}, {"model": "b", "weight": 2}]}},
            {"type": "weighted", "weighted": {"weights": {"b": 2}}},
        ),
        ({"type": "Weighted", "weighted": {"weights": [{"model": "a", "weight": 1}]}}, {"type": "best"}),
        ({"type": "Weighted", "weighted": {"weights": [{"model": "default/chat/a", "weight": 1}]}}, {"type": "best"}),
    ],
)
def test_the_stand_ins_of_an_unusable_model_serve(
    artifact: Artifact, strategy: dict[str, Any], expected: dict[str, Any]
) -> None:
    assembled = check(
        artifact,
        pool("chat", model("a"), model("b")),
        policy("auto", "chat", strategy=strategy),
        unusable=("default/chat/a",),
    )
    assert assembled.problems == ()
    assert assembled.plan.routes[0].strategy == expected


def named(artifact: Artifact, prefix: str = "sha256:") -> dict[str, str]:
    return {"url": "https://example.com/a.onnx", "sha256": prefix + artifact.digest.removeprefix("sha256:")}


def test_each_route_reads_the_profiles_of_its_predictor(artifact: Artifact, own: Artifact) -> None:
    models = model("a", "small"), model("b", "strong"), model("c", quality={"prior": "0.5"})
    assembled = check(
        artifact,
        pool("chat", *models),
        policy("default", "chat", predictor={"default": {}}),
        policy("own", "chat", predictor=named(own, prefix="")),
        others=(own,),
    )
    assert assembled.problems == ()
    by_default, by_own = assembled.plan.routes
    assert (by_default.predictor, by_default.profiles) == (artifact.digest, {})
    assert by_own.predictor == own.digest
    assert by_own.profiles.keys() == {"default/chat/a"}, "where both read the same, nothing is said"
    assert assembled.plan.profiles[by_own.profiles["default/chat/a"]] == plan.Profile(0.25)
    assert list(assembled.predictors.others) == [own.digest]


def test_a_profile_that_only_ones_own_predictor_knows_is_its_alone(artifact: Artifact, own: Artifact) -> None:
    assembled = check(artifact, pool("chat", model("a", "own")), policy("own", "chat", predictor=named(own)), others=(own,))
    assert assembled.problems == ()
    assembled = check(artifact, pool("chat", model("a", "own")), policy("auto", "chat"), others=(own,))
    assert told(assembled) == [("unknown_name", "RoutingPolicy/default/auto", "spec")]
    assert "knows no profile of `default/chat/a`" in assembled.problems[0].message
    assembled = check(artifact, pool("chat", model("a", "tiny")), policy("own", "chat", predictor=named(own)), others=(own,))
    assert told(assembled) == [("unknown_name", "RoutingPolicy/default/own", "spec.predictor")]
    assert assembled.problems[0].accepted == ("own", "small", "strong")


def test_a_predictor_that_could_not_be_had_is_missing_with_the_reason(artifact: Artifact, own: Artifact) -> None:
    documents = [pool("chat", model("a")), policy("auto", "chat", predictor=named(own)), policy("second", "chat")]
    resources = parse(documents)
    assert predictors_wanted(resources) == [(own.digest, "https://example.com/a.onnx")]
    assembled = assemble(resources, Predictors(artifact, missing={own.digest: "it is answered 404"}))
    assert told(assembled) == [("missing_predictor", "RoutingPolicy/default/auto", "spec.predictor")]
    assert assembled.problems[0].message == f"the predictor `{own.digest}` is missing: it is answered 404"
    assert [route.id for route in assembled.plan.routes] == ["default/second"]


def test_the_default_predictor_may_be_named_by_its_digest(artifact: Artifact) -> None:
    assembled = check(artifact, pool("chat", model("a")), policy("auto", "chat", predictor=named(artifact)))
    assert assembled.problems == ()


def test_a_second_tier_has_the_columns_of_the_models_that_can_be_called(artifact: Artifact, tmp_path: Path) -> None:
    graph = predictor.read(own_graph.write(tmp_path, models=["small", "b", "c"]))
    tier = {**named(graph), "ambiguity": "0.05", "weight": "0.25", "use": "Inline"}
    models = model("a", "small"), model("b", "strong"), model("c", "strong"), model("d", "strong")
    documents = pool("chat", *models), policy("auto", "chat", predictor={"default": {}, "secondTier": tier})
    assert predictors_wanted(parse(list(documents))) == [(graph.digest, "https://example.com/a.onnx")]
    assembled = check(artifact, *documents, others=(graph,), unusable=("default/chat/c",))
    assert assembled.problems == ()
    columns = {"default/chat/a": 0, "default/chat/b": 1}
    assert assembled.plan.routes[0].second_tier == plan.SecondTier(graph.digest, 0.05, columns, 0.25, "inline")
    assert list(assembled.predictors.others) == [graph.digest]
    unused = check(artifact, *documents, others=(graph,), unusable=tuple(f"default/chat/{name}" for name in "abc"))
    assert (unused.problems, unused.plan.routes[0].second_tier) == ((), None)


def test_a_second_tier_that_could_not_be_had_takes_its_policy_along(artifact: Artifact, tmp_path: Path) -> None:
    graph = predictor.read(own_graph.write(tmp_path, models=["a", "b", "c"]))
    tier = {**named(graph), "ambiguity": "0.05"}
    documents = [pool("chat", model("a")), policy("auto", "chat", predictor={"default": {}, "secondTier": tier})]
    assembled = assemble(parse(documents), Predictors(artifact, missing={graph.digest: "it is answered 404"}))
    assert told(assembled) == [("missing_predictor", "RoutingPolicy/default/auto", "spec.predictor.secondTier")]
    assert assembled.plan.routes == ()


def test_a_profile_of_a_config_map_follows_it_while_the_pool_stays(artifact: Artifact) -> None:
    chat = pool("chat", model("a", quality={"profileRef": {"name": "profiles", "key": "a"}}))
    rest = [chat, policy("auto", "chat")]

    def bias(data: str) -> float:
        assembled = check(artifact, *rest, document("ConfigMap", "profiles", "default", data={"a": data}))
        assert assembled.problems == ()
        return assembled.plan.profiles[assembled.plan.models[0].profile].bias

    assert [bias('{"bias": 1}'), bias('{"bias": 2}'), bias('{"bias": 1}')] == [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "bias: Field required"),
        ('{"bias": "1"}', "bias: Input should be a valid number"),
        ('{"bias": 1, "bais": 1}', "bais: Extra inputs are not permitted"),
        ('{"bias": NaN}', "bias"),
        ('{"bias": 1e400}', "bias"),
        (f'{{"bias": 1{"0" * 400}}}', "bias"),
        ('{"bias": true}', "bias"),
        ('{"bias": 1, "latent": [1, "a"]}', "latent[1]"),
        ('{"bias": 1, "length": {"bias": null}}', "length.bias"),
        ('{"bias": 1, "answers": -1}', "answers"),
        ('{"bias": 1, "answers": 1.5}', "answers"),
    ],
)
def test_a_text_that_is_no_profile_is_refused_and_harms_no_other(artifact: Artifact, text: str, part: str) -> None:
    assembled = check(
        artifact,
        pool("chat", model("a", quality={"profileRef": {"name": "profiles", "key": "a"}})),
        policy("auto", "chat"),
        document("ConfigMap", "profiles", "default", data={"a": text}, binaryData={"b": "AA=="}),
    )
    assert told(assembled) == [("invalid_profile", "ModelPool/default/chat", "spec.models[0].quality.profileRef")]
    assert part in assembled.problems[0].message


def test_a_broken_config_map_is_told_once(artifact: Artifact) -> None:
    chat = pool("chat", model("a", quality={"profileRef": {"name": "profiles", "key": "a"}}))
    assembled = check(artifact, chat, policy("auto", "chat"), document("ConfigMap", "profiles", "default", data={"a": 1}))
    assert told(assembled) == [("invalid_type", "ConfigMap/default/profiles", "data.a")]


def test_what_was_assembled_before_gives_the_same_bytes_and_is_forgotten_with_its_documents(artifact: Artifact) -> None:
    def documents() -> list[Document]:
        return [pool("chat", model("a"), model("b", "strong")), policy("auto", "chat")]

    kept = documents()
    first = check(artifact, *kept).plan.to_json()
    assert check(artifact, *kept).plan.to_json() == first == check(artifact, *documents()).plan.to_json()
    less = check(artifact, *kept, unusable=("default/chat/b",)).plan
    assert [found.id for found in less.models] == ["default/chat/a"]
    assert check(artifact, *kept).plan.to_json() == first
    gone = weakref.ref(kept.pop(0))
    gc.collect()
    assert gone() is None


def test_a_plan_is_a_line_for_each_part_and_reads_back(artifact: Artifact) -> None:
    source = check(artifact, pool("chat", model("a"), model("b", "strong")), policy("auto", "chat")).plan
    assert json.loads(source.to_json()) == source.document()
    assert plan.from_document(json.loads(source.to_json())) == source
    empty = replace(source, profiles={}, models=(), routes=())
    assert json.loads(empty.to_json()) == empty.document()


UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
PARTS = st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4)


@given(PARTS)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{amount}{unit}" for amount, unit in parts)
    assert formats.milliseconds(text) == sum(amount * UNITS[unit] for amount, unit in parts)
