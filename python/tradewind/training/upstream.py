"""Asks a model over OpenAI's chat completions: several calls at a time, again where that can help, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tradewind.errors import UpstreamConnect, UpstreamError, UpstreamInvalid, UpstreamRejected, UpstreamStatus
from tradewind.training.prices import Price

ATTEMPTS = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
BYTES_PER_TOKEN = 4.0
FRAME_TOKENS = 16
"""What a chat template adds, about."""
RETRIED = frozenset({408, 409, 425, 429})
"""And every status from 500."""
REJECTED = frozenset({401, 403, 404})
"""Statuses that every call would get."""

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Target:
    """Whom to ask, and how."""

    url: str
    """Base URL, up to and without `/chat/completions`."""
    model: str
    """What the upstream calls it."""
    key: str | None = None
    max_tokens: int = 2048
    timeout_s: float = 120.0


@dataclass(frozen=True)
class Reply:
    """What a model wrote."""

    text: str
    finish: str | None
    """`length` where it was cut off."""
    input_tokens: int
    output_tokens: int
    """As reported, else bytes / 4."""


@dataclass
class Budget:
    """Dollars that may be spent. What a call could cost at most is set aside before it is made."""

    price: Price | None = None
    max_usd: float | None = None
    spent_usd: float = 0.0
    _reserved_usd: float = field(default=0.0, init=False)

    def reserve(self, most_input: int, most_output: int) -> float | None:
        """Sets aside what a call may cost; `None` where that is too much."""
        most = self.cost(most_input, most_output)
        if self.max_usd is not None and self.spent_usd + self._reserved_usd + most > self.max_usd:
            return None
        self._reserved_usd += most
        return most

    def settle(self, reserved: float, input_tokens: int, output_tokens: int) -> None:
        """Takes what a call did cost in place of what was set aside."""
        self._reserved_usd -= reserved
        self.spent_usd += self.cost(input_tokens, output_tokens)

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """USD; 0 without a price."""
        if self.price is None:
            return 0.0
        price = self.price
        return (input_tokens * price.input_usd_per_million + output_tokens * price.output_usd_per_million) / 1e6


class Spent(Exception):
    """The budget has no room for another call."""


class Client:
    """Calls one model. The transport and how to wait come from outside."""

    def __init__(self, target: Target, budget: Budget, http: httpx.AsyncClient, wait: Wait = asyncio.sleep) -> None:
        self.target = target
        self.budget = budget
        self._http = http
        self._wait = wait
        self._parameters: dict[str, Any] = {"temperature": 0, "max_tokens": target.max_tokens}

    async def ask(self, text: str, instruction: str = "") -> Reply:
        """One answer. Raises `Spent`, `UpstreamRejected` where no call can succeed, another `UpstreamError` else."""
        system = [{"role": "system", "content": instruction}] if instruction else []
        messages = [*system, {"role": "user", "content": text}]
        most_input = len((instruction + text).encode()) + 4 * FRAME_TOKENS
        reserved = self.budget.reserve(most_input, self.target.max_tokens)
        if reserved is None:
            raise Spent
        used = (0, 0)
        try:
            reply = await self._until_answered(messages)
            used = (reply.input_tokens, reply.output_tokens)
        finally:
            self.budget.settle(reserved, *used)
        return reply

    async def _until_answered(self, messages: list[dict[str, str]]) -> Reply:
        attempt = 0
        while True:
            attempt += 1
            sent = self._parameters
            try:
                response = await self._post(messages)
            except httpx.HTTPError as error:
                failure: UpstreamError = UpstreamConnect(
                    "upstream_connect", f"{self.target.url} cannot be reached: {type(error).__name__} {error}".rstrip()
                )
                hint = None
            else:
                if response.status_code == httpx.codes.OK:
                    return _reply(response, messages)
                failure, hint = _failure(response), response.headers.get("retry-after")
                if response.status_code == httpx.codes.BAD_REQUEST and self._adapt(sent, response.text):
                    attempt -= 1
                    continue
                if response.status_code < 500 and response.status_code not in RETRIED:
                    raise failure
            if attempt >= ATTEMPTS:
                raise failure
            await self._wait(_pause(attempt, hint))

    async def _post(self, messages: list[dict[str, str]]) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.target.key}"} if self.target.key else {}
        body = {"model": self.target.model, "messages": messages, **self._parameters}
        url = self.target.url.rstrip("/") + "/chat/completions"
        return await self._http.post(url, json=body, headers=headers, timeout=self.target.timeout_s)

    def _adapt(self, sent: dict[str, Any], said: str) -> bool:
        """Whether a refusal is about a parameter that can go, or went while the call was under way: reasoning models take no
        temperature, and count otherwise."""
        kept = dict(sent)
        if "max_completion_tokens" in said and "max_tokens" in kept:
            kept["max_completion_tokens"] = kept.pop("max_tokens")
        elif "temperature" in said and "temperature" in kept:
            del kept["temperature"]
        else:
            return False
        if sent is self._parameters:
            self._parameters = kept
        return True


def tokens(text: str) -> int:
    """About as many."""
    return round(len(text.encode()) / BYTES_PER_TOKEN)


def _pause(attempt: int, hint: str | None) -> float:
    """Seconds: what the upstream says, else twice as long each time."""
    try:
        told = float(hint) if hint else 0.0
    except ValueError:
        told = 0.0
    return min(max(told, FIRST_WAIT_S * 2.0 ** (attempt - 1)), LONGEST_WAIT_S)


def _failure(response: httpx.Response) -> UpstreamError:
    said = f"{response.url} answered {response.status_code}: {response.text[:200]}"
    if response.status_code in REJECTED:
        return UpstreamRejected("upstream_rejected", said)
    return UpstreamStatus("upstream_status", said)


def _reply(response: httpx.Response, messages: list[dict[str, str]]) -> Reply:
    try:
        body = response.json()
        choice = body["choices"][0]
        text = choice["message"].get("content") or ""
        usage = body.get("usage") or {}
        asked = sum(tokens(message["content"]) for message in messages) + FRAME_TOKENS
        return Reply(
            text=str(text),
            finish=choice.get("finish_reason"),
            input_tokens=int(usage.get("prompt_tokens") or asked),
            output_tokens=int(usage.get("completion_tokens") or tokens(text)),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        message = f"{response.url} answered something that is no chat completion: {type(error).__name__} {error}"
        raise UpstreamInvalid("upstream_invalid", message) from None
