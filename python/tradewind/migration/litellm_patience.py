"""How long a policy waits and how often it tries: LiteLLM's timeouts and retries."""

from __future__ import annotations

from typing import Any

from tradewind.errors import listed
from tradewind.migration.litellm_models import Deployment
from tradewind.migration.litellm_reading import LONGEST_TIMEOUT_MS, Reading

ATTEMPTS = 10
"""Most additional attempts of a policy."""
USUAL_ATTEMPTS = 2
"""Additional attempts where nothing tells, of LiteLLM and of a policy."""
USUAL_IDLE_MS = 30_000


def spec(reading: Reading, own: list[Deployment], others: list[Deployment], candidates: int) -> dict[str, Any]:
    """Timeouts and attempts of a policy for a group's own deployments and its stand-ins, or, without any, for every call.

    LiteLLM's timeouts are those of one attempt, a policy's `request` holds all.
    """
    tried = _attempts(reading, own, others)
    found: dict[str, Any] = {}
    times = _times(reading, own)
    if times:
        further = min(USUAL_ATTEMPTS if tried is None else tried, candidates - 1)
        found["timeouts"] = _timeouts(times.get("timeout"), times.get("stream_timeout"), further)
    if tried is not None:
        found["retry"] = {"attempts": tried}
    return found


def _attempts(reading: Reading, own: list[Deployment], others: list[Deployment]) -> int | None:
    where = reading.place("num_retries")
    stated = [made.attempts for made in own if made.attempts is not None]
    wanted = max(stated) if stated else reading.layer(where[:-1]).whole("num_retries", 0)
    if wanted is not None and wanted > ATTEMPTS:
        reading.name(where if not stated else own[0].path, "assumed", f"at most {ATTEMPTS} additional attempts are made")
    # LiteLLM goes on to fallbacks however many retries there are; each attempt here is another model.
    least = len(own) + len(others) - 1 if others else 0
    if wanted is None and least <= USUAL_ATTEMPTS:
        return None
    return min(ATTEMPTS, max(USUAL_ATTEMPTS if wanted is None else wanted, least))


def _times(reading: Reading, own: list[Deployment]) -> dict[str, int]:
    found = reading.times()
    for key in ("timeout", "stream_timeout"):
        stated = {made.times[key] for made in own if key in made.times}
        if len(stated) > 1:
            said = f"a policy has one `{key}`: the longest of those that `{own[0].group}` has"
            reading.name(own[0].path, "assumed", said)
        if stated:
            found[key] = max(stated)
    return found


def name_retries(reading: Reading, alone: list[str]) -> None:
    """Says of what is asked for every call that groups of one model, without a stand-in, have no use for it."""
    where = reading.place("num_retries")
    if alone and reading.layer(where[:-1]).whole("num_retries", 0):
        said = f"each further attempt goes to another model; without one, a call is tried once: {listed(alone)}"
        reading.name(where, "assumed", said)


def _timeouts(each: int | None, first: int | None, further: int) -> dict[str, str]:
    """Of the time of an attempt and of its first byte in a stream, in ms, and of how many further attempts there can be."""
    if each is None:
        given = first or 0
        return {"firstToken": _duration(given)} | ({"request": _duration(given)} if given > 60_000 else {})
    request = min(each * (further + 1), LONGEST_TIMEOUT_MS)
    first = min(first or each, request)
    # An answer that is no stream may take both to its first byte: as long as an attempt.
    idle = max(each - first, min(each, USUAL_IDLE_MS))
    spec = {"request": _duration(request), "firstToken": _duration(first)}
    return spec | ({"streamIdle": _duration(idle)} if idle != USUAL_IDLE_MS else {})


def _duration(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return (f"{seconds}s" if seconds else "") + (f"{rest}ms" if rest else "")
