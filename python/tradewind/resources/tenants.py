"""Tenants are namespaces: what their labels are, and which of them an audience admits."""

from __future__ import annotations

from collections.abc import Mapping

from tradewind.artifacts import plan
from tradewind.resources.audience import Audience
from tradewind.resources.folder import Resources

NAME_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes gives each namespace its name as this label; files need not."""

Tenants = Mapping[str, Mapping[str, str]]
"""Labels by namespace."""


def of(resources: Resources) -> Tenants:
    """The namespaces that are known: those that are written down, and those that something stands in."""
    names = {*resources.namespaces, *(namespace for namespace, _ in (*resources.pools, *resources.policies))}
    return {name: _labels(name, resources) for name in sorted(names)}


def admits(audience: Audience, namespace: str, tenants: Tenants) -> bool:
    """Whether an audience admits a namespace that is not the object's own."""
    if audience.selector is None:
        return audience.from_ == "All"
    return audience.selector.match_labels.items() <= tenants.get(namespace, {}).items()


def callers(audience: Audience, own: str, tenants: Tenants) -> plan.Callers:
    """An audience as a plan has it: labels are looked at here, once."""
    if audience.selector is None:
        return plan.Callers(audience.from_.lower())
    admitted = (name for name in tenants if name != own and admits(audience, name, tenants))
    return plan.Callers("listed", tuple(admitted))


def _labels(name: str, resources: Resources) -> Mapping[str, str]:
    written = resources.namespaces.get(name)
    return {NAME_LABEL: name, **(written.resource.metadata.labels if written is not None else {})}
