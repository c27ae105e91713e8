"""The books of both sides agree: what clients saw, the ledger, the simulators' logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from calls import Seen

from simulators import Upstream

Document = dict[str, Any]
Figures = tuple[int, ...]


def check(seen: Sequence[Seen], ledger: Sequence[Document], upstreams: Sequence[Upstream]) -> list[Document]:
    """Checks that each call has one outcome which tells what the client saw, and that attempts with reported usage agree with
    the simulators' logs to the nano-dollar. Gives the outcomes in the order of the calls.
    """
    outcomes = {line["id"]: line for line in ledger}
    assert len(outcomes) == len(ledger) == len(seen)
    logs = {upstream.name: upstream.lines() for upstream in upstreams}
    ordered = [outcomes[call.headers["x-tradewind-decision"]] for call in seen]
    for call, outcome in zip(seen, ordered, strict=True):
        if call.done and call.status == 200:
            assert outcome["error"] is None
            check_answered(call, outcome["attempts"][-1], logs)
    attempts = [attempt for outcome in ordered for attempt in outcome["attempts"]]
    assert {attempt["usage"] for attempt in attempts} <= {"reported", "estimated"}
    for upstream in upstreams:
        reported = Counter(
            booked(attempt) for attempt in attempts if served(attempt) == upstream.name and attempt["usage"] == "reported"
        )
        logged = Counter(counted(line) for line in logs[upstream.name] if line["usage_reported"])
        # A kill may fall between the log's line and the bytes that carry the usage: then the log has more, never less.
        assert reported <= logged
        if upstream.alive:
            assert reported == logged
    return ordered


def check_answered(call: Seen, attempt: Document, logs: dict[str, list[Document]]) -> None:
    """An answer that a client has in full: its log line, found by the answer's id, and its attempt are the same sums."""
    assert (attempt["usage"], attempt["error"]) == ("reported", None)
    assert attempt["model"] == call.headers["x-tradewind-model"]
    (line,) = (line for line in logs[served(attempt)] if line["id"] == call.events[0]["id"])
    assert line["user"] == call.user
    assert counted(line) == booked(attempt)


def served(attempt: Document) -> str:
    """The upstream of an attempt."""
    name: str = attempt["model"].rsplit("/", 1)[1]
    return name


def booked(attempt: Document) -> Figures:
    """What the ledger says an attempt used and cost."""
    return tuple(attempt[name] for name in ("input_tokens", "cached_tokens", "output_tokens", "cost_nanousd"))


def counted(line: Document) -> Figures:
    """What a simulator's log says."""
    return tuple(line[name] for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "cost_nanousd"))
