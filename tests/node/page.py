"""`docs/cluster.md`: what `make demo-cluster` showed, and what it cannot show."""

from __future__ import annotations

from collections.abc import Sequence

from binaries import KUBERNETES
from programs import CONTAINERD, COREDNS
from story import Row

_PAGE = """\
# Tradewind in a real Kubernetes

Written by `make demo-cluster WRITE=1`, not by hand. Kubernetes {kubernetes}, containerd {containerd}, CoreDNS {coredns},
kube-proxy with nftables; two nodes on one machine ({machine}), each in namespaces and cgroups of its own; images of this
tree, made by `images/`. It ends with an error where something does not hold, so each line was true in that run.

Calls come over connections that are kept, from the first node's network, through the gateways' Service. An attempt that
fails is tried again twice, after .5 and 1 s, as OpenAI's own clients do; a call is lost where all three fail.

{table}

## Why that is so

- **Rolling update, drain**: a pod that ends leaves the endpoints before it is told (preStop), then goes on taking calls
  and tells clients to connect elsewhere (linger), then ends what it has (drain). No client has to try again.
- **kill -9 of a gateway**: calls in flight on it break, and new connections to it are refused until the kubelet has
  noticed. No Service can hide that: clients try again, and the other gateway answers.
- **kill -9 of a sidecar**: it is the only one that its application has. Calls are refused until the kubelet has started it
  again: at once the first time, then after a growing pause (10 s, 20 s, … 5 min) if it goes on dying.
- **kill -9 of a controller, a kubelet, the API server**: no call asks them. What waits is what they do: edits.
- **Death of a node**: nobody tells clients. Calls to it hang until the client's timeout (5 s here), and a Service sends
  new connections there until the node is NotReady, which its grace period decides.
- **A new gateway without a controller** has the plan, mounted from ConfigMap `tradewind-plan`, and the default predictor,
  which its image carries; but callers' keys are in no ConfigMap. So it is started and not Ready, and the Service sends its
  calls to the other gateways until a controller has given it the keys. A container that starts again in its pod is better
  off: it finds keys and plan where it left them.

## Not shown here

| what | why |
|---|---|
| NetworkPolicies are enforced | the nodes' network is the plain CNI bridge, which ignores them |
| a HorizontalPodAutoscaler scales | there is no metrics server |
| IPv6, dual stack | the nodes' networks are IPv4 |
| kubelets older than {kubernetes} | only this version is built here |
| images are pulled | there is no registry: archives are imported into each node's containerd |
| cgroups of version 2 | the nodes use hierarchies of version 1, which this machine has |
| distances, other machines, real models | both nodes share one machine, and models are simulated |
| LoadBalancers, Ingress, gateways of others | nothing here gives addresses of outside |
"""


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines, last = ["| step | | |", "|---|---|---|"], ""
    for row in rows:
        lines.append(f"| {row.step if row.step != last else ''} | {row.what} | {row.figure} |")
        last = row.step
    return "\n".join(lines)


def page(rows: Sequence[Row], machine: str) -> str:
    """The whole page."""
    versions = {"kubernetes": KUBERNETES, "containerd": CONTAINERD, "coredns": COREDNS}
    return _PAGE.format(machine=machine, table=table(rows), **versions)
