"""The CustomResourceDefinitions that the cluster has: older than this controller, they would drop fields that it acts by."""

from __future__ import annotations

from tradewind.controller.kube import Kube
from tradewind.errors import TradewindError
from tradewind.resources import crds

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
REMEDY = "`helm upgrade --install tradewind-crds charts/tradewind-crds`, or `kubectl apply --server-side -f crds/`"


async def check(kube: Kube) -> None:
    """Raises `TradewindError` that names the definitions which are missing or older than this program; newer ones are fine."""
    wrong = []
    for kind in crds.KINDS:
        name = f"{kind.plural}.{crds.GROUP}"
        found = await kube.get(PATH + name)
        if found is None:
            wrong.append(f"CustomResourceDefinition `{name}` is missing")
            continue
        stated = (found["metadata"].get("annotations") or {}).get(crds.REVISION_ANNOTATION, "")
        revision = int(stated) if stated.isdecimal() else 0
        if revision < crds.REVISION:
            wrong.append(f"CustomResourceDefinition `{name}` is of revision {revision}, older than {crds.REVISION}")
    if wrong:
        raise TradewindError("old_definitions", f"{'; '.join(wrong)}. Apply those of this version: {REMEDY}")
