"""Writes what in `charts/` is made of something else: definitions, the sidecar, names of settings, tables of values."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from tradewind.settings import ControllerSettings, Settings

ROOT = Path(__file__).parents[1]
CHART = Path("charts/tradewind")
KEEP = "    helm.sh/resource-policy: keep\n"
"""In the annotations of a definition: `helm uninstall` leaves it, for with it all its objects would go."""

RESERVED: dict[type, frozenset[str]] = {
    Settings: frozenset(
        [
            # Where the chart mounts, listens and connects.
            *("controllers", "controller_token", "controller_trust", "controller_trust_pem", "plan_cache", "bootstrap_plan"),
            *("keys_cache", "ledger_dir", "host", "port", "asgi_port", "tls_port", "health_listen"),
            # How pods end: their grace period is the sum.
            *("linger_s", "drain_s"),
            # What controllers give, in place of files.
            *("config", "predictor", "predictor_cache", "keys", "secrets_dir"),
            # The shim has both doors, the API server's address is in every pod, and faults are for tests.
            *("door", "api_server", "sync_fault"),
        ]
    ),
    ControllerSettings: frozenset(
        [
            # Names of the release's objects and of what the controller makes.
            *("namespace", "identity", "account", "gateway_accounts", "gateway_selector", "gateway_url", "audience", "names"),
            *("plan_name", "lease_name", "ca_secret", "trust_name", "tls_secret", "gateway_tls_secret"),
            # Where it listens and may write.
            *("listen", "metrics_listen", "predictor_cache"),
            # Data planes take nothing without TLS, an image has no other predictor, and the last is for tests.
            *("tls", "predictor", "trust_predictor_urls"),
        ]
    ),
}
"""Settings that the chart's values may not have: a user's would break what the chart sets."""


@dataclass(frozen=True)
class Value:
    """A row of a table of values."""

    name: str
    kind: str
    default: str
    about: str


def files() -> dict[Path, str]:
    """Every file that is made, by its path from the root."""
    made = {
        Path("charts/tradewind-crds/templates") / file.name: kept(file.read_text())
        for file in sorted((ROOT / "crds").iterdir())
    }
    made[CHART / "files/sidecar.yaml"] = (ROOT / "python/tradewind/controller/sidecar.yaml").read_text()
    schema = json.loads((ROOT / CHART / "values.schema.json").read_text())
    schema["$defs"] |= {"dataPlaneSettings": settings(Settings), "controllerSettings": settings(ControllerSettings)}
    made[CHART / "values.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    before, _, rest = (ROOT / CHART / "README.md").read_text().partition("<!-- values -->\n")
    after = rest.partition("<!-- /values -->\n")[2]
    rows = values((ROOT / CHART / "values.yaml").read_text(), schema)
    made[CHART / "README.md"] = f"{before}<!-- values -->\n{table(rows)}<!-- /values -->\n{after}"
    return made


def kept(definition: str) -> str:
    """A CustomResourceDefinition as it stands in `crds/`, with one annotation more."""
    if "{{" in definition:
        raise ValueError("a definition has `{{`, which Helm would take for its own")
    head, found, rest = definition.partition("\n  annotations:\n")
    # A definition's own annotations stand before its spec.
    if not found or "\nspec:" in head:
        head, _, rest = definition.partition("\nmetadata:\n")
        return f"{head}\nmetadata:\n  annotations:\n{KEEP}{rest}"
    return f"{head}{found}{KEEP}{rest}"


def settings(kind: type) -> dict[str, Any]:
    """JSON schema of a map of settings, without those that are reserved."""
    about, types = described(kind), get_type_hints(kind)
    names = [entry.name for entry in fields(kind) if entry.name not in RESERVED[kind]]
    properties = {name: {**shape(types[name]), "description": about[name]} for name in names}
    about_all = f"By their names in `tradewind.settings.{kind.__name__}`, without those that the chart sets."
    return {"type": "object", "description": about_all, "properties": properties, "additionalProperties": False}


def shape(wanted: Any) -> dict[str, Any]:
    """JSON schema of a setting's type."""
    if wanted is bool:
        return {"type": "boolean"}
    if wanted is int:
        return {"type": "integer", "minimum": 0}
    if wanted is float:
        return {"type": "number", "minimum": 0}
    if wanted == tuple[str, ...]:
        return {"type": "array", "items": {"type": "string", "pattern": "^[^,]+$"}}
    choices = [choice for choice in get_args(wanted) if isinstance(choice, str)]
    if choices:
        return {"enum": choices}
    return {"type": "string"}


def described(kind: type) -> dict[str, str]:
    """The sentence below each field, on one line."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def values(text: str, schema: dict[str, Any]) -> list[Value]:
    """Each value with the comment above it. A map whose keys the user gives is one value."""
    lines = text.splitlines()
    node = yaml.compose(text)
    return list(_values(node, schema, schema, "", lines))


def _values(node: Any, schema: dict[str, Any], root: dict[str, Any], path: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        name = f"{path}{key.value}"
        inner = resolved(schema["properties"][key.value], root)
        about = comment(lines, key.start_mark.line)
        if not about:
            raise ValueError(f"values.yaml has no comment above `{name}`")
        if isinstance(value, yaml.MappingNode) and "properties" in inner and inner.get("description") is None:
            yield from _values(value, inner, root, f"{name}.", lines)
        else:
            yield Value(name, kind_of(inner), default(value), about)


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """What a schema refers to; a reference to a described shape is that shape's name."""
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if not name:
        return schema
    found: dict[str, Any] = root["$defs"][name]
    return found


def kind_of(schema: dict[str, Any]) -> str:
    """For people."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    found: str = schema["type"]
    return {"object": "map", "array": "list"}.get(found, found)


def default(value: yaml.Node) -> str:
    """As JSON, which reads as YAML in one line."""
    return json.dumps(yaml.SafeLoader("").construct_object(value, deep=True), ensure_ascii=False)


def comment(lines: list[str], line: int) -> str:
    """The lines of comment right above a line."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(found)


def table(rows: list[Value]) -> str:
    """Markdown."""
    head = "| value | kind | default | what |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{row.name}` | {row.kind} | `{row.default}` | {row.about} |\n".replace("||", "| |") for row in rows
    )


def main() -> int:
    """Writes all files."""
    for path, text in files().items():
        (ROOT / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
