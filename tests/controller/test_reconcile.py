"""Passes over small clusters: what the plan carries, and what is said of each object."""

from __future__ import annotations

import json

import pytest
import yaml
from small_cluster import POLICY, POOL, World, routes

from tradewind import core
from tradewind.controller.conditions import BY_NAME
from tradewind.controller.reconcile import Verdict
from tradewind.controller.store import Key

CHAT = Key("ModelPool", "a", "chat")
DEFAULT = Key("RoutingPolicy", "a", "default")
BOTH = ["a/chat/small", "a/chat/large"]
UNKNOWN_PROFILE = POOL.replace('quality: {prior: "0.9"}', "quality: {profile: no-such-model}")
WITH_SECRET = POOL.replace(
    'upstream: {url: "http://large.example/v1"}',
    'upstream: {url: "http://large.example/v1", credentials: {secretKeyRef: {name: keys, key: large}}}',
)
WITH_SERVICE = POOL.replace('upstream: {url: "http://large.example/v1"}', "upstream: {service: {name: vllm, port: 8000}}")


def world(pool: str = POOL, policy: str = POLICY) -> World:
    made = World()
    made.put("ModelPool", "a/chat", pool)
    made.put("RoutingPolicy", "a/default", policy)
    return made


def said(verdict: Verdict) -> tuple[str, str]:
    for condition in (verdict.accepted, verdict.refs):
        assert (condition.type, condition.reason) in BY_NAME
    return verdict.accepted.reason, verdict.refs.reason


def test_a_pool_and_a_policy_become_a_route() -> None:
    outcome = world().run()
    assert routes(outcome) == {"a/default": BOTH}
    assert {key: (verdict.carried, verdict.usable, verdict.models) for key, verdict in outcome.verdicts.items()} == {
        CHAT: (1, 2, 2),
        DEFAULT: (1, 2, 2),
    }
    assert core.plan_id(outcome.plan).startswith("sha256:")


def test_the_same_cluster_gives_the_same_bytes_in_whatever_order_it_was_seen() -> None:
    one, other = world(), World()
    other.put("RoutingPolicy", "a/default", POLICY)
    other.put("ModelPool", "a/chat", POOL)
    assert one.run().plan == other.run().plan == other.run().plan


@pytest.mark.parametrize(
    ("key", "spec", "accepted", "words"),
    [
        (CHAT, UNKNOWN_PROFILE, "UnknownProfile", "no-such-model"),
        (DEFAULT, POLICY.replace("Best", "Bst"), "Invalid", "unknown strategy `Bst`"),
        (DEFAULT, POLICY + 'match: {when: "request.tols == 1"}', "InvalidExpression", "tols"),
        (
            DEFAULT,
            "poolRefs: [{name: chat}]\nstrategy: {type: Pinned, pinned: {model: medium}}",
            "InvalidStrategy",
            "medium",
        ),
    ],
)
def test_a_bad_edit_removes_no_route_and_says_what_is_wrong(key: Key, spec: str, accepted: str, words: str) -> None:
    made = world()
    before = made.run()
    made.put(key.kind, f"{key.namespace}/{key.name}", spec)
    after = made.run()
    assert after.plan == before.plan
    verdict = after.verdicts[key]
    assert (verdict.accepted.reason, verdict.carried, verdict.generation) == (accepted, 1, 2)
    assert words in verdict.accepted.message
    # A controller that starts anew knows the last valid form from the published plan only.
    made.memory = type(made.memory)()
    assert made.run().plan == before.plan


def test_a_bad_object_takes_no_other_with_it() -> None:
    made = world()
    made.put("ModelPool", "b/broken", UNKNOWN_PROFILE)
    made.put("RoutingPolicy", "b/default", POLICY.replace("chat", "broken"))
    outcome = made.run()
    assert routes(outcome) == {"a/default": BOTH}
    assert said(outcome.verdicts[Key("ModelPool", "b", "broken")]) == ("UnknownProfile", "ResolvedRefs")
    assert said(outcome.verdicts[Key("RoutingPolicy", "b", "default")]) == ("Accepted", "PoolNotFound")


def test_a_repaired_object_is_carried_again() -> None:
    made = world()
    made.run()
    made.put("ModelPool", "a/chat", UNKNOWN_PROFILE)
    made.run()
    made.put("ModelPool", "a/chat", POOL.replace('"10"', '"11"'))
    verdict = made.run().verdicts[CHAT]
    assert (verdict.carried, verdict.generation, verdict.accepted.status) == (3, 3, "True")


def test_a_deleted_pool_is_gone_whatever_was_kept_of_it() -> None:
    made = world()
    made.run()
    del made.customs[CHAT]
    outcome = made.run()
    assert routes(outcome) == {}
    assert said(outcome.verdicts[DEFAULT]) == ("Accepted", "PoolNotFound")
    assert outcome.verdicts[DEFAULT].carried is None
    made.put("ModelPool", "a/chat", POOL)
    assert routes(made.run()) == {"a/default": BOTH}


def test_an_object_made_anew_is_not_served_in_the_form_of_the_old_one() -> None:
    made = world()
    made.run()
    made.put("ModelPool", "a/chat", UNKNOWN_PROFILE, uid="another")
    outcome = made.run()
    assert routes(outcome) == {}
    assert outcome.verdicts[CHAT].carried is None


def test_one_missing_pool_of_two_leaves_the_other() -> None:
    made = world()
    made.put("ModelPool", "a/more", POOL)
    made.put("RoutingPolicy", "a/default", POLICY.replace("[{name: chat}]", "[{name: chat}, {name: more}]"))
    assert len(routes(made.run())["a/default"]) == 4
    del made.customs[Key("ModelPool", "a", "more")]
    outcome = made.run()
    assert routes(outcome) == {"a/default": BOTH}
    assert said(outcome.verdicts[DEFAULT]) == ("Accepted", "PoolNotFound")


@pytest.mark.parametrize(
    ("values", "closed", "reason", "words"),
    [
        ({}, set(), "SecretNotFound", "Secret `keys` is not in namespace `a`"),
        ({("a", "keys"): {"small": "s"}}, set(), "SecretKeyNotFound", "its keys are `small`"),
        ({}, {"a"}, "SecretForbidden", "kubectl create rolebinding tradewind-read-secrets"),
    ],
)
def test_a_model_without_its_secret_is_not_used_and_the_others_are(
    values: dict[tuple[str, str], dict[str, str]], closed: set[str], reason: str, words: str
) -> None:
    made = world(WITH_SECRET)
    made.secrets.values = {("a", "keys"): {"large": "sk"}}
    assert routes(made.run()) == {"a/default": BOTH}
    made.secrets.values, made.secrets.closed = values, closed
    outcome = made.run()
    assert routes(outcome) == {"a/default": ["a/chat/small"]}
    verdict = outcome.verdicts[CHAT]
    assert (verdict.refs.reason, verdict.usable, verdict.models, verdict.carried) == (reason, 1, 2, 1)
    assert words in verdict.refs.message
    assert "sk" not in outcome.plan.decode()


def test_a_policy_says_that_its_callers_keys_may_not_be_read() -> None:
    made = world()
    made.secrets.closed = {"a"}
    verdict = made.run().verdicts[DEFAULT]
    assert verdict.refs.status == "True"
    assert "callers have no API keys here" in verdict.refs.message
    assert "kubectl create rolebinding" in verdict.refs.message


@pytest.mark.parametrize(
    ("ports", "external", "reason"),
    [(None, False, "ServiceNotFound"), ((9,), False, "ServicePortNotFound"), ((8000,), True, "ServiceNotSupported")],
)
def test_a_service_must_be_there_with_its_port(ports: tuple[int, ...] | None, external: bool, reason: str) -> None:
    made = world(WITH_SERVICE)
    if ports is not None:
        made.service("a/vllm", *ports, external=external)
    outcome = made.run()
    assert (outcome.verdicts[CHAT].refs.reason, outcome.verdicts[CHAT].usable) == (reason, 1)
    made.service("a/vllm", 8000)
    outcome = made.run()
    assert outcome.verdicts[CHAT].refs.status == "True"
    assert json.loads(outcome.plan)["models"][1]["upstream"]["url"] == "http://vllm.a.svc:8000/v1"


def test_without_any_usable_model_a_policy_is_not_in_the_plan() -> None:
    made = world(
        WITH_SECRET.replace(
            'http://small.example/v1"', 'http://small.example/v1", credentials: {secretKeyRef: {name: no, key: no}}'
        )
    )
    outcome = made.run()
    assert routes(outcome) == {}
    assert (outcome.verdicts[DEFAULT].usable, outcome.verdicts[DEFAULT].carried) == (0, None)


def test_an_edit_that_leaves_no_usable_model_keeps_the_last_form_that_had_one() -> None:
    made = world()
    made.run()
    nothing = yaml.safe_load(POOL)
    for model in nothing["models"]:
        model["upstream"]["credentials"] = {"secretKeyRef": {"name": "no", "key": "no"}}
    made.put("ModelPool", "a/chat", nothing)
    outcome = made.run()
    assert routes(outcome) == {"a/default": BOTH}
    assert (outcome.verdicts[CHAT].refs.reason, outcome.verdicts[CHAT].carried) == ("SecretNotFound", 1)


def test_a_pool_is_open_to_the_namespaces_that_it_allows_and_a_revoked_grant_is_not_kept() -> None:
    made = World()
    grant = "allowedNamespaces: {from: Selector, selector: {matchLabels: {chat: 'yes'}}}\n"
    made.put("ModelPool", "platform/chat", grant + POOL)
    made.put("RoutingPolicy", "a/default", POLICY.replace("{name: chat}", "{name: chat, namespace: platform}"))
    assert said(made.run().verdicts[DEFAULT]) == ("Accepted", "RefNotPermitted")
    made.namespaces["a"] = {"chat": "yes"}
    assert list(routes(made.run())) == ["a/default"]
    made.namespaces["a"] = {}
    outcome = made.run()
    assert routes(outcome) == {}
    assert outcome.verdicts[DEFAULT].refs.reason == "RefNotPermitted"


def test_of_two_policies_with_one_alias_priority_then_age_decides_and_the_loser_names_the_winner() -> None:
    made = world()
    made.put("RoutingPolicy", "a/old", POLICY, created="2025-01-01T00:00:00Z")
    outcome = made.run()
    loser = outcome.verdicts[DEFAULT]
    assert (loser.accepted.reason, loser.carried) == ("Conflicted", None)
    assert "`a/old`" in loser.accepted.message
    assert outcome.verdicts[Key("RoutingPolicy", "a", "old")].accepted.reason == "Accepted"
    made.put("RoutingPolicy", "a/default", POLICY + "priority: 1\n")
    assert made.run().verdicts[Key("RoutingPolicy", "a", "old")].accepted.reason == "Conflicted"


def test_a_policy_that_lost_some_aliases_keeps_the_others() -> None:
    made = world(policy=POLICY + "match: {models: [auto, fast]}\n")
    made.put("RoutingPolicy", "a/first", POLICY + "priority: 5\n")
    verdict = made.run().verdicts[DEFAULT]
    assert (verdict.accepted.reason, verdict.accepted.status, verdict.carried) == ("PartlyConflicted", "True", 1)


def test_a_profile_of_a_config_map_must_be_there() -> None:
    made = world(POOL.replace('quality: {prior: "0.9"}', "quality: {profileRef: {name: mine, key: large}}"))
    outcome = made.run()
    assert said(outcome.verdicts[CHAT]) == ("Accepted", "ProfileNotFound")
    assert routes(outcome) == {"a/default": ["a/chat/small"]}
    assert outcome.verdicts[CHAT].usable == 1
    made.profiles = {("a", "mine"): {"large": json.dumps({"bias": 1.5})}}
    outcome = made.run()
    assert said(outcome.verdicts[CHAT]) == ("Accepted", "ResolvedRefs")
    assert routes(outcome) == {"a/default": BOTH}


@pytest.mark.parametrize("around", ["{}", "{{default: {{}}, secondTier: {}}}"], ids=["first tier", "second tier"])
def test_a_predictor_that_was_not_fetched_is_said(around: str) -> None:
    ambiguity = ", ambiguity: '0.1'" if "secondTier" in around else ""
    named = f"{{url: 'http://x.example/p.onnx', sha256: '{'0' * 64}'{ambiguity}}}"
    made = world(policy=POLICY + f"predictor: {around.format(named)}\n")
    outcome = made.run()
    assert said(outcome.verdicts[DEFAULT]) == ("Accepted", "PredictorUnavailable")
    assert routes(outcome) == {}
