"""How the model of an entry is called: its provider, its address, and its key, whose value is told to nobody."""

from __future__ import annotations

import re
from typing import Any

from tradewind.migration.litellm_reading import VARIABLE, Layers, LeftOut, Reading
from tradewind.migration.litellm_tables import FOREIGN, INFERRED, PROVIDERS, Provider
from tradewind.resources import formats
from tradewind.resources.documents import Path

SECRET = "litellm-keys"
"""The Secret that holds the upstreams' keys."""
NO_KEYS = ("", "none", "fake-key", "dummy", "empty")
"""What is written as the key of an upstream that asks for none, in lower case."""


def credentials(reading: Reading, params: dict[str, Any], at: Path) -> Layers | None:
    """What `litellm_credential_name` stands for."""
    wanted = params.get("litellm_credential_name")
    if wanted is None:
        return None
    rows = reading.config.get("credential_list")
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        if isinstance(row, dict) and row.get("credential_name") == wanted:
            path = ("credential_list", index)
            reading.carried |= {(*at, "litellm_credential_name"), (*path, "credential_name")}
            return Layers(reading, row.get("credential_values"), (*path, "credential_values"))
    # Without it the address would be another one.
    raise LeftOut((*at, "litellm_credential_name"), "`credential_list` has no such credential")


def provider(given: Layers, at: Path, full: str) -> tuple[Provider, str, str]:
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
        raise LeftOut((*at, "model"), said)
    what = f"provider `{name}`" if name else "its provider"
    said = f"`{full}`: {what} is not known; with `api_base` it is called as OpenAI's"
    raise LeftOut((*at, "model"), said, tuple(sorted(PROVIDERS)))


def upstream(given: Layers, at: Path, provider: Provider, name: str, model: str) -> dict[str, Any]:
    """Of a pool's model, without its key."""
    base = _address(given, provider)
    if not base:
        raise LeftOut(at[:-1], f"`{name}` has no address of its own: write `api_base`")
    if provider.models and not model.startswith(provider.models.partition("/")[0] + "/"):
        model = provider.models + model
    if not re.fullmatch(formats.UPSTREAM_MODEL.pattern.removesuffix("$"), model):
        raise LeftOut((*at, "model"), f"expected {formats.UPSTREAM_MODEL.about}")
    return {"url": base, "dialect": "OpenAI", "model": model}


def _address(given: Layers, provider: Provider) -> str:
    """Base URL of an upstream. One that is stated is never passed over: calls would go to somebody else."""
    found = given.find("api_base") or given.find("base_url")
    if found is None:
        return provider.url
    value, path = found
    given.reading.carried.add(path)
    url = given.reading.resolved(value) if isinstance(value, str) else None
    if url is None:
        raise LeftOut(path, "this is a variable that the configuration does not set; write the URL")
    base = url.rstrip("/").removesuffix("/chat/completions")
    if provider.suffix and not base.endswith(provider.suffix):
        base += provider.suffix
    if not re.fullmatch(formats.URL.pattern.removesuffix("$"), base):  # It may hold a password.
        raise LeftOut(path, f"expected {formats.URL.about}")
    if re.match(r"https?://(localhost|127\.|\[::1\])", base):
        said = "a gateway that controllers feed calls no address of its own machine: make it a Service, or `--allow-upstreams`"
        given.reading.name(path, "assumed", said)
    return base


class Keys:
    """Keys of the Secret, as upstreams ask for them."""

    def __init__(self) -> None:
        self._literal: dict[str, str] = {}
        """Keys that stand in the configuration, by what they are to be called: to tell two apart, never to be shown."""

    def key(self, given: Layers, provider: Provider, at: Path, group: str, *, own: bool) -> str:
        """What an upstream's key is called, which is at its provider's `own` address or not; empty where it asks for none."""
        found = given.find("api_key")
        if found is None:
            if provider.key and not own:
                said = f"no `api_key` stands here, so none is sent; LiteLLM sends `{provider.key}` to this address too"
                given.reading.name(at, "assumed", said)
            return provider.key if own else ""
        key, path = found
        if not isinstance(key, str):
            given.reading.refuse(path, "a text, or `os.environ/` and the name of a variable")
            return ""
        given.reading.carried.add(path)
        variable = key.removeprefix(VARIABLE)
        if key.startswith(VARIABLE) and re.fullmatch(formats.DATA_KEY.pattern.removesuffix("$"), variable):
            return variable
        if key.strip().lower() in NO_KEYS:
            return ""
        name = base = re.sub(r"[^-._A-Za-z0-9]", "-", group)[:200]
        while self._literal.setdefault(name, key) != key:
            name = f"{base}-{len(self._literal) + 1}"
        said = f"a key stands in the configuration; put it into Secret `{SECRET}` as `{name}`"
        given.reading.name(path, "assumed", said)
        return name
