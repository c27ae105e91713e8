"""Asks a model the anchors and scores its answers: what it will cost, the asking, the scores."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np

from tradewind.training import asking, forecast, scoring, upstream
from tradewind.training.anchors import Anchor
from tradewind.training.asking import Missing, Say
from tradewind.training.prices import Price
from tradewind.training.profiling import Answered, Frozen
from tradewind.training.recipe import silent
from tradewind.training.transcript import Transcript
from tradewind.training.upstream import Budget, Client, Target, Wait

NOTHING_MISSING = Missing()


@dataclass(frozen=True)
class Party:
    """A model to be called, at what price."""

    target: Target
    price: Price | None = None


@dataclass(frozen=True)
class Terms:
    """Who is asked, who judges, and within which bounds."""

    party: Party
    judge: Party | None = None
    """Scores answers to `open` anchors."""
    max_usd: float | None = None
    """For both together; they have prices then."""
    concurrency: int = 8
    """Calls at a time."""


@dataclass(frozen=True)
class Means:
    """Network and time; tests bring others."""

    transport: httpx.AsyncBaseTransport | None = None
    """`None` is the network."""
    wait: Wait = asyncio.sleep


@dataclass(frozen=True)
class Estimate:
    """What asking will cost."""

    calls: int
    input_tokens: int
    output_tokens: int
    """As long as the known models' answers, on average."""
    most_output_tokens: int
    """If every answer is as long as is allowed."""
    usd: float | None
    """`None` without a price."""
    most_usd: float | None

    def __str__(self) -> str:
        tokens = f"{self.calls} calls, about {self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        if self.usd is None or self.most_usd is None:
            return f"{tokens}; at most {self.most_output_tokens:,} out. Without a price nothing is said of dollars"
        return f"{tokens}: about ${self.usd:.4f}, at most ${self.most_usd:.4f}"


@dataclass(frozen=True)
class Interviewed:
    """What came of it."""

    answered: Answered
    """The anchors that have a score, in their order."""
    cut_off: int
    """Answers that reached the limit of tokens."""
    missing: Mapping[str, str]
    """By anchor without a score, why."""
    spent_usd: float | None = None
    """In this run; `None` without a price."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"cut_off": self.cut_off, "missing": dict(self.missing), "spent_usd": self.spent_usd}


def estimate(frozen: Frozen, anchors: Sequence[Anchor], transcript: Transcript, terms: Terms) -> Estimate:
    """Of what is not in the transcript yet."""
    party, judge = terms.party, terms.judge
    todo = [anchor for anchor in anchors if transcript.reply(anchor) is None]
    calls, tokens = len(todo), _tokens_of(todo)
    long = _expected_output(frozen, todo)
    most = calls * party.target.max_tokens
    usd, most_usd = (_usd(party.price, tokens, each) for each in (long, most))
    if judge is not None:
        judged = [
            anchor for anchor in anchors if anchor.kind == "open" and transcript.verdict(anchor, judge.target.model) is None
        ]
        read = _tokens_of(judged) + len(judged) * 200
        written, most_written = 20 * len(judged), judge.target.max_tokens * len(judged)
        usd = _sum(usd, _usd(judge.price, read + _expected_output(frozen, judged), written))
        most_usd = _sum(most_usd, _usd(judge.price, read + len(judged) * party.target.max_tokens, most_written))
        calls, tokens, long, most = calls + len(judged), tokens + read, long + written, most + most_written
    return Estimate(calls, tokens, long, most, usd, most_usd)


def hold(
    anchors: Sequence[Anchor], transcript: Transcript, terms: Terms, say: Say = silent, means: Means = Means()
) -> Interviewed:
    """Asks what is missing, has judged what has to be, and scores. Raises `UpstreamError` where no call can succeed."""
    missing, spent = asyncio.run(_ask(anchors, transcript, terms, say, means))
    found = scored(anchors, transcript, terms.judge.target.model if terms.judge else None, missing, say)
    return replace(found, spent_usd=spent if terms.party.price is not None else None)


def scored(
    anchors: Sequence[Anchor],
    transcript: Transcript,
    judge: str | None = None,
    missing: Missing = NOTHING_MISSING,
    say: Say = silent,
) -> Interviewed:
    """The scores of what was answered."""
    cells: list[tuple[Anchor, float, int]] = []
    lost: dict[str, str] = {}
    cut_off = 0
    for done, anchor in enumerate(anchors, 1):
        reply = transcript.reply(anchor)
        score = _score(anchor, reply.text, transcript, judge) if reply is not None else None
        if reply is None or score is None:
            lost[anchor.id] = missing.failed.get(anchor.id, "the budget was spent" if missing.spent else "not answered")
        else:
            cells.append((anchor, score, reply.output_tokens))
            cut_off += reply.finish == "length"
        say("scoring", done, len(anchors))
    return Interviewed(
        answered=Answered(
            texts=tuple(anchor.text for anchor, _, _ in cells),
            score=np.array([score for _, score, _ in cells]),
            output_tokens=np.array([float(tokens) for _, _, tokens in cells]),
            domains=tuple(anchor.domain for anchor, _, _ in cells),
        ),
        cut_off=cut_off,
        missing=lost,
    )


def _score(anchor: Anchor, written: str, transcript: Transcript, judge: str | None) -> float | None:
    if anchor.kind == "open" and judge is not None:
        return transcript.verdict(anchor, judge)
    return scoring.score(anchor, written)


async def _ask(
    anchors: Sequence[Anchor], transcript: Transcript, terms: Terms, say: Say, means: Means
) -> tuple[Missing, float]:
    """(what is missing, dollars spent)"""
    many = terms.concurrency
    async with httpx.AsyncClient(transport=means.transport, limits=httpx.Limits(max_connections=many)) as http:
        budget = Budget(terms.party.price, terms.max_usd)
        client = Client(terms.party.target, budget, http, means.wait)
        missing = await asking.answers(client, anchors, transcript, many, say)
        if terms.judge is None:
            return missing, budget.spent_usd
        rest = Budget(terms.judge.price, None if terms.max_usd is None else terms.max_usd - budget.spent_usd)
        judge = Client(terms.judge.target, rest, http, means.wait)
        judged = [anchor for anchor in anchors if anchor.kind == "open"]
        more = await asking.verdicts(judge, judged, transcript, many, say)
        both = Missing(missing.spent or more.spent, {**more.failed, **missing.failed})
        return both, budget.spent_usd + rest.spent_usd


def _tokens_of(anchors: Sequence[Anchor]) -> int:
    """Of the prompts, with what is sent before them."""
    texts = (anchor.text + scoring.named(anchor.kind).instruction for anchor in anchors)
    return sum(upstream.tokens(text) + upstream.FRAME_TOKENS for text in texts)


def _expected_output(frozen: Frozen, anchors: Sequence[Anchor]) -> int:
    """Tokens, were the answers as long as the known models' are forecast to be, on average."""
    known = list(frozen.known.values())
    if not anchors or not known:
        return 0
    prediction = frozen.predict([anchor.text for anchor in anchors])
    return round(float(forecast.output_tokens(prediction, frozen.parameters, known).mean(axis=1).sum()))


def _usd(price: Price | None, input_tokens: float, output_tokens: float) -> float | None:
    return None if price is None else Budget(price).cost(input_tokens, output_tokens)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
