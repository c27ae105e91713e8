"""Certificates of somebody else's authority: channel and TLS doors serve them, and data planes trust its root."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
from cluster import Cluster, Namespace
from install import installed

from tradewind import core

RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: certificates}
rules:
- {apiGroups: [""], resources: [secrets], resourceNames: [channel, doors], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: certificates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: certificates}
subjects: [{kind: ServiceAccount, name: tradewind-controller}]
"""


def secret(namespace: Namespace, folder: Path, name: str, **files: bytes) -> None:
    """A Secret of these files; `_` stands for a point."""
    for part, content in files.items():
        (folder / part.replace("_", ".")).write_bytes(content)
    namespace.kubectl(
        "create", "secret", "generic", name, *(f"--from-file={folder / part.replace('_', '.')}" for part in files)
    )


def test_another_authority_signs_for_the_channel_and_for_gateways(cluster: Cluster, tmp_path: Path) -> None:
    ca, key = core.make_ca("somebody else", 1)
    channel, door = (core.issue_certificate(ca, key, ["127.0.0.1", name], 1) for name in ("channel.example", "door.example"))
    with installed(cluster, tmp_path, tls_secret="channel", gateway_tls_secret="doors") as made:
        made.namespace.apply(RIGHTS)
        secret(made.namespace, tmp_path, "channel", tls_crt=channel[0], tls_key=channel[1], ca_crt=ca)
        secret(made.namespace, tmp_path, "doors", tls_crt=door[0], tls_key=door[1])
        made.trust_file.write_bytes(ca)
        (controller,) = made.add_controllers()
        controller.start()
        controller.wait()
        gateway = made.add_gateway(tls_port="0")
        gateway.start()
        gateway.wait()
        context = ssl.create_default_context(cadata=ca.decode())
        with httpx.Client(verify=context) as client:
            answer = client.get(f"{gateway.url('tls')}/readyz", extensions={"sni_hostname": "door.example"})
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{gateway.url('tls')}/readyz")
