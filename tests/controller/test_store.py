"""What the controller remembers of the cluster: events in any order, and lists that remove what is gone."""

from __future__ import annotations

from typing import Any

import pytest

from tradewind.controller.store import Custom, Key, Pod, Replaced, Service, Shelf

POOL = Key("ModelPool", "a", "chat")


def pool(version: int, *, name: str = "chat", uid: str = "u1", generation: int = 1, status: str = "") -> dict[str, Any]:
    return {
        "kind": "ModelPool",
        "metadata": {
            "name": name,
            "namespace": "a",
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"generation": generation},
        "status": {"said": status},
    }


class Seen:
    """A shelf with counts of what it told."""

    def __init__(self) -> None:
        self.changed = self.touched = 0
        self.shelf: Shelf[Custom] = Shelf(Custom, self._change, self._touch)

    def _change(self) -> None:
        self.changed += 1

    def _touch(self) -> None:
        self.touched += 1

    def replace(self, bodies: list[dict[str, Any]], version: int, settled: int = 0) -> Replaced:
        return self.shelf.replace(map(self.shelf.cut, bodies), version, settled=settled)

    @property
    def versions(self) -> dict[str, int]:
        return {key.name: custom.version for key, custom in self.shelf.all().items()}


def test_a_status_is_no_change_of_what_a_pass_looks_at() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(1))
    seen.shelf.apply("MODIFIED", pool(2, status="new"))
    assert (seen.changed, seen.touched) == (1, 1)
    seen.shelf.apply("MODIFIED", pool(3, generation=2))
    assert seen.changed == 2


def test_states_that_differ_in_their_status_share_their_spec() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(1))
    before = seen.shelf.all()[POOL]
    seen.shelf.apply("MODIFIED", pool(2, status="new"))
    assert seen.shelf.all()[POOL].spec is before.spec


def test_an_older_event_does_not_undo_a_newer_one() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(5, generation=2))
    seen.shelf.apply("MODIFIED", pool(4, generation=1))
    seen.shelf.apply("DELETED", pool(3))
    assert seen.versions == {"chat": 5}


def test_delete_and_create_anew_with_an_equal_generation_is_a_change() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(1))
    seen.shelf.apply(None, pool(9, uid="u2"))
    assert seen.changed == 2


def test_a_list_removes_what_no_event_told_of() -> None:
    seen = Seen()
    seen.shelf.apply(None, pool(1))
    seen.shelf.apply(None, pool(2, name="gone"))
    replaced = seen.replace([pool(1)], version=7)
    assert (seen.versions, replaced.ahead) == ({"chat": 1}, False)
    assert [key.name for key in replaced.ghosts] == ["gone"]


def test_a_list_does_not_remove_what_came_after_it() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(8, name="new"))
    assert seen.shelf.replace([], version=7).ahead
    assert seen.versions == {"new": 8}
    # A second list that is newer finds it; one that is still older comes from a cluster that went back.
    assert not seen.replace([pool(8, name="new")], version=9, settled=8).ahead
    assert seen.versions == {"new": 8}
    assert not seen.replace([pool(3, name="old")], version=4, settled=8).ahead
    assert seen.versions == {"old": 3}


def test_a_list_of_one_kind_leaves_the_others() -> None:
    seen = Seen()
    seen.shelf.apply(None, {**pool(1), "kind": "RoutingPolicy"})
    assert seen.shelf.replace([], 5, "ModelPool").ghosts == ()
    assert seen.shelf.replace([], 5, "RoutingPolicy").ghosts == (Key("RoutingPolicy", "a", "chat"),)


@pytest.mark.parametrize(
    ("status", "deleted", "ready"),
    [
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, False, True),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False, False),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True, False),
        ({"phase": "Failed", "conditions": [{"type": "Ready", "status": "True"}]}, False, False),
        ({}, False, False),
    ],
)
def test_a_pod_counts_while_it_is_ready_and_stays(status: dict[str, Any], deleted: bool, ready: bool) -> None:
    meta = {"name": "gw", "namespace": "tw", "uid": "p", "resourceVersion": "1"} | (
        {"deletionTimestamp": "now"} if deleted else {}
    )
    pod = Pod.of({"metadata": meta, "spec": {"serviceAccountName": "tradewind-gateway"}, "status": status})
    assert (pod.account, pod.ready) == ("tw/tradewind-gateway", ready)


def test_a_service_without_ports_has_none() -> None:
    meta = {"name": "s", "namespace": "a", "uid": "x", "resourceVersion": "1"}
    service = Service.of({"metadata": meta, "spec": {"type": "ExternalName"}})
    assert (service.external, service.ports) == (True, frozenset())


def test_what_was_deleted_is_not_brought_back_by_an_older_word() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(3))
    seen.shelf.apply("DELETED", pool(6))
    seen.shelf.apply("MODIFIED", pool(5))  # Such as the answer to our own patch.
    assert seen.replace([pool(3)], version=4).ahead  # A list that began before.
    assert seen.versions == {}
    seen.shelf.apply("ADDED", pool(7, uid="u2"))
    assert seen.versions == {"chat": 7}


def test_a_cluster_that_went_back_brings_back_what_was_deleted() -> None:
    seen = Seen()
    seen.shelf.apply("ADDED", pool(3))
    seen.shelf.apply("DELETED", pool(6))
    assert seen.replace([pool(3)], version=4).ahead
    assert not seen.replace([pool(3)], version=5, settled=seen.shelf.newest()).ahead
    assert seen.versions == {"chat": 3}
