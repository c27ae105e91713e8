"""LiteLLM's proxy configuration becomes pools and policies. Each key is either carried over or named: none is dropped silently.

A deployment of `model_list` is a model; deployments of one `model_name` are the candidates of a policy that has that name as
alias, with the groups of its `fallbacks` as stand-ins; the candidates carry a label of that policy. A further policy, `auto`,
routes between all of them by what they are worth. Values of keys appear in no output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tradewind.errors import Problem, UsageError, listed
from tradewind.migration.litellm_reading import LONGEST_TIMEOUT_MS, VARIABLE, Layers, Reading
from tradewind.migration.litellm_tables import CHAT, FOREIGN, INFERRED, PROVIDERS, STRATEGIES, Provider
from tradewind.resources import formats
from tradewind.resources.documents import Document, Path

SECRET = "litellm-keys"
"""The Secret that holds the upstreams' keys."""
NO_KEYS = ("", "none", "fake-key", "dummy", "empty")
"""What is written as the key of an upstream that asks for none, in lower case."""
CAPABILITIES = {"Tools": "supports_function_calling", "JSON": "supports_response_schema"}
POOL_MODELS = 64
POLICY_POOLS = 16
ALIASES = 32
LABELS = 32
ATTEMPTS = 10
"""Most additional attempts of a policy."""
USUAL_ATTEMPTS = 2
"""Additional attempts where nothing tells, of LiteLLM and of a policy."""
USUAL_IDLE_MS = 30_000
CONTEXT_TOKENS, OUTPUT_TOKENS = 8192, 4096
"""Assumed where neither the configuration nor the price list tells: what even old models hold."""
PRIOR = "0.5"
"""Quality that is assumed of a model without a profile."""
WILLINGNESS_TO_PAY_USD = "0.01"
API = "tradewind.dev/v1alpha1"


@dataclass(frozen=True)
class Migration:
    """What a configuration became."""

    resources: list[dict[str, Any]]
    problems: list[Problem]
    """What could not be carried over (`not_carried`), left a model out (`left_out`), or had to be assumed (`assumed`)."""
    secret_keys: list[str]
    """Keys that Secret `litellm-keys` must have, named like the variables that LiteLLM read."""


@dataclass(frozen=True)
class _Deployment:
    group: str
    path: Path
    model: dict[str, Any]
    shares: dict[str, Decimal]
    """What may weigh the draw, by LiteLLM's name: `weight`, `rpm`, `tpm`."""
    order: int | None
    attempts: int | None
    times: dict[str, int]
    """`timeout` and `stream_timeout`, in ms."""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        name: str = self.model["name"]
        return name


class _LeftOut(Exception):
    """Why a deployment cannot be a model."""

    def __init__(self, path: Path, message: str, accepted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.accepted = accepted


def translate(
    document: Document,
    profiles: frozenset[str],
    prices: Mapping[str, Any],
    namespace: str = "default",
    pool: str = "chat",
) -> Migration:
    """Carries a configuration over. `profiles` are names of the predictor's manifest; `prices` is LiteLLM's
    `model_prices_and_context_window.json`, or empty. Raises `UsageError` where this is no configuration of LiteLLM's proxy.
    """
    if not isinstance(document.value, dict) or not isinstance(document.value.get("model_list"), list):
        raise UsageError(f"{document.file} is no configuration of LiteLLM's proxy: it has no `model_list`", document.file)
    return _Translation(Reading(document), profiles, prices, namespace, pool).run()


class _Translation:
    def __init__(
        self, reading: Reading, profiles: frozenset[str], prices: Mapping[str, Any], namespace: str, pool: str
    ) -> None:
        self.reading = reading
        self.entries: list[Any] = reading.config["model_list"]
        self.profiles = profiles
        self.prices = prices
        self.namespace = namespace
        self.pool = pool
        self.secret_keys: list[str] = []
        self.literal_keys: dict[str, str] = {}
        """Keys that stand in the configuration, by what they are to be called: to tell two apart, never to be shown."""
        self.deployments: list[_Deployment] = []

    def run(self) -> Migration:
        if not self.entries:
            self.reading.name(("model_list",), "left_out", "there is no model")
        for index, entry in enumerate(self.entries):
            path: Path = ("model_list", index)
            try:
                self.deployments.append(self._deployment(entry, path))
            except _LeftOut as why:
                self.reading.name(why.path, "left_out", why.message, why.accepted)
                self.reading.named.add(path)  # Why it is left out is said; its parts need no word.
        resources = self._resources() if self.deployments else []
        self.reading.name_the_rest()
        order = sorted(self.reading.problems, key=lambda problem: problem.line or 0)
        return Migration(resources, order, sorted(set(self.secret_keys)))

    # Models.

    def _deployment(self, entry: Any, path: Path) -> _Deployment:
        if len(self.deployments) >= POOL_MODELS * POLICY_POOLS:
            raise _LeftOut(path, f"a policy refers to {POLICY_POOLS} pools of {POOL_MODELS} models at most")
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        group = entry.get("model_name") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or not isinstance(group, str) or not isinstance(params.get("model"), str):
            raise _LeftOut(path, "a model needs `model_name` and `litellm_params.model`")
        self.reading.carried.add((*path, "model_name"))
        at = (*path, "litellm_params")
        full = self.reading.resolved(params["model"])
        if full is None:
            raise _LeftOut((*at, "model"), "this is a variable that the configuration does not set; write the model's name")
        if "*" in group or "*" in full:
            raise _LeftOut(path, f"`{group}`: a pool lists its models; write one entry for each")
        if not re.fullmatch(formats.NAME.pattern.removesuffix("$"), group):
            raise _LeftOut((*path, "model_name"), f"`{group}` is no name here; expected {formats.NAME.about}")
        self.reading.carried.add((*at, "model"))
        info = Layers(self.reading, entry.get("model_info"), (*path, "model_info"))
        given = Layers(self.reading, params, at).over(self._credentials(params, at))
        provider, name, bare = self._provider(given, at, full)
        known = self._known(info.text("base_model"), full, bare)
        mode = info.text("mode") or known.get("mode") or ""
        if mode not in CHAT:
            raise _LeftOut(path, f"`{group}` is a model for {mode}; only chat is routed")
        upstream = self._upstream(given, at, provider, name, bare)
        price = self._price(given, info, known, path, f"`{group}` ({full})")
        # From here on nothing leaves it out: what is asked for and assumed is of a model that there is.
        key = self._credential(given, provider, at, group, own=upstream["url"] == provider.url)
        if key:
            self.secret_keys.append(key)
            upstream["credentials"] = {"secretKeyRef": {"name": SECRET, "key": key}}
        model = {"name": self._unique(full), "upstream": upstream, "price": price}
        model["limits"] = self._limits(given, info, known, path, full)
        capabilities = self._capabilities(info, known, path, full)
        if capabilities:
            model["capabilities"] = capabilities
        model["quality"] = self._quality(info.text("base_model"), full, bare, path)
        attempts = [tried for key in ("num_retries", "max_retries") if (tried := given.whole(key, 0)) is not None]
        return _Deployment(
            group,
            path,
            model,
            shares=self._shares(given),
            order=given.whole("order", -1000),
            attempts=max(attempts, default=None),
            times=given.times("timeout", "stream_timeout"),
        )

    def _credentials(self, params: dict[str, Any], at: Path) -> Layers | None:
        """What `litellm_credential_name` stands for."""
        wanted = params.get("litellm_credential_name")
        if wanted is None:
            return None
        rows = self.reading.config.get("credential_list")
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and row.get("credential_name") == wanted:
                path = ("credential_list", index)
                self.reading.carried |= {(*at, "litellm_credential_name"), (*path, "credential_name")}
                return Layers(self.reading, row.get("credential_values"), (*path, "credential_values"))
        # Without it the address would be another one.
        raise _LeftOut((*at, "litellm_credential_name"), "`credential_list` has no such credential")

    def _provider(self, given: Layers, at: Path, full: str) -> tuple[Provider, str, str]:
        """The provider, its name, and what it calls the model."""
        stated = given.text("custom_llm_provider")
        prefix, slash, rest = full.partition("/")
        if stated:
            name, model = stated, rest if slash and prefix == stated else full
        elif slash and (prefix in PROVIDERS or prefix in FOREIGN):
            name, model = prefix, rest
        elif given.has("api_base") or given.has("base_url"):
            name, model = "openai", full
        else:
            begun = (provider for begin, provider in INFERRED if full.startswith(begin))
            name, model = next(begun, prefix if slash else ""), full
        if name in PROVIDERS:
            return PROVIDERS[name], name, model
        if name in FOREIGN:
            said = f"`{full}`: provider `{name}` {FOREIGN[name]}; upstreams speak OpenAI's dialect"
            raise _LeftOut((*at, "model"), said)
        what = f"provider `{name}`" if name else "its provider"
        said = f"`{full}`: {what} is not known; with `api_base` it is called as OpenAI's"
        raise _LeftOut((*at, "model"), said, tuple(sorted(PROVIDERS)))

    def _upstream(self, given: Layers, at: Path, provider: Provider, name: str, model: str) -> dict[str, Any]:
        base = self._address(given, provider)
        if not base:
            raise _LeftOut(at[:-1], f"`{name}` has no address of its own: write `api_base`")
        if provider.models and not model.startswith(provider.models.partition("/")[0] + "/"):
            model = provider.models + model
        if not re.fullmatch(formats.UPSTREAM_MODEL.pattern.removesuffix("$"), model):
            raise _LeftOut((*at, "model"), f"expected {formats.UPSTREAM_MODEL.about}")
        return {"url": base, "dialect": "OpenAI", "model": model}

    def _address(self, given: Layers, provider: Provider) -> str:
        """Base URL of an upstream. One that is stated is never passed over: calls would go to somebody else."""
        found = given.find("api_base") or given.find("base_url")
        if found is None:
            return provider.url
        value, path = found
        self.reading.carried.add(path)
        url = self.reading.resolved(value) if isinstance(value, str) else None
        if url is None:
            raise _LeftOut(path, "this is a variable that the configuration does not set; write the URL")
        base = url.rstrip("/").removesuffix("/chat/completions")
        if provider.suffix and not base.endswith(provider.suffix):
            base += provider.suffix
        if not re.fullmatch(formats.URL.pattern.removesuffix("$"), base):  # It may hold a password.
            raise _LeftOut(path, f"expected {formats.URL.about}")
        if re.match(r"https?://(localhost|127\.|\[::1\])", base):
            said = (
                "a gateway that controllers feed calls no address of its own machine: make it a Service, or `--allow-upstreams`"
            )
            self.reading.name(path, "assumed", said)
        return base

    def _credential(self, given: Layers, provider: Provider, at: Path, group: str, *, own: bool) -> str:
        """Key of the Secret; empty where the upstream asks for none."""
        found = given.find("api_key")
        if found is None:
            if provider.key and not own:
                said = f"no `api_key` stands here, so none is sent; LiteLLM sends `{provider.key}` to this address too"
                self.reading.name(at, "assumed", said)
            return provider.key if own else ""
        key, path = found
        if not isinstance(key, str):
            self.reading.refuse(path, "a text, or `os.environ/` and the name of a variable")
            return ""
        self.reading.carried.add(path)
        variable = key.removeprefix(VARIABLE)
        if key.startswith(VARIABLE) and re.fullmatch(formats.DATA_KEY.pattern.removesuffix("$"), variable):
            return variable
        if key.strip().lower() in NO_KEYS:
            return ""
        name = base = re.sub(r"[^-._A-Za-z0-9]", "-", group)[:200]
        while self.literal_keys.setdefault(name, key) != key:
            name = f"{base}-{len(self.literal_keys) + 1}"
        said = f"a key stands in the configuration; put it into Secret `{SECRET}` as `{name}`"
        self.reading.name(path, "assumed", said)
        return name

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
            raise _LeftOut(path, said)
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

    def _shares(self, given: Layers) -> dict[str, Decimal]:
        shares = {"weight": given.number("weight")}
        # As rates they are named: what weighs the draw does not limit it.
        shares |= {key: given.number(key, take=False) for key in ("rpm", "tpm")}
        return {key: share for key, share in shares.items() if share is not None and share >= 0}

    def _unique(self, wanted: str) -> str:
        """A name in the pool, which is no alias: that of LiteLLM's `model`, with a number where it is taken."""
        groups = {entry.get("model_name") for entry in self.entries if isinstance(entry, dict)}
        taken = {name for name in groups if isinstance(name, str)} | {"auto"} | {made.name for made in self.deployments}
        taken |= self._alias_targets().keys()
        base = re.sub(r"[^A-Za-z0-9._/:-]", "-", wanted).lstrip("._/:-")[:240] or "model"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return name

    # Policies.

    def _resources(self) -> list[dict[str, Any]]:
        groups = list(dict.fromkeys(made.group for made in self.deployments))
        aliases = self._aliases(groups)
        stand_ins = self._fallbacks(groups)
        cheapest = self._cheapest_first()
        refs = [{"name": self._pool_name(number)} for number in range(-(-len(self.deployments) // POOL_MODELS))]
        policies: list[dict[str, Any]] = []
        names: set[str] = {"auto"}
        alone: list[str] = []
        own_label: dict[str, str] = {}
        for group in groups:
            name = _object_name(group, names)
            names.add(name)
            own_label[group] = f"litellm/{name}"
            for made in self._of(group):
                made.labels[own_label[group]] = "true"
        for group in groups:
            own, label = self._of(group), own_label[group]
            others = [made for other in stand_ins[group] for made in self._labelled(group, other, label)]
            if not others and len(own) == 1:
                alone.append(group)
            spec = {
                "poolRefs": refs,
                "match": {"models": [group, *aliases[group]]},
                "strategy": self._strategy(own, others, cheapest=cheapest),
                "constraints": {"models": {"matchLabels": {label: "true"}}},
            }
            policies.append(self._policy(label.partition("/")[2], spec | self._patience(own, others)))
        self._name_retries(alone)
        if not {"auto"} & (set(groups) | self._alias_targets().keys()):
            worth = {"type": "Utility", "utility": {"willingnessToPayUSD": WILLINGNESS_TO_PAY_USD}}
            spec = {"poolRefs": refs, "match": {"models": ["auto"]}, "strategy": worth}
            policies.append(self._policy("auto", spec | self._patience([], [])))
        return [self._filled(number) for number in range(len(refs))] + policies

    def _of(self, group: str) -> list[_Deployment]:
        return [made for made in self.deployments if made.group == group]

    def _labelled(self, group: str, other: str, label: str) -> list[_Deployment]:
        """The models of a group, which carry the label of the policy that they stand in for."""
        found = self._of(other)
        if any(len(made.labels) >= LABELS and label not in made.labels for made in found):
            said = f"`{other}` cannot stand in for `{group}` too: a model has {LABELS} labels at most"
            self.reading.name(found[0].path, "not_carried", said, whole=False)
            return []
        for made in found:
            made.labels[label] = "true"
        return found

    def _pool_name(self, number: int) -> str:
        return f"{self.pool}-{number}" if number else self.pool

    def _filled(self, number: int) -> dict[str, Any]:
        models = self.deployments[number * POOL_MODELS : (number + 1) * POOL_MODELS]
        spec = {"models": [{**each.model, "labels": each.labels} for each in models]}
        return {"apiVersion": API, "kind": "ModelPool", "metadata": self._metadata(self._pool_name(number)), "spec": spec}

    def _policy(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": API, "kind": "RoutingPolicy", "metadata": self._metadata(name), "spec": spec}

    def _metadata(self, name: str) -> dict[str, str]:
        return {"name": name, "namespace": self.namespace}

    def _alias_targets(self) -> dict[str, Any]:
        given = self.reading.router("model_group_alias")
        if not isinstance(given, dict):
            return {}
        return {alias: target.get("model") if isinstance(target, dict) else target for alias, target in given.items()}

    def _aliases(self, groups: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {group: [] for group in groups}
        where = self.reading.place("model_group_alias")
        whole = self.reading.router("model_group_alias")
        for alias, model in self._alias_targets().items():
            path = (*where, alias)
            if not isinstance(model, str) or model not in found:
                self.reading.name(path, "not_carried", f"`{model}` is no model that was carried over")
            elif alias in found:
                self.reading.name(path, "not_carried", f"`{alias}` is a `model_name` too, which keeps its calls")
            elif not re.fullmatch(formats.NAME.pattern.removesuffix("$"), alias) or len(found[model]) >= ALIASES - 1:
                said = f"expected {formats.NAME.about}, and {ALIASES} of them at most"
                self.reading.name(path, "not_carried", said)
            else:
                self.reading.carried.add((*path, "model") if isinstance(whole[alias], dict) else path)
                found[model].append(alias)
        return found

    def _fallbacks(self, groups: list[str]) -> dict[str, list[str]]:
        """Other groups that stand in for one; those for long prompts too, since what a model cannot hold is not sent to it."""
        found: dict[str, list[str]] = {group: [] for group in groups}
        for key in ("fallbacks", "context_window_fallbacks"):
            given, where = self.reading.router(key), self.reading.place(key)
            for index, row in enumerate(given if isinstance(given, list) else []):
                for group, others in row.items() if isinstance(row, dict) else ():
                    path = (*where, index, group)
                    added = self._stand_ins(found, group, others, path)
                    if added and key != "fallbacks":
                        said = f"{listed(added)} stand in for `{group}` after every failure, not only for long prompts"
                        self.reading.name(path, "assumed", said)
        given, where = self.reading.router("default_fallbacks"), self.reading.place("default_fallbacks")
        if isinstance(given, list):
            for group in [group for group in groups if not found[group]]:
                self._stand_ins(found, group, given, where)
        return found

    def _stand_ins(self, found: dict[str, list[str]], group: str, others: Any, path: Path) -> list[str]:
        targets = self._alias_targets()
        group = targets.get(group, group) if group not in found else group
        if group not in found:
            self.reading.name(path, "not_carried", f"`{group}` is no model that was carried over")
            return []
        added = []
        for index, other in enumerate(others if isinstance(others, list) else []):
            known = (
                other if isinstance(other, str) and other in found else targets.get(other) if isinstance(other, str) else None
            )
            if known not in found:
                what = f"`{other}`" if isinstance(other, str) else "this"
                self.reading.name((*path, index), "not_carried", f"{what} is no model that was carried over")
                continue
            self.reading.carried.add((*path, index))
            if known != group and known not in found[group]:
                found[group].append(known)
                added.append(known)
        if len(found[group]) > 1:
            said = f"stand-ins of `{group}` are tried by forecast quality, not in the order that is written"
            self.reading.name(path, "assumed", said)
        return added

    def _cheapest_first(self) -> bool:
        given, where = self.reading.router("routing_strategy"), self.reading.place("routing_strategy")
        if given is None:
            return False
        if not isinstance(given, str) or given not in STRATEGIES:
            said = (
                f"strategy `{given}` is not known; calls are drawn by weight" if isinstance(given, str) else "expected a text"
            )
            self.reading.name(where, "not_carried", said, tuple(STRATEGIES))
        elif STRATEGIES[given]:
            self.reading.name(where, "not_carried", f"`{given}`: {STRATEGIES[given]}")
        else:
            self.reading.carried.add(where)
        return bool(given == "cost-based-routing")

    def _strategy(self, own: list[_Deployment], others: list[_Deployment], *, cheapest: bool) -> dict[str, Any]:
        """Of a group's own deployments; its stand-ins follow."""
        if len(own) == 1:
            return _pinned(own[0])
        if cheapest and not others:
            return {"type": "Cheapest"}
        if cheapest:  # Among all candidates a stand-in could be the cheapest.
            return _pinned(min(own, key=_charge))
        shares = self._draw(own)
        if not any(shares):
            return _pinned(own[0])
        weights = [{"model": made.name, "weight": share} for made, share in zip(own, shares, strict=True)]
        return {"type": "Weighted", "weighted": {"weights": weights}}

    def _draw(self, own: list[_Deployment]) -> list[int]:
        """Weights, as LiteLLM's shuffle has them: by the first of `weight`, `rpm`, `tpm` that the first deployment has."""
        orders = sorted({made.order for made in own if made.order is not None})
        if len(orders) > 2 or (len(orders) == 2 and any(made.order is None for made in own)):
            said = "the first `order` takes the calls; the others stand in by forecast quality, not in their order"
            self.reading.name(own[0].path, "assumed", said)
        first = [made for made in own if not orders or made.order == orders[0]]
        by = next((key for key in ("weight", "rpm", "tpm") if key in first[0].shares), None)
        shares = {made.name: made.shares.get(by, Decimal(0)) if by else Decimal(1) for made in first}
        largest = max(shares.values())
        # Thousandths, as far as the largest weight allows.
        scale = min(Decimal(1000), 1_000_000 / largest) if largest else Decimal(1)
        return [_scaled(shares.get(made.name, Decimal(0)), scale) for made in own]

    def _patience(self, own: list[_Deployment], others: list[_Deployment]) -> dict[str, Any]:
        """Timeouts and attempts of a policy. LiteLLM's timeouts are those of one attempt, a policy's `request` holds all."""
        tried = self._attempts(own, others)
        spec: dict[str, Any] = {}
        times = self._times(own)
        if times:
            further = min(USUAL_ATTEMPTS if tried is None else tried, len(own or self.deployments) + len(others) - 1)
            spec["timeouts"] = _timeouts(times.get("timeout"), times.get("stream_timeout"), further)
        if tried is not None:
            spec["retry"] = {"attempts": tried}
        return spec

    def _attempts(self, own: list[_Deployment], others: list[_Deployment]) -> int | None:
        where = self.reading.place("num_retries")
        stated = [made.attempts for made in own if made.attempts is not None]
        wanted = max(stated) if stated else self.reading.layer(where[:-1]).whole("num_retries", 0)
        if wanted is not None and wanted > ATTEMPTS:
            self.reading.name(
                where if not stated else own[0].path, "assumed", f"at most {ATTEMPTS} additional attempts are made"
            )
        # LiteLLM goes on to fallbacks however many retries there are; each attempt here is another model.
        least = len(own) + len(others) - 1 if others else 0
        if wanted is None and least <= USUAL_ATTEMPTS:
            return None
        return min(ATTEMPTS, max(USUAL_ATTEMPTS if wanted is None else wanted, least))

    def _times(self, own: list[_Deployment]) -> dict[str, int]:
        found = self.reading.times()
        for key in ("timeout", "stream_timeout"):
            stated = {made.times[key] for made in own if key in made.times}
            if len(stated) > 1:
                said = f"a policy has one `{key}`: the longest of those that `{own[0].group}` has"
                self.reading.name(own[0].path, "assumed", said)
            if stated:
                found[key] = max(stated)
        return found

    def _name_retries(self, alone: list[str]) -> None:
        where = self.reading.place("num_retries")
        if alone and self.reading.layer(where[:-1]).whole("num_retries", 0):
            said = f"each further attempt goes to another model; without one, a call is tried once: {listed(alone)}"
            self.reading.name(where, "assumed", said)


def _pinned(made: _Deployment) -> dict[str, Any]:
    return {"type": "Pinned", "pinned": {"model": made.name}}


def _charge(made: _Deployment) -> Decimal:
    price = made.model["price"]
    return Decimal(price["inputPerMillion"]) + Decimal(price["outputPerMillion"])


def _scaled(share: Decimal, scale: Decimal) -> int:
    """What is drawn at all stays so."""
    return max(1, round(share * scale)) if share else 0


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


def _object_name(wanted: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:50].strip("-") or "policy"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
