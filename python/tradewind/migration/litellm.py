"""LiteLLM's proxy configuration becomes pools and policies. Each key is either carried over or named: none is dropped silently.

A deployment of `model_list` is a model; deployments of one `model_name` are the candidates of a policy that has that name as
alias, with the groups of its `fallbacks` as stand-ins; the candidates carry a label of that policy. A further policy, `auto`,
routes between all of them by what they are worth. Values of keys appear in no output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tradewind.errors import Problem
from tradewind.migration.litellm_tables import CHAT, FOREIGN, INFERRED, PROVIDERS, REASONS, STRATEGIES, UNKNOWN, Provider
from tradewind.resources import formats
from tradewind.resources.documents import Document, Path, format_path

SECRET = "litellm-keys"
"""The Secret that holds the upstreams' keys."""
VARIABLE = "os.environ/"
CAPABILITIES = {"Tools": "supports_function_calling", "JSON": "supports_response_schema"}
POOL_MODELS = 64
ALIASES = 32
CONTEXT_TOKENS, OUTPUT_TOKENS = 8192, 4096
"""Assumed where neither the configuration nor the price list tells: what even old models hold."""
PRIOR = "0.5"
"""Quality that is assumed of a model without a profile."""
WILLINGNESS_TO_PAY_USD = "0.015"
API = "tradewind.dev/v1alpha1"


@dataclass(frozen=True)
class Migration:
    """What a configuration became."""

    resources: list[dict[str, Any]]
    problems: list[Problem]
    """What could not be carried over (`not_carried`), left a model out (`left_out`), or had to be assumed (`assumed`)."""
    secret_keys: list[str]
    """Keys that Secret `litellm-keys` must have, named like the variables that LiteLLM read."""


@dataclass
class _Deployment:
    group: str
    path: Path
    labels: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    weight: int = 1

    @property
    def name(self) -> str:
        name: str = self.model["name"]
        return name


def translate(
    document: Document,
    profiles: frozenset[str],
    prices: Mapping[str, Any],
    namespace: str = "default",
    pool: str = "chat",
) -> Migration:
    """Carries a configuration over. `profiles` are names of the predictor's manifest; `prices` is LiteLLM's
    `model_prices_and_context_window.json`, or empty.
    """
    return _Translation(document, profiles, prices, namespace, pool).run()


class _Translation:
    def __init__(
        self, document: Document, profiles: frozenset[str], prices: Mapping[str, Any], namespace: str, pool: str
    ) -> None:
        self.document = document
        self.config: dict[str, Any] = document.value if isinstance(document.value, dict) else {}
        self.profiles = profiles
        self.prices = prices
        self.namespace = namespace
        self.pool = pool
        self.problems: list[Problem] = []
        self.carried: set[Path] = set()
        self.named: set[Path] = set()
        """Places of which nothing comes along, and all below them."""
        self.said: set[tuple[Path, str]] = set()
        self.secret_keys: list[str] = []
        self.literal_keys: dict[str, str] = {}
        """Keys that stand in the configuration, by what they are to be called: to tell two apart, never to be shown."""
        self.deployments: list[_Deployment] = []

    def run(self) -> Migration:
        if not isinstance(self.document.value, dict) or not isinstance(self.config.get("model_list"), list):
            self._name((), "left_out", "this is no configuration of LiteLLM's proxy: it has no `model_list`")
            return Migration([], self.problems, [])
        for index, entry in enumerate(self.config["model_list"]):
            before = len(self.deployments)
            self._deployment(entry, ("model_list", index))
            if len(self.deployments) == before:
                self.named.add(("model_list", index))  # Why it is left out is said; its parts need no word.
        resources = self._resources() if self.deployments else []
        for path in _leaves(self.document.value, ()):
            self._leftover(path)
        order = sorted(self.problems, key=lambda problem: problem.line or 0)
        return Migration(resources, order, sorted(set(self.secret_keys)))

    # What is carried, and what is named.

    def _take(self, given: Any, path: Path, key: str) -> Any:
        """The value of a key, which is carried over by whoever asks."""
        if not isinstance(given, dict) or given.get(key) is None:
            return None
        self.carried.add((*path, key))
        return given[key]

    def _name(self, path: Path, code: str, message: str, accepted: tuple[str, ...] = ()) -> None:
        if (path, message) in self.said:
            return
        self.said.add((path, message))
        if code != "assumed":
            self.named.add(path)
        self.problems.append(
            Problem(
                code,
                message,
                path=format_path(path),
                file=self.document.file,
                line=self.document.line(path),
                accepted=accepted,
                severity="warning",
            )
        )

    def _leftover(self, path: Path) -> None:
        """A value that nobody has carried or named, by the outermost key that has a reason."""
        around = [path[:length] for length in range(1, len(path) + 1)]
        if any(place in self.carried or place in self.named for place in around):
            return
        known = next((place for place in around if place[-1] in REASONS), None)
        self._name(known or path, "not_carried", REASONS[str(known[-1])] if known else UNKNOWN)

    # Models.

    def _deployment(self, entry: Any, path: Path) -> None:
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        group = self._take(entry, path, "model_name")
        if not isinstance(params, dict) or not isinstance(group, str) or not isinstance(params.get("model"), str):
            return self._name(path, "left_out", "a model needs `model_name` and `litellm_params.model`")
        if "*" in group or "*" in params["model"]:
            return self._name(path, "left_out", f"`{group}`: a pool lists its models; write one entry for each")
        if not re.match(formats.NAME.pattern, group):
            return self._name((*path, "model_name"), "left_out", f"`{group}` is no name here; expected {formats.NAME.about}")
        info = entry.get("model_info") if isinstance(entry.get("model_info"), dict) else {}
        made = _Deployment(group, path)
        at, about = (*path, "litellm_params"), (*path, "model_info")
        mode = self._take(info, about, "mode") or ""
        if mode not in CHAT:
            return self._name(path, "left_out", f"`{group}` is a model for {mode}; only chat is routed")
        self.carried.add((*at, "model"))
        full = params["model"]
        found = self._provider(params, at, full)
        if found is None:
            return None
        provider, name, upstream_model = found
        upstream = self._upstream(params, at, made, provider, name, upstream_model)
        if upstream is None:
            return None
        known = self._known(full, upstream_model, info, about)
        price = self._price(params, at, info, about, known)
        if price is None:
            return self._name(
                path,
                "left_out",
                f"`{group}` ({full}) has no price: give `input_cost_per_token` and `output_cost_per_token`, or `--prices FILE`",
            )
        made.model = {"name": self._unique(full), "upstream": upstream, "price": price}
        made.model["limits"] = self._limits(params, at, info, about, known, full)
        capabilities = self._capabilities(info, about, known, path, full)
        if capabilities:
            made.model["capabilities"] = capabilities
        made.model["quality"] = self._quality(full, upstream_model, path)
        weight = self._take(params, at, "weight")
        if isinstance(weight, int | float) and weight >= 0:
            made.weight = round(weight * 1000) if isinstance(weight, float) else weight * 1000
        else:
            made.weight = 1000
        self.deployments.append(made)
        return None

    def _provider(self, params: dict[str, Any], at: Path, full: str) -> tuple[Provider, str, str] | None:
        stated = self._take(params, at, "custom_llm_provider")
        prefix, slash, rest = full.partition("/")
        if isinstance(stated, str):
            name, model = stated, rest if slash and prefix == stated else full
        elif slash and (prefix in PROVIDERS or prefix in FOREIGN):
            name, model = prefix, rest
        elif "api_base" in params:
            name, model = "openai", full
        else:
            name, model = (
                next((provider for begin, provider in INFERRED if full.startswith(begin)), prefix if slash else ""),
                full,
            )
        if name in PROVIDERS:
            return PROVIDERS[name], name, model
        if name in FOREIGN:
            self._name(
                (*at, "model"), "left_out", f"`{full}`: provider `{name}` {FOREIGN[name]}; upstreams speak OpenAI's dialect"
            )
        else:
            what = f"provider `{name}`" if name else "its provider"
            known = tuple(sorted(PROVIDERS))
            self._name(
                (*at, "model"), "left_out", f"`{full}`: {what} is not known; with `api_base` it is called as OpenAI's", known
            )
        return None

    def _upstream(
        self, params: dict[str, Any], at: Path, made: _Deployment, provider: Provider, name: str, model: str
    ) -> dict[str, Any] | None:
        url = self._resolved(self._take(params, at, "api_base") or self._take(params, at, "base_url"))
        base = url.rstrip("/").removesuffix("/chat/completions") if url else provider.url
        if url and provider.suffix and not base.endswith(provider.suffix):
            base += provider.suffix
        if not base:
            said = f"`{name}` has no address of its own: write `api_base` as a URL, not as a variable"
            self._name(made.path, "left_out", said)
            return None
        if not re.match(formats.URL.pattern, base):  # It may hold a password.
            self._name((*at, "api_base"), "left_out", f"expected {formats.URL.about}")
            return None
        if not re.match(formats.UPSTREAM_MODEL.pattern, model):
            self._name((*at, "model"), "left_out", f"expected {formats.UPSTREAM_MODEL.about}")
            return None
        upstream: dict[str, Any] = {"url": base, "dialect": "OpenAI", "model": model}
        key = self._credential(params, at, provider if not url or base == provider.url else None, made.group)
        if key:
            self.secret_keys.append(key)
            upstream["credentials"] = {"secretKeyRef": {"name": SECRET, "key": key}}
        return upstream

    def _credential(self, params: dict[str, Any], at: Path, provider: Provider | None, group: str) -> str:
        given = self._take(params, at, "api_key")
        if not isinstance(given, str):
            return provider.key if provider else ""
        variable = given.removeprefix(VARIABLE)
        if given.startswith(VARIABLE) and re.match(formats.DATA_KEY.pattern, variable):
            return variable
        if given.strip().lower() in ("", "none", "fake-key", "dummy", "empty"):
            return ""
        name = base = re.sub(r"[^-._A-Za-z0-9]", "-", group)
        while self.literal_keys.setdefault(name, given) != given:
            name = f"{base}-{len(self.literal_keys) + 1}"
        self._name((*at, "api_key"), "assumed", f"a key stands in the configuration; put it into Secret `{SECRET}` as `{name}`")
        return name

    def _resolved(self, given: Any) -> str:
        """A text, or that of a variable which the configuration itself sets."""
        if not isinstance(given, str):
            return ""
        if not given.startswith(VARIABLE):
            return given
        variables = self.config.get("environment_variables")
        found = variables.get(given.removeprefix(VARIABLE)) if isinstance(variables, dict) else None
        return found if isinstance(found, str) and not found.startswith(VARIABLE) else ""

    def _known(self, full: str, model: str, info: dict[str, Any], about: Path) -> Mapping[str, Any]:
        """The row of the price list."""
        base = self._take(info, about, "base_model")
        for name in (base, full, model, model.rpartition("/")[2]):
            row = self.prices.get(name) if isinstance(name, str) else None
            if isinstance(row, Mapping):
                return row
        return {}

    def _price(
        self, params: dict[str, Any], at: Path, info: dict[str, Any], about: Path, known: Mapping[str, Any]
    ) -> dict[str, str] | None:
        def per_million(key: str) -> str | None:
            given = self._take(params, at, key)
            given = self._take(info, about, key) if given is None else given
            given = known.get(key) if given is None else given
            return _usd_per_million(given)

        price = {
            "inputPerMillion": per_million("input_cost_per_token"),
            "outputPerMillion": per_million("output_cost_per_token"),
        }
        cached = per_million("cache_read_input_token_cost")
        if cached is not None:
            price["cachedInputPerMillion"] = cached
        whole = {key: text for key, text in price.items() if text is not None}
        return whole if len(whole) == len(price) else None

    def _limits(
        self, params: dict[str, Any], at: Path, info: dict[str, Any], about: Path, known: Mapping[str, Any], full: str
    ) -> dict[str, int]:
        def tokens(*keys: str) -> int | None:
            for key in keys:
                given = self._take(info, about, key)
                given = known.get(key) if given is None else given
                if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 100_000_000:
                    return given
            return None

        context, output = tokens("max_input_tokens"), tokens("max_output_tokens", "max_tokens")
        if context is None or output is None:
            context, output = context or max(CONTEXT_TOKENS, output or 0), output or OUTPUT_TOKENS
            said = f"`{full}`: the configuration does not tell what it holds; {context} tokens of context, {output} of answer"
            self._name(at[:-1], "assumed", said)
        limits = {"contextTokens": context, "outputTokens": output}
        parallel = self._take(params, at, "max_parallel_requests")
        if isinstance(parallel, int) and 1 <= parallel <= 1_000_000:
            limits["concurrentRequestsPerGateway"] = parallel
        return limits

    def _capabilities(self, info: dict[str, Any], about: Path, known: Mapping[str, Any], path: Path, full: str) -> list[str]:
        """Where nothing tells, a model is taken to know both: LiteLLM would send it both."""
        given = {name: self._take(info, about, key) for name, key in CAPABILITIES.items()}
        if known:
            given = {name: known.get(CAPABILITIES[name]) if told is None else told for name, told in given.items()}
        untold = [name for name, told in given.items() if told is None and not known]
        if untold:
            self._name(path, "assumed", f"`{full}`: it is taken to know {' and '.join(untold)}")
        return [name for name, told in given.items() if told or name in untold]

    def _quality(self, full: str, model: str, path: Path) -> dict[str, str]:
        bare = model.rpartition("/")[2].lower()
        for name in (full, model, bare, re.sub(r"-(20\d\d-?\d\d-?\d\d|latest)$", "", bare)):
            if name in self.profiles:
                return {"profile": name}
        said = f"`{full}` has no profile: a quality of {PRIOR} is assumed; `tradewind train` on answers of your own gives one"
        self._name(path, "assumed", said)
        return {"prior": PRIOR}

    def _unique(self, wanted: str) -> str:
        """A name in the pool, which is no alias: that of LiteLLM's `model`, with a number where it is taken."""
        groups = {entry.get("model_name") for entry in self.config["model_list"] if isinstance(entry, dict)}
        taken = groups | {"auto"} | {made.name for made in self.deployments} | set(self._alias_names())
        base = re.sub(r"[^A-Za-z0-9._/:-]", "-", wanted).lstrip("._/:-")[:240] or "model"
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return name

    # Policies.

    def _alias_names(self) -> list[str]:
        given = self._router("model_group_alias", take=False)
        return [name for name in given if isinstance(name, str)] if isinstance(given, dict) else []

    def _router(self, key: str, *, take: bool = True) -> Any:
        """A setting of the router, which may stand in two places."""
        for section in ("router_settings", "litellm_settings"):
            given = self.config.get(section)
            if isinstance(given, dict) and given.get(key) is not None:
                return self._take(given, (section,), key) if take else given[key]
        return None

    def _resources(self) -> list[dict[str, Any]]:
        groups = list(dict.fromkeys(made.group for made in self.deployments))
        aliases = self._aliases(groups)
        fallbacks = self._fallbacks(groups)
        times, retry = self._times(), self._retry()
        cheapest = self._strategy()
        pools = [f"{self.pool}-{number}" if number else self.pool for number in range(-(-len(self.deployments) // POOL_MODELS))]
        policies = []
        names: set[str] = {"auto"}
        for group in groups:
            own = [made for made in self.deployments if made.group == group]
            candidates = own + [made for other in fallbacks[group] for made in self.deployments if made.group == other]
            name = _object_name(group, names)
            names.add(name)
            for made in candidates:
                made.labels[f"litellm/{name[:63].rstrip('-.')}"] = "true"
            spec = {
                "poolRefs": [{"name": pool} for pool in pools],
                "match": {"models": [group, *aliases[group]][:ALIASES]},
                "strategy": _strategy(own, cheapest=cheapest and len(own) == len(candidates)),
                "constraints": {"models": {"matchLabels": {f"litellm/{name[:63].rstrip('-.')}": "true"}}},
            }
            policies.append(self._policy(name, spec | times | retry))
        worth = {"type": "Utility", "utility": {"willingnessToPayUSD": WILLINGNESS_TO_PAY_USD}}
        if "auto" not in groups and "auto" not in self._alias_names():
            spec = {"poolRefs": [{"name": pool} for pool in pools], "match": {"models": ["auto"]}, "strategy": worth}
            policies.append(self._policy("auto", spec | times | retry))
        filled = []
        for number, name in enumerate(pools):
            models = self.deployments[number * POOL_MODELS : (number + 1) * POOL_MODELS]
            spec = {"models": [{**each.model, "labels": each.labels} for each in models]}
            filled.append({"apiVersion": API, "kind": "ModelPool", "metadata": self._metadata(name), "spec": spec})
        return filled + policies

    def _policy(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": API, "kind": "RoutingPolicy", "metadata": self._metadata(name), "spec": spec}

    def _metadata(self, name: str) -> dict[str, str]:
        return {"name": name, "namespace": self.namespace}

    def _aliases(self, groups: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {group: [] for group in groups}
        given = self._router("model_group_alias", take=False)
        where = self._place("model_group_alias")
        for alias, target in given.items() if isinstance(given, dict) else ():
            model = target.get("model") if isinstance(target, dict) else target
            path = (*where, alias)
            if model not in found:
                self._name(path, "not_carried", f"`{model}` is no model that was carried over")
            elif not isinstance(alias, str) or not re.match(formats.NAME.pattern, alias) or len(found[model]) >= ALIASES - 1:
                self._name(path, "not_carried", f"expected {formats.NAME.about}, and {ALIASES} of them at most")
            else:
                self.carried.add(path)
                found[model].append(alias)
        return found

    def _fallbacks(self, groups: list[str]) -> dict[str, list[str]]:
        """Other groups that stand in for one; those for long prompts too, since what a model cannot hold is not sent to it."""
        found: dict[str, list[str]] = {group: [] for group in groups}
        for key in ("fallbacks", "context_window_fallbacks"):
            given, where = self._router(key, take=False), self._place(key)
            for index, row in enumerate(given if isinstance(given, list) else []):
                for group, others in row.items() if isinstance(row, dict) else ():
                    self._stand_ins(found, group, others, (*where, index, group))
        given, where = self._router("default_fallbacks", take=False), self._place("default_fallbacks")
        if isinstance(given, list):
            for group in groups:
                if not found[group]:
                    self._stand_ins(found, group, given, where)
        return found

    def _stand_ins(self, found: dict[str, list[str]], group: Any, others: Any, path: Path) -> None:
        if group not in found:
            return self._name(path, "not_carried", f"`{group}` is no model that was carried over")
        for index, other in enumerate(others if isinstance(others, list) else []):
            if other not in found:
                self._name((*path, index), "not_carried", f"`{other}` is no model that was carried over")
            else:
                self.carried.add((*path, index))
                if other != group and other not in found[group]:
                    found[group].append(other)
        if len(found[group]) > 1:
            said = f"stand-ins of `{group}` are tried by forecast quality, not in the order that is written"
            self._name(path, "assumed", said)
        return None

    def _place(self, key: str) -> Path:
        for section in ("router_settings", "litellm_settings"):
            given = self.config.get(section)
            if isinstance(given, dict) and given.get(key) is not None:
                return (section, key)
        return (key,)

    def _times(self) -> dict[str, Any]:
        times = {}
        for name, keys in (("request", ("timeout", "request_timeout")), ("firstToken", ("stream_timeout",))):
            for key in keys:
                text = _duration(self._router(key, take=False))
                if text and name not in times:
                    self._router(key)
                    times[name] = text
        return {"timeouts": times} if times else {}

    def _retry(self) -> dict[str, Any]:
        given = self._router("num_retries", take=False)
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            return {}
        self._router("num_retries")
        if given > 10:
            self._name(self._place("num_retries"), "assumed", "at most 10 additional attempts are made")
        return {"retry": {"attempts": min(given, 10)}}

    def _strategy(self) -> bool:
        given = self._router("routing_strategy", take=False)
        if given is None:
            return False
        if given not in STRATEGIES:
            said = f"strategy `{given}` is not known; calls are drawn by weight"
            self._name(self._place("routing_strategy"), "not_carried", said, tuple(STRATEGIES))
        elif STRATEGIES[given]:
            self._name(self._place("routing_strategy"), "not_carried", f"`{given}`: {STRATEGIES[given]}")
        else:
            self._router("routing_strategy")
        return bool(given == "cost-based-routing")


def _strategy(own: list[_Deployment], *, cheapest: bool) -> dict[str, Any]:
    """Of a group's own deployments; its stand-ins follow."""
    if len(own) == 1 or not any(made.weight for made in own):
        return {"type": "Pinned", "pinned": {"model": own[0].name}}
    if cheapest:
        return {"type": "Cheapest"}
    weights = [{"model": made.name, "weight": min(made.weight, 1_000_000)} for made in own]
    return {"type": "Weighted", "weighted": {"weights": weights}}


def _usd_per_million(given: Any) -> str | None:
    """Exact: a price per token, which YAML may have read as a float or, as it does with `3e-06`, as a text."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        million = Decimal(str(given)) * 1_000_000
    except InvalidOperation:
        return None
    if not million.is_finite() or million < 0:
        return None
    text = format(million.quantize(Decimal("1.000000000")), "f").rstrip("0").rstrip(".")
    return text if re.match(formats.USD.pattern, text) else None


def _duration(given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 100_000:
        return ""
    return f"{max(1, round(given * 1000))}ms" if given < 99 and not float(given).is_integer() else f"{round(given)}s"


def _object_name(wanted: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:50].strip("-") or "policy"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    elif path and value is not None and value != {} and value != []:
        yield path
