"""What a pool names in the cluster: Secrets and Services. A model whose reference is missing is not used; the others are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tradewind.controller.conditions import Condition
from tradewind.controller.store import Key, Service
from tradewind.controller.vault import Vault
from tradewind.resources.model_pool import Model, ModelPool

PERMIT = (
    "kubectl create rolebinding tradewind-read-secrets --clusterrole=tradewind-read-secrets "
    "--serviceaccount={account} -n {namespace}"
)
"""What lets the controller read the Secrets and ConfigMaps of a namespace."""


@dataclass(frozen=True)
class Cluster:
    """What references are looked up in."""

    services: Mapping[Key, Service]
    secrets: Vault
    profiles: Vault
    account: str
    """The controller's own ServiceAccount, `namespace:name`."""


def missing(pool: ModelPool, cluster: Cluster) -> dict[str, Condition]:
    """The models that cannot be used, each with why."""
    found = {model.name: _missing(pool.metadata.namespace, model, cluster) for model in pool.spec.models}
    return {name: condition for name, condition in found.items() if condition is not None}


def _missing(namespace: str, model: Model, cluster: Cluster) -> Condition | None:
    return _service(namespace, model, cluster) or _secret(namespace, model, cluster) or _profile(namespace, model, cluster)


def _service(namespace: str, model: Model, cluster: Cluster) -> Condition | None:
    wanted = model.upstream.service
    if wanted is None:
        return None
    found = cluster.services.get(Key("Service", namespace, wanted.name))
    if found is None:
        return _unresolved("ServiceNotFound", model, f"Service `{wanted.name}` is not in namespace `{namespace}`")
    if found.external:
        return _unresolved(
            "ServiceNotSupported", model, f"Service `{wanted.name}` is of type ExternalName; give its address as `url`"
        )
    if wanted.port not in found.ports:
        ports = ", ".join(str(port) for port in sorted(found.ports)) or "none"
        return _unresolved(
            "ServicePortNotFound", model, f"Service `{wanted.name}` has no port {wanted.port}; its ports are {ports}"
        )
    return None


def _secret(namespace: str, model: Model, cluster: Cluster) -> Condition | None:
    credentials = model.upstream.credentials
    if credentials is None:
        return None
    ref = credentials.secret_key_ref
    if cluster.secrets.forbidden(namespace):
        return _unresolved("SecretForbidden", model, closed("Secrets", namespace, cluster))
    secret = cluster.secrets.get(namespace, ref.name)
    if secret is None:
        return _unresolved("SecretNotFound", model, f"Secret `{ref.name}` is not in namespace `{namespace}`")
    if ref.key not in secret.values:
        keys = ", ".join(f"`{key}`" for key in sorted(secret.values)) or "none"
        return _unresolved(
            "SecretKeyNotFound", model, f"Secret `{ref.name}` has no value under `{ref.key}`; its keys are {keys}"
        )
    return None


def _profile(namespace: str, model: Model, cluster: Cluster) -> Condition | None:
    if model.quality.profile_ref is None or not cluster.profiles.forbidden(namespace):
        return None
    return _unresolved("ProfileForbidden", model, closed("ConfigMaps", namespace, cluster))


def closed(what: str, namespace: str, cluster: Cluster) -> str:
    """That something of a namespace may not be read, with the command that permits it."""
    command = PERMIT.format(account=cluster.account, namespace=namespace)
    return f"{what} of namespace `{namespace}` may not be read; to permit it: {command}"


def _unresolved(reason: str, model: Model, message: str) -> Condition:
    return Condition("ResolvedRefs", reason, f"model `{model.name}`: {message}")
