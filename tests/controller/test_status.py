"""What a status says, row by row: the object, what a pass found, what is published, and who has acknowledged it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tradewind.controller import conditions, plane, status
from tradewind.controller.conditions import Condition
from tradewind.controller.plane import Member, Plane, Session
from tradewind.controller.published import Published, Source
from tradewind.controller.reconcile import Form, Verdict
from tradewind.controller.status import Refusal, Situation
from tradewind.controller.store import Custom, Key

KEY = Key("RoutingPolicy", "a", "default")
CUSTOM = Custom(KEY, "u1", 10, 2, "2026-01-01T00:00:00Z", b"{}", {})
VALID = Condition("Accepted", "Accepted", "valid")
RESOLVED = Condition("ResolvedRefs", "ResolvedRefs", "there")
VERDICT = Verdict("u1", 2, VALID, RESOLVED, carried=2, usable=3, models=3)
NOW = 1000.0


def session(name: str, serial: int, **known: Any) -> Session:
    given = {
        "pod": name,
        "pod_uid": name,
        "namespace": "tw",
        "role": "gateway",
        "version": "0.1.0",
        "lineage": "L",
        "serial": serial,
        "plan": "sha256:x",
        "reject": None,
        "lacks": (),
        "trust": "",
        "expected": ("L", serial, "sha256:x"),
        "current": True,
        "parked": True,
    }
    return Session(**(given | known))


def members(**serials: int | None) -> tuple[Member, ...]:
    return tuple(
        Member(name, name, session(name, serial) if serial is not None else None) for name, serial in sorted(serials.items())
    )


def published(since: int = 5, generation: int = 2, uid: str = "u1") -> Published:
    form = Form(KEY, uid, generation, "", b"{}")
    return Published("L", 7, "1", b"{}", "sha256:x", {KEY: Source(form, since)})


def programmed(
    custom: Custom = CUSTOM,
    verdict: Verdict = VERDICT,
    *,
    of: Published | None = None,
    who: tuple[Member, ...] = (),
    gateways: bool = True,
    since: float = 10.0,
    refusal: Refusal | None = None,
    publishing: float | None = None,
    behind: float = 0.0,
) -> Condition | None:
    seen = Plane(who, gateways, {member.uid: NOW - behind for member in who})
    found = status.conditions(
        custom, verdict, Situation(of, NOW - since, refusal, NOW - publishing if publishing is not None else None, seen, NOW)
    )
    return found[2] if found is not None else None


def test_programmed_is_true_when_every_ready_gateway_has_acknowledged() -> None:
    found = programmed(of=published(5), who=members(a=5, b=7))
    assert found is not None
    assert (found.status, found.reason) == ("True", "Programmed")


def test_who_is_silent_is_named_but_only_once_the_time_for_an_answer_is_over() -> None:
    assert programmed(of=published(5), who=members(a=5, b=4, c=None), since=0.1) is None
    found = programmed(of=published(5), who=members(a=5, b=4, c=None))
    assert found is not None
    assert (found.status, found.reason) == ("False", "NotAcknowledged")
    assert found.message == "1 of 3 route by this generation; `b`, `c` does not yet"


def test_a_plan_on_offer_is_pending_only_once_that_takes_long() -> None:
    assert programmed(of=published(generation=1), publishing=0.1) is None
    found = programmed(of=published(generation=1), publishing=0.9, refusal=Refusal("Rejected", "of an older plan"))
    assert found is not None
    assert (found.status, found.reason) == ("Unknown", "Pending")


@pytest.mark.parametrize(("serial", "known"), [(99, {"lineage": "old"}), (7, {"plan": "sha256:offered"})])
def test_an_acknowledgement_of_another_lineage_or_another_plan_is_none(serial: int, known: dict[str, Any]) -> None:
    other = Member("a", "a", session("a", serial, **known))
    found = programmed(of=published(5), who=(other,))
    assert found is not None
    assert found.reason == "NotAcknowledged"


@pytest.mark.parametrize(("behind", "expected"), [(3.0, "True"), (11.0, "False")])
def test_it_latches_for_ten_seconds_once_it_was_true(behind: float, expected: str) -> None:
    rows = [{"type": "Programmed", "status": "True", "observedGeneration": 2}]
    found = programmed(replace(CUSTOM, status={"conditions": rows}), of=published(5), who=members(a=5, b=None), behind=behind)
    assert found is not None
    assert found.status == expected


def test_it_does_not_latch_for_another_generation() -> None:
    rows = [{"type": "Programmed", "status": "True", "observedGeneration": 1}]
    found = programmed(replace(CUSTOM, status={"conditions": rows}), of=published(5), who=members(a=5, b=None), behind=3.0)
    assert found is not None
    assert found.status == "False"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"verdict": replace(VERDICT, carried=1)}, "ServingPrevious"),
        ({"verdict": replace(VERDICT, carried=None)}, "NotResolved"),
        ({"verdict": replace(VERDICT, carried=None, accepted=Condition("Accepted", "Invalid", "no"))}, "NotAccepted"),
        ({}, "Pending"),
        ({"of": published(generation=1)}, "Pending"),
        ({"of": published(uid="u0")}, "Pending"),
        ({"of": published(generation=1), "refusal": Refusal("Rejected", "`a` refused")}, "Rejected"),
        ({"of": published(generation=1), "refusal": Refusal("PlanTooLarge", "large")}, "PlanTooLarge"),
        ({"of": published()}, "NoDataPlane"),
        ({"of": published(), "gateways": False}, "NoDataPlane"),
        ({"of": published(), "who": (Member("a", "a", session("a", 4, reject={"code": "c", "message": "m"})),)}, "Rejected"),
    ],
)
def test_every_other_reason(given: dict[str, Any], reason: str) -> None:
    found = programmed(**given)
    assert found is not None
    assert found.reason == reason


def test_a_feature_that_a_gateway_cannot_enforce_is_said() -> None:
    custom = replace(CUSTOM, spec=b'{"match":{"when":"true"},"callers":{"from":"Same"}}')
    old = Member("old", "old", session("old", 7, lacks=("callers", "when")))
    found = programmed(custom, of=published(), who=(old, *members(new=7)))
    assert found is not None
    assert (found.reason, found.message) == ("UnsupportedByDataPlane", "`old` cannot enforce `when`; upgrade them")


def test_ready_sums_up() -> None:
    def ready(verdict: Verdict, reason: str) -> Condition:
        return status._ready(verdict, Condition("Programmed", reason, "because"))

    assert ready(VERDICT, "Programmed").reason == "Ready"
    assert ready(VERDICT, "Pending").reason == "Waiting"
    assert ready(VERDICT, "NotAcknowledged").message == "Programmed is False, NotAcknowledged: because"
    assert ready(replace(VERDICT, usable=0), "NotResolved").reason == "NoUsableModel"


def test_a_status_is_written_only_when_it_says_something_new_and_moves_the_time_only_with_the_status() -> None:
    found = (VALID, RESOLVED, Condition("Programmed", "Programmed", "all"), Condition("Ready", "Ready", "3 of 3"))
    first = status.document(CUSTOM, VERDICT, found, "T1")
    assert first is not None
    known = replace(CUSTOM, status=first)
    assert status.document(known, VERDICT, found, "T2") is None
    fallen = (*found[:2], Condition("Programmed", "NoDataPlane", "none"), found[3])
    second = status.document(known, VERDICT, fallen, "T2")
    assert second is not None
    assert [row["lastTransitionTime"] for row in second["conditions"]] == ["T1", "T1", "T2", "T1"]


def test_sidecars_count_only_where_there_is_no_gateway() -> None:
    rows = [session("side", 7, role="sidecar", namespace="a")]
    seen = plane.view([], rows, frozenset({"tw/gw"}), {})
    assert ([member.name for member in seen.members], seen.gateways) == (["a/side"], False)


def test_every_reason_is_one_of_a_condition_and_has_a_sentence() -> None:
    assert {reason.type for reason in conditions.TABLE} == set(conditions.TYPES)
    assert len(conditions.BY_NAME) == len(conditions.TABLE)
    assert all(reason.about.endswith(".") for reason in conditions.TABLE)
