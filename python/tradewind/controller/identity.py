"""Who a ServiceAccount token is: asked of the API server by TokenReview, with our audience."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from kubernetes import client, config

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
NODE_NAME = "authentication.kubernetes.io/node-name"
ACCOUNT = "system:serviceaccount:"
REVIEW_S = 5
"""Seconds for a review."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Reviewer:
    """Asks the API server, from any thread."""

    def __init__(self, audience: str) -> None:
        self.api = _api()
        self._reviews = client.AuthenticationV1Api(self.api)
        self._audience = audience

    def review(self, token: str) -> bytes:
        """JSON `{namespace, service_account, pod, pod_uid, node}`; raises `ValueError` for a token that is nobody's."""
        body = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token, audiences=[self._audience]))
        status = self._reviews.create_token_review(body, _request_timeout=REVIEW_S).status
        user = status.user if status is not None and status.authenticated else None
        name = user.username or "" if user is not None else ""
        if user is None or not name.startswith(ACCOUNT):
            raise ValueError(f"the token is not a ServiceAccount's for audience `{self._audience}`")
        namespace, _, account = name.removeprefix(ACCOUNT).partition(":")
        extra = {name: values[0] for name, values in (user.extra or {}).items() if values}
        return json.dumps(
            {
                "namespace": namespace,
                "service_account": account,
                "pod": extra.get(POD_NAME, ""),
                "pod_uid": extra.get(POD_UID, ""),
                "node": extra.get(NODE_NAME, ""),
            }
        ).encode()

    def owners(self, namespace: str) -> list[dict[str, Any]]:
        """`ownerReferences` to the ServiceAccount that we are: what the controller makes in a namespace goes when that goes,
        with the chart. Read from the claims of our own token; none where we are no ServiceAccount, or one of another namespace:
        the garbage collector looks for an owner beside what it owns, and takes one that is not there for gone.
        """
        header = self.api.configuration.api_key.get("BearerToken", "")
        try:
            claims = header.split(" ")[-1].split(".")[1]
            ours = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["kubernetes.io"]
            if ours["namespace"] != namespace:
                return []
            known = ours["serviceaccount"]
            return [{"apiVersion": "v1", "kind": "ServiceAccount", "name": known["name"], "uid": known["uid"]}]
        except (IndexError, KeyError, TypeError, ValueError):
            return []


def own_namespace() -> str:
    """The namespace of the pod that this process runs in; empty outside of one."""
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _api() -> client.ApiClient:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.retries = 0  # The callers have their own patience.
    return client.ApiClient(configuration)
