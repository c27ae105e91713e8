"""LiteLLM's proxy configuration becomes pools and policies. Each key is either carried over or named: none is dropped silently.

A deployment of `model_list` is a model (`litellm_models`, `litellm_upstreams`); deployments of one `model_name` are the
candidates of a policy that has that name as alias, with the groups of its `fallbacks` as stand-ins (`litellm_groups`), with a
strategy (`litellm_strategies`), timeouts and retries (`litellm_patience`); the candidates carry a label of that policy. A
further policy, `auto`, routes between all of them by what they are worth. Values of keys appear in no output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradewind.errors import Problem, UsageError
from tradewind.migration import litellm_groups, litellm_models, litellm_patience, litellm_strategies
from tradewind.migration.litellm_models import POOL_MODELS, Deployment
from tradewind.migration.litellm_reading import Reading
from tradewind.resources.documents import Document

LABELS = 32
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
    reading = Reading(document)
    deployments = litellm_models.read(reading, profiles, prices)
    resources = _Translation(reading, deployments, namespace, pool).resources() if deployments else []
    reading.name_the_rest()
    order = sorted(reading.problems, key=lambda problem: problem.line or 0)
    return Migration(resources, order, sorted({made.secret_key for made in deployments if made.secret_key}))


@dataclass(frozen=True)
class _Translation:
    """Deployments as pools and policies."""

    reading: Reading
    deployments: list[Deployment]
    namespace: str
    pool: str

    def resources(self) -> list[dict[str, Any]]:
        groups = list(dict.fromkeys(made.group for made in self.deployments))
        refs = [{"name": self._pool_name(number)} for number in range(-(-len(self.deployments) // POOL_MODELS))]
        policies = self._group_policies(groups, refs)
        if not {"auto"} & (set(groups) | litellm_groups.alias_targets(self.reading).keys()):
            policies.append(self._auto(refs))
        return [self._filled(number) for number in range(len(refs))] + policies

    def _group_policies(self, groups: list[str], refs: list[dict[str, str]]) -> list[dict[str, Any]]:
        aliases = litellm_groups.aliases(self.reading, groups)
        stand_ins = litellm_groups.stand_ins(self.reading, groups)
        cheapest = litellm_strategies.cheapest_first(self.reading)
        labels = self._label(groups)
        policies: list[dict[str, Any]] = []
        alone: list[str] = []
        for group, label in labels.items():
            own = self._of(group)
            others = [made for other in stand_ins[group] for made in self._labelled(group, other, label)]
            if not others and len(own) == 1:
                alone.append(group)
            spec = {
                "poolRefs": refs,
                "match": {"models": [group, *aliases[group]]},
                "strategy": litellm_strategies.strategy(self.reading, own, others, cheapest=cheapest),
                "constraints": {"models": {"matchLabels": {label: "true"}}},
            }
            patience = litellm_patience.spec(self.reading, own, others, len(own) + len(others))
            policies.append(self._policy(label.partition("/")[2], spec | patience))
        litellm_patience.name_retries(self.reading, alone)
        return policies

    def _auto(self, refs: list[dict[str, str]]) -> dict[str, Any]:
        """The policy that routes between all models."""
        worth = {"type": "Utility", "utility": {"willingnessToPayUSD": WILLINGNESS_TO_PAY_USD}}
        spec = {"poolRefs": refs, "match": {"models": ["auto"]}, "strategy": worth}
        return self._policy("auto", spec | litellm_patience.spec(self.reading, [], [], len(self.deployments)))

    def _label(self, groups: list[str]) -> dict[str, str]:
        """Labels each group's own models; gives the label of each group, which has its policy's name at its end."""
        labels: dict[str, str] = {}
        names = {"auto"}
        for group in groups:
            name = _object_name(group, names)
            names.add(name)
            labels[group] = f"litellm/{name}"
            for made in self._of(group):
                made.labels[labels[group]] = "true"
        return labels

    def _of(self, group: str) -> list[Deployment]:
        return [made for made in self.deployments if made.group == group]

    def _labelled(self, group: str, other: str, label: str) -> list[Deployment]:
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


def _object_name(wanted: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:50].strip("-") or "policy"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
