"""An entry of `model_list` becomes a model of a pool, with price, limits and quality, or is left out for a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tradewind.migration import litellm_groups, litellm_upstreams
from tradewind.migration.litellm_reading import Layers, LeftOut, Reading
from tradewind.migration.litellm_tables import CHAT
from tradewind.resources import formats
from tradewind.resources.documents import Path

POOL_MODELS = 64
POLICY_POOLS = 16
CAPABILITIES = {"Tools": "supports_function_calling", "JSON": "supports_response_schema"}
CONTEXT_TOKENS, OUTPUT_TOKENS = 8192, 4096
"""Assumed where neither the configuration nor the price list tells: what even old models hold."""
PRIOR = "0.5"
"""Quality that is assumed of a model without a profile."""


@dataclass(frozen=True)
class Deployment:
    """A model of a pool, and what the policies ask of the entry that it comes from."""

    group: str
    path: Path
    model: dict[str, Any]
    secret_key: str
    """What its key is called in the Secret; empty where it needs none."""
    shares: dict[str, Decimal]
    """What may weigh the draw, by LiteLLM's name: `weight`, `rpm`, `tpm`."""
    order: int | None
    attempts: int | None
    times: dict[str, int]
    """`timeout` and `stream_timeout`, in ms."""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the model, in its pool."""
        name: str = self.model["name"]
        return name


def read(reading: Reading, profiles: frozenset[str], prices: Mapping[str, Any]) -> list[Deployment]:
    """All that can be models; the others are named."""
    entries = _Entries(reading, profiles, prices)
    if not entries.rows:
        reading.name(("model_list",), "left_out", "there is no model")
    for index, entry in enumerate(entries.rows):
        path: Path = ("model_list", index)
        try:
            entries.made.append(entries.deployment(entry, path))
        except LeftOut as why:
            reading.name(why.path, "left_out", why.message, why.accepted)
            reading.named.add(path)  # Why it is left out is said; its parts need no word.
    return entries.made


class _Entries:
    def __init__(self, reading: Reading, profiles: frozenset[str], prices: Mapping[str, Any]) -> None:
        self.reading = reading
        self.rows: list[Any] = reading.config["model_list"]
        self.profiles = profiles
        self.prices = prices
        self.keys = litellm_upstreams.Keys()
        self.made: list[Deployment] = []

    def deployment(self, entry: Any, path: Path) -> Deployment:
        if len(self.made) >= POOL_MODELS * POLICY_POOLS:
            raise LeftOut(path, f"a policy refers to {POLICY_POOLS} pools of {POOL_MODELS} models at most")
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        group = entry.get("model_name") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or not isinstance(group, str) or not isinstance(params.get("model"), str):
            raise LeftOut(path, "a model needs `model_name` and `litellm_params.model`")
        self.reading.carried.add((*path, "model_name"))
        at = (*path, "litellm_params")
        full = self.reading.resolved(params["model"])
        if full is None:
            raise LeftOut((*at, "model"), "this is a variable that the configuration does not set; write the model's name")
        if "*" in group or "*" in full:
            raise LeftOut(path, f"`{group}`: a pool lists its models; write one entry for each")
        if not re.fullmatch(formats.NAME.pattern.removesuffix("$"), group):
            raise LeftOut((*path, "model_name"), f"`{group}` is no name here; expected {formats.NAME.about}")
        self.reading.carried.add((*at, "model"))
        info = Layers(self.reading, entry.get("model_info"), (*path, "model_info"))
        given = Layers(self.reading, params, at).over(litellm_upstreams.credentials(self.reading, params, at))
        provider, name, bare = litellm_upstreams.provider(given, at, full)
        known = self._known(info.text("base_model"), full, bare)
        mode = info.text("mode") or known.get("mode") or ""
        if mode not in CHAT:
            raise LeftOut(path, f"`{group}` is a model for {mode}; only chat is routed")
        upstream = litellm_upstreams.upstream(given, at, provider, name, bare)
        price = self._price(given, info, known, path, f"`{group}` ({full})")
        # From here on nothing leaves it out: what is asked for and assumed is of a model that there is.
        secret_key = self.keys.key(given, provider, at, group, own=upstream["url"] == provider.url)
        if secret_key:
            upstream["credentials"] = {"secretKeyRef": {"name": litellm_upstreams.SECRET, "key": secret_key}}
        model = {"name": self._unique(full), "upstream": upstream, "price": price}
        model["limits"] = self._limits(given, info, known, path, full)
        capabilities = self._capabilities(info, known, path, full)
        if capabilities:
            model["capabilities"] = capabilities
        model["quality"] = self._quality(info.text("base_model"), full, bare, path)
        attempts = [tried for key in ("num_retries", "max_retries") if (tried := given.whole(key, 0)) is not None]
        return Deployment(
            group,
            path,
            model,
            secret_key=secret_key,
            shares=_shares(given),
            order=given.whole("order", -1000),
            attempts=max(attempts, default=None),
            times=given.times("timeout", "stream_timeout"),
        )

    def _known(self, base: str | None, full: str, model: str) -> Mapping[str, Any]:
        """The row of the price list."""
        for name in (base, full, model, model.rpartition("/")[2]):
            row = self.prices.get(name) if name else None
            if isinstance(row, Mapping):
                return row
        return {}

    def _price(self, given: Layers, info: Layers, known: Mapping[str, Any], path: Path, what: str) -> dict[str, str]:
        stated = given.over(info).over(Layers(self.reading, dict(known), None))
        price = {
            "inputPerMillion": stated.usd_per_million("input_cost_per_token", path),
            "outputPerMillion": stated.usd_per_million("output_cost_per_token", path),
        }
        if None in price.values():
            said = f"{what} has no price: give `input_cost_per_token` and `output_cost_per_token`, or `--prices FILE`"
            raise LeftOut(path, said)
        price["cachedInputPerMillion"] = stated.usd_per_million("cache_read_input_token_cost", path)
        return {key: text for key, text in price.items() if text is not None}

    def _limits(self, given: Layers, info: Layers, known: Mapping[str, Any], path: Path, full: str) -> dict[str, int]:
        def tokens(*keys: str) -> int | None:
            held = info.over(Layers(self.reading, dict(known), None))
            return next((found for key in keys if (found := held.whole(key, 1, 100_000_000)) is not None), None)

        context, output = tokens("max_input_tokens"), tokens("max_output_tokens", "max_tokens")
        if context is None or output is None:
            context, output = (
                context or max(CONTEXT_TOKENS, output or 0),
                output or min(OUTPUT_TOKENS, context or OUTPUT_TOKENS),
            )
            said = f"`{full}`: the configuration does not tell what it holds; {context} tokens of context, {output} of answer"
            self.reading.name(path, "assumed", said)
        if output > context:
            said = f"`{full}`: an answer may be longer than a prompt; {output} tokens hold both together"
            self.reading.name(path, "assumed", said)
            context = output
        limits = {"contextTokens": context, "outputTokens": output}
        parallel = given.whole("max_parallel_requests", 1, 1_000_000)
        if parallel is not None:
            limits["concurrentRequestsPerGateway"] = parallel
        return limits

    def _capabilities(self, info: Layers, known: Mapping[str, Any], path: Path, full: str) -> list[str]:
        """Where nothing tells, a model is taken to know both: LiteLLM would send it both."""
        given = {name: info.flag(key) for name, key in CAPABILITIES.items()}
        if known:
            given = {name: known.get(CAPABILITIES[name]) is True if told is None else told for name, told in given.items()}
        untold = [name for name, told in given.items() if told is None]
        if untold:
            self.reading.name(path, "assumed", f"`{full}`: it is taken to know {' and '.join(untold)}")
        return [name for name, told in given.items() if told or told is None]

    def _quality(self, base: str | None, full: str, model: str, path: Path) -> dict[str, str]:
        for each in (base, full, model):
            bare = (each or "").rpartition("/")[2].lower()
            # Fireworks writes 3.1 as v3p1; a date or `-latest` is the same model.
            plain = re.sub(r"-v(\d+)p(\d+)-", r"-\1.\2-", bare)
            for name in (each, bare, plain, re.sub(r"-(20\d\d-?\d\d-?\d\d|latest)$", "", plain)):
                if name in self.profiles:
                    return {"profile": str(name)}
        said = f"`{full}` has no profile: a quality of {PRIOR} is assumed; `tradewind profile` gives one from 400 answers"
        self.reading.name(path, "assumed", said)
        return {"prior": PRIOR}

    def _unique(self, wanted: str) -> str:
        """A name in the pool, which is no alias: that of LiteLLM's `model`, with a number where it is taken."""
        groups = {entry.get("model_name") for entry in self.rows if isinstance(entry, dict)}
        taken = {name for name in groups if isinstance(name, str)} | {"auto"} | {made.name for made in self.made}
        taken |= litellm_groups.alias_targets(self.reading).keys()
        base = re.sub(r"[^A-Za-z0-9._/:-]", "-", wanted).lstrip("._/:-")[:240] or "model"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return name


def _shares(given: Layers) -> dict[str, Decimal]:
    shares = {"weight": given.number("weight")}
    # As rates they are named: what weighs the draw does not limit it.
    shares |= {key: given.number(key, take=False) for key in ("rpm", "tpm")}
    return {key: share for key, share in shares.items() if share is not None and share >= 0}
