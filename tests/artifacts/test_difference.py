"""What an edit changes, told field by field."""

from __future__ import annotations

from dataclasses import replace

import routing
from tradewind.artifacts import difference, plan
from tradewind.artifacts.difference import Change, Field

DIGEST = "sha256:" + "0" * 64
TINY, SMALL = routing.model("tiny", "http://a", like="tiny"), routing.model("small", "http://a")
FIRST = routing.route("first", DIGEST, [TINY, SMALL], "best")
SECOND = routing.route("second", DIGEST, [TINY], "cheapest")
SOURCE = routing.source([TINY, SMALL], [FIRST, SECOND])


def test_the_same_plan_has_no_difference() -> None:
    assert difference.between(SOURCE, SOURCE) == ()


def test_what_comes_and_goes_is_named_with_its_pool() -> None:
    other = routing.model("new", "http://b", pool="more")
    grown = replace(SOURCE, models=(*SOURCE.models, other), routes=(FIRST,))
    assert difference.between(SOURCE, grown) == (
        Change("pool", "default/more", "added"),
        Change("model", "default/more/new", "added"),
        Change("policy", "default/second", "removed"),
    )
    assert [change.change for change in difference.between(grown, SOURCE)] == ["removed", "removed", "added"]


def test_fields_come_with_their_paths_and_both_values() -> None:
    dearer = replace(SMALL, price=replace(SMALL.price, output_nanousd_per_million=1), labels={"region": "eu"})
    strict = replace(FIRST, when="request.stream", constraints=plan.Constraints(min_quality=0.5))
    changed = replace(SOURCE, models=(TINY, dearer), routes=(strict, SECOND))
    assert difference.between(SOURCE, changed) == (
        Change(
            "model",
            "default/chat/small",
            "changed",
            (Field("price.output_nanousd_per_million", 400_000_000, 1), Field("labels.region", None, "eu")),
        ),
        Change(
            "policy",
            "default/first",
            "changed",
            (Field("constraints.min_quality", None, 0.5), Field("when", None, "request.stream")),
        ),
    )


def test_a_profile_is_compared_by_content_not_by_key() -> None:
    renamed = replace(
        SOURCE, profiles={**SOURCE.profiles, "k": SOURCE.profiles["tiny"]}, models=(replace(TINY, profile="k"), SMALL)
    )
    assert difference.between(SOURCE, renamed) == ()
    learned = replace(SOURCE, profiles={**SOURCE.profiles, "tiny": replace(SOURCE.profiles["tiny"], bias=9.0)})
    assert difference.between(SOURCE, learned) == (
        Change("model", "default/chat/tiny", "changed", (Field("profile.bias", 1.0, 9.0),)),
    )


def test_the_order_of_policies_counts_for_the_first_takes_a_call() -> None:
    turned = replace(SOURCE, routes=(SECOND, FIRST))
    assert [(change.id, change.fields) for change in difference.between(SOURCE, turned)] == [
        ("default/first", (Field("order", 1, 2),)),
        ("default/second", (Field("order", 2, 1),)),
    ]
    before = replace(SOURCE, routes=(replace(FIRST, id="default/new"), FIRST, SECOND))
    assert [change.id for change in difference.between(SOURCE, before)] == ["default/new"]
