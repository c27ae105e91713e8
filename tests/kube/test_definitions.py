"""The API server and the pydantic types agree: on what is valid, on where it is wrong, on what stands where nothing is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rest
import yaml
from cluster import CRDS, Cluster
from rest import Object, RefusedError

from tradewind.resources import documents, folder, rules
from tradewind.resources.documents import Document
from tradewind.resources.model_pool import ModelPool
from tradewind.resources.routing_policy import RoutingPolicy

RESOURCES = Path(__file__).parents[1] / "resources"
FILES = sorted(RESOURCES.glob("*valid/*.yaml"))
PLURALS = {"ModelPool": "modelpools", "RoutingPolicy": "routingpolicies"}
DEFINED = [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]


def marker(file: Path) -> str:
    """What the file says of itself: `refused` or `accepted`."""
    found = re.findall(r"^# cluster: (refused|accepted)$", file.read_text(), re.MULTILINE)
    assert len(found) == 1, f"{file.name} needs one line `# cluster: refused` or `# cluster: accepted`"
    return str(found[0])


def ours(file: Path) -> list[Document]:
    """The documents of our kinds; none where the file is no YAML."""
    read, broken = documents.read(file.read_bytes(), str(file))
    return [] if broken else [found for found in read if isinstance(found.value, dict) and found.at("kind") in PLURALS]


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> None:
    """Those that the files name, for a dry run creates none."""
    named = {found.at("metadata", "namespace") for file in FILES for found in ours(file)}
    for name in sorted(named - {None, "", "default"}):
        cluster.api.apply(
            rest.path("namespaces", name=name), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("way", ["client-side", "server-side"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kubectl_refuses_the_files_that_are_marked(cluster: Cluster, file: Path, way: str) -> None:
    flags = (f"--server-side={str(way == 'server-side').lower()}", "--dry-run=server", "--validate=strict")
    done = cluster.kubectl("apply", *flags, "-f", str(file), check=False)
    assert ("refused" if done.returncode else "accepted") == marker(file), done.stdout + done.stderr


def refused(cluster: Cluster, document: Any) -> RefusedError | None:
    """What the API server has against an object; it is not kept."""
    where = rest.path(PLURALS[document["kind"]], document["metadata"].get("namespace", "default"))
    try:
        cluster.api.create(where, document, dryRun="All", fieldValidation="Strict")
    except RefusedError as error:
        return error
    return None


WORDS = {rule.message for rule in rules.TABLE}


def places(error: RefusedError) -> tuple[set[str], set[str]]:
    """The paths that a refusal names: those of fields, and those of rules between fields."""
    if re.search(r'in version "(?!v1alpha1")', str(error)):
        return {"apiVersion"}, set()
    fields, between = set(re.findall(r'unknown field "([^"]+)"', str(error))), set[str]()
    for place, message in error.causes:
        of_a_rule = any(words in message for words in WORDS)
        # An entry that stands twice is, to us, a fault of the list.
        path = re.sub(r"\[\d+\]$", "", place) if message.startswith("Duplicate") else place
        (between if of_a_rule else fields).add(re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", path))
    return fields - {"", "<nil>"}, between


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_both_refuse_the_same_objects_at_the_same_places(cluster: Cluster, file: Path) -> None:
    for document in ours(file):
        problems = folder.parse([document]).problems
        error = refused(cluster, document.value)
        assert bool(problems) == bool(error), f"{document.at('kind')}: {problems} but {error}"
        if error:
            paths = {problem.path for problem in problems}
            fields, between = places(error)
            assert all(any(of(place, path) for path in paths) for place in fields), f"{error}: {paths}"
            # Of what has a wrong field, pydantic asks no rule; the API server may.
            assert fields or between & paths, f"{error}: {paths}"


def of(place: str, path: str) -> bool:
    """Whether the API server's place is the path, or the map whose key the path is: it names none of a map's keys."""
    return path == place or (path.startswith(f"{place}.") and place.endswith((".labels", ".matchLabels", ".default")))


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("rule", rules.TABLE, ids=lambda rule: rule.id)
def test_every_rule_is_kept_by_the_api_server_in_its_words(cluster: Cluster, rule: rules.Rule) -> None:
    files = [file for file in FILES if re.search(rf"^# expect: {rule.id} \|", file.read_text(), re.MULTILINE)]
    errors = [error for file in files for found in ours(file) if (error := refused(cluster, found.value))]
    words = rule.message if rule.cel else "Duplicate value"
    assert any(words in str(error) for error in errors), f"{rule.id} in {[file.name for file in files]}: {errors}"


MINIMAL = {
    "ModelPool": """
        models:
        - name: small
          upstream: {url: "http://127.0.0.1:1/v1"}
          price: {inputPerMillion: "1", outputPerMillion: "1"}
          limits: {contextTokens: 10, outputTokens: 10}
          quality: {prior: "0.5"}
        - name: served
          upstream: {service: {name: served, port: 80}}
          price: {inputPerMillion: "1", outputPerMillion: "1"}
          limits: {contextTokens: 10, outputTokens: 10}
          quality: {prior: "0.5"}
        """,
    "RoutingPolicy": """
        poolRefs: [{name: pool}]
        strategy: {type: Best}
        """,
}


@pytest.mark.parametrize("shape", [ModelPool, RoutingPolicy], ids=lambda shape: shape.__name__)
def test_both_fill_in_the_same_defaults(cluster: Cluster, shape: type[ModelPool] | type[RoutingPolicy]) -> None:
    kind = shape.__name__
    spec = yaml.safe_load(MINIMAL[kind])
    given = {"apiVersion": "tradewind.dev/v1alpha1", "kind": kind, "metadata": {"name": "minimal"}, "spec": spec}
    stored = cluster.api.create(rest.path(PLURALS[kind], "default"), given, dryRun="All")
    parsed = shape.model_validate(given).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert meant(stored["spec"]) == meant(parsed["spec"])
    assert shape.model_validate({**given, "spec": stored["spec"]}) == shape.model_validate(given)


def meant(value: Any) -> Any:
    """Without what is empty: it says the same as what is absent."""
    if isinstance(value, dict):
        return {name: kept for name, each in value.items() if (kept := meant(each)) not in ({}, [])}
    return [meant(each) for each in value] if isinstance(value, list) else value


def below(schema: Object, path: str) -> Iterator[tuple[str, Object]]:
    """(path, schema) of each map of named fields."""
    if "properties" in schema:
        yield path, schema
        for name, each in schema["properties"].items():
            yield from below(each, f"{path}.{name}")
    elif "items" in schema:
        yield from below(schema["items"], path)


EXPLAINED = [
    pytest.param(path, schema, id=path)
    for crd in DEFINED
    for path, schema in below(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], crd["spec"]["names"]["plural"])
]


@pytest.mark.parametrize(("path", "schema"), EXPLAINED)
def test_kubectl_explains_every_field(cluster: Cluster, path: str, schema: Object) -> None:
    told = cluster.kubectl("explain", path).stdout
    said = " ".join(told.split())
    for name, field in schema["properties"].items():
        assert re.search(rf"^  {name}\t<", told, re.MULTILINE), f"{path}.{name}"
        # kubectl breaks long lines, and has words of its own for the fields of every kind.
        if name not in ("apiVersion", "kind", "metadata"):
            assert " ".join(field["description"].split()) in said, f"{path}.{name}"


def test_the_kinds_have_short_names_and_a_category(cluster: Cluster) -> None:
    told = json.loads(cluster.kubectl("get", "--raw", "/apis/tradewind.dev/v1alpha1").stdout)["resources"]
    kinds = {entry["kind"]: (entry["shortNames"], entry["categories"]) for entry in told if "/" not in entry["name"]}
    assert kinds == {"ModelPool": (["mpool"], ["tradewind"]), "RoutingPolicy": (["rpol"], ["tradewind"])}
    assert {"modelpools/status", "routingpolicies/status"} <= {entry["name"] for entry in told}


def test_kubectl_shows_the_columns_of_a_status(cluster: Cluster, namespace: Any) -> None:
    pool = yaml.safe_load(MINIMAL["ModelPool"])
    namespace.apply(
        json.dumps({"apiVersion": "tradewind.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": "pool"}, "spec": pool})
    )
    now = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": status, "reason": f"Why{kind}", "message": f"Of {kind}.", "lastTransitionTime": now}
        for kind, status in (("Accepted", "True"), ("ResolvedRefs", "Unknown"), ("Programmed", "False"), ("Ready", "False"))
    ]
    namespace.api.merge(
        namespace.path("modelpools", "pool", "status"), {"status": {"usableModels": "1/2", "conditions": conditions}}
    )
    narrow = namespace.kubectl("get", "mpool").stdout.splitlines()
    assert narrow[0].split() == ["NAME", "USABLE", "PROGRAMMED", "READY", "AGE"]
    assert narrow[1].split()[:4] == ["pool", "1/2", "False", "False"]
    wide = namespace.kubectl("get", "tradewind", "--output=wide").stdout.splitlines()
    assert {"ACCEPTED", "REFS", "REASON", "MESSAGE"} <= set(wide[0].split())
    assert "WhyReady" in wide[1]
    assert "Of Ready." in wide[1]
    assert namespace.kubectl("get", "rpol").stderr.startswith("No resources found")
