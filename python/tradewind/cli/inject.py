"""`tradewind inject`: the sidecar in manifests, for clusters that cannot add it by themselves, and for GitOps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli import output
from tradewind.errors import UsageError


def inject(
    file: Annotated[
        list[Path], typer.Option("--filename", "-f", help="Manifests (YAML or JSON); `-` is stdin. May be repeated.")
    ],
    namespace: Annotated[str, typer.Option(help="Namespace of the install.")] = "tradewind-system",
    image: Annotated[
        str | None, typer.Option(help="Image of the sidecar.", show_default="ghcr.io/tradewind/tradewind-gateway:VERSION")
    ] = None,
    controllers: Annotated[
        str | None,
        typer.Option(help="URLs of controllers.", show_default="https://tradewind-controller.NAMESPACE.svc:8443"),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            help="PEM bundle to trust controllers by. ConfigMap `tradewind-trust` of the app's namespace where absent."
        ),
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the sidecar, `workers=2`. May be repeated.")
    ] = None,
) -> None:
    """Add the sidecar to the pods of every workload, and write all to stdout. A sidecar that is there is renewed."""
    from tradewind import core, injection

    added = injection.sidecar(
        image or f"ghcr.io/tradewind/tradewind-gateway:{core.version()}",
        controllers or f"https://tradewind-controller.{namespace}.svc:8443",
        _bundle(trust),
        dict(_setting(text) for text in given or ()),
    )
    written: list[str] = []
    count = 0
    for each in file:
        text, injected = injection.inject(_decoded(each), str(each), added)
        written.append(text)
        count += injected
    output.lines(_joined(written).encode())
    if not count:
        output.words().print(f"nothing was added: no {', '.join(injection.KINDS)} without label {injection.LABEL}: disabled")
    elif trust is None:
        output.words().print(_copying(namespace, injection.TRUST), markup=False, soft_wrap=True)


def _bundle(file: Path | None) -> str | None:
    if file is None:
        return None
    text = _decoded(file)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"{file}: no certificate; expected a PEM bundle", str(file))
    return text


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: expected `name=value`", "--set")
    return name, value


def _decoded(file: Path) -> str:
    try:
        return output.read_input(file).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}", str(file)) from None


def _joined(texts: list[str]) -> str:
    joined = texts[0]
    for text in texts[1:]:
        joined += ("" if joined.endswith("\n") or not joined else "\n") + ("" if text.startswith("---") else "---\n") + text
    return joined


def _copying(namespace: str, name: str) -> str:
    return (
        f"the sidecar takes its trust from ConfigMap `{name}` of the app's own namespace. To copy it there:\n"
        f"  kubectl get configmap {name} -n {namespace} -o jsonpath='{{.data.ca\\.crt}}' |\n"
        f"    kubectl create configmap {name} -n APP_NAMESPACE --from-file=ca.crt=/dev/stdin"
    )
