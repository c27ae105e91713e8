"""Asks a model all anchors that it has not answered yet, and a judge about the answers that no rule can check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tradewind.errors import UpstreamError, UpstreamRejected
from tradewind.training import judging, scoring
from tradewind.training.anchors import Anchor
from tradewind.training.transcript import Transcript, Verdict
from tradewind.training.upstream import Client, Spent

Say = Callable[[str, int, int], None]


@dataclass
class Missing:
    """What was not answered, and why."""

    spent: bool = False
    """The budget ended before the anchors did."""
    failed: dict[str, str] = field(default_factory=dict)
    """By anchor, the error."""


async def answers(client: Client, asked: Sequence[Anchor], transcript: Transcript, concurrency: int, say: Say) -> Missing:
    """Asks what is missing in the transcript. Raises `UpstreamRejected` where no call can succeed."""

    async def one(anchor: Anchor) -> None:
        transcript.add_reply(anchor, await client.ask(anchor.text, scoring.named(anchor.kind).instruction))

    todo = [anchor for anchor in asked if transcript.reply(anchor) is None]
    return await _all(todo, one, concurrency, lambda done: say("asking", len(asked) - len(todo) + done, len(asked)))


async def verdicts(client: Client, asked: Sequence[Anchor], transcript: Transcript, concurrency: int, say: Say) -> Missing:
    """Has the answers to `open` anchors judged that have no verdict of this judge."""
    judge = client.target.model

    async def one(anchor: Anchor) -> None:
        reply = transcript.reply(anchor)
        if reply is not None:
            found = judging.verdict((await client.ask(judging.question(anchor, reply.text), judging.INSTRUCTION)).text)
            transcript.add_verdict(anchor, Verdict(judge, found))

    todo = [anchor for anchor in asked if transcript.verdict(anchor, judge) is None]
    return await _all(todo, one, concurrency, lambda done: say("judging", len(asked) - len(todo) + done, len(asked)))


async def _all(
    todo: Sequence[Anchor], one: Callable[[Anchor], Awaitable[None]], concurrency: int, say: Callable[[int], None]
) -> Missing:
    """So many at a time; the first refusal of every call ends them all."""
    missing, left, done = Missing(), iter(todo), 0
    say(0)

    async def work() -> None:
        nonlocal done
        for anchor in left:
            try:
                await one(anchor)
            except Spent:
                missing.spent = True
                return
            except UpstreamRejected:
                raise
            except UpstreamError as error:
                missing.failed[anchor.id] = error.message
            done += 1
            say(done)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(todo)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return missing
