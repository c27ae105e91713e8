"""Dashboards and alerts ask for series that the programs have, by labels that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import routing
from doors import opened
from simulators import upstreams
from tradewind import core
from tradewind.artifacts import predictor
from tradewind.controller.metrics import Metrics

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tradewind"
TARGET = {"namespace", "pod"}
"""Labels that Prometheus adds: where it scraped."""
VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*"}
"""What Grafana puts in."""

Series = Mapping[str, set[str]]
"""Names of labels, by names of series."""


def expressions() -> list[str]:
    """Of panels, of a dashboard's variables, and of alerts."""
    found = []
    for file in sorted((CHART / "dashboards").iterdir()):
        dashboard = json.loads(file.read_text())
        found += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        found += [
            query.split("(")[1].split(",")[0]
            for variable in dashboard["templating"]["list"]
            if isinstance(variable["query"], dict)
            for query in [variable["query"]["query"]]
        ]
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    return found + [rule["expr"] for group in groups for rule in group["rules"]]


def parsed(expression: str) -> Any:
    """Its tree."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return promql.parse(expression)


def nodes(tree: Any) -> Iterator[Any]:
    """All of a tree."""
    yield tree
    for part in ("lhs", "rhs", "expr", "vector_selector", "vs", "param"):
        inner = getattr(tree, part, None)
        if inner is not None and type(inner).__module__ == "promql_parser":
            yield from nodes(inner)
    for argument in getattr(tree, "args", None) or ():
        yield from nodes(argument)


def selectors(tree: Any) -> list[Any]:
    """The series that an expression reads."""
    return [node for node in nodes(tree) if isinstance(node, promql.VectorSelector)]


def grouped(tree: Any) -> set[str]:
    """Labels that it sums by."""
    found: set[str] = set()
    for node in nodes(tree):
        modifier = getattr(node, "modifier", None) if isinstance(node, promql.AggregateExpr) else None
        found |= set(modifier.labels) if modifier is not None else set()
    return found


def data_plane() -> Series:
    """As it declares them. Families without a sample show no labels, so the declarations are read."""
    text = (ROOT / "rust" / "gateway" / "src" / "metrics.rs").read_text()
    structs = {
        name: set(re.findall(r"pub (\w+):", body))
        for name, body in re.findall(r"pub struct (\w+Labels) \{(.*?)\n\}", text, re.DOTALL)
    }
    (body,) = re.findall(r"pub struct Metrics \{(.*?)\n\}", text, re.DOTALL)
    types = dict(re.findall(r"pub (\w+): ([^\n]+),", body))
    found: dict[str, set[str]] = {}
    for name, field in re.findall(r'registry\.register\("(\w+)", .*metrics\.(\w+)\.clone\(\)\)', text):
        kind = types[field]
        labels = next((structs[part] for part in re.findall(r"\w+", kind) if part in structs), set())
        if "Histogram" in kind:
            found |= {
                f"tradewind_{name}_bucket": labels | {"le"},
                f"tradewind_{name}_count": labels,
                f"tradewind_{name}_sum": labels,
            }
        else:
            found[f"tradewind_{name}" + ("" if "Gauge" in kind else "_total")] = labels
    return found


def controller() -> Series:
    """As it declares them."""
    names = Metrics().registry._collector_to_names
    return {
        name: set(collector._labelnames) | ({"le"} if name.endswith("_bucket") else set())  # type: ignore[attr-defined]
        for collector, found in names.items()
        for name in found
    }


SERIES: Series = {**data_plane(), **controller()}


def test_the_declarations_are_read_as_the_data_plane_shows_them(graph: bytes, tmp_path: Path) -> None:
    with upstreams(tmp_path, small=()) as (upstream,):
        model = routing.model("small", upstream.url)
        route = routing.route("auto", predictor.digest_of(graph), [model], "best")
        with opened(routing.source([model], [route]).to_json(), [graph]) as doors:
            ask = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
            httpx.post(f"{doors.native}/v1/chat/completions", json=ask).raise_for_status()
            httpx.post(f"{doors.native}/v1/chat/completions", content=b"{")
            text = httpx.get(f"{doors.native}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {"tradewind_calls_total", "tradewind_requests_refused_total"} <= {sample.name for sample in samples}
    for sample in samples:
        assert set(sample.labels) == SERIES[sample.name], sample


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_reads_what_is_there(expression: str) -> None:
    tree = parsed(expression)
    read = selectors(tree)
    assert read
    for selector in read:
        assert selector.name in SERIES
        known = SERIES[selector.name] | TARGET
        assert {matcher.name for matcher in selector.matchers.matchers} <= known
        for matcher in selector.matchers.matchers:
            if matcher.name == "code":
                matches_codes(matcher.value)
    assert grouped(tree) <= set.union(*(SERIES[selector.name] for selector in read)) | TARGET


def matches_codes(pattern: str) -> None:
    """Each alternative of a pattern is an error's code, or several."""
    codes = ["ok", *(row["code"] for row in core.error_codes())]
    for alternative in pattern.split("|"):
        assert any(re.fullmatch(alternative, code) for code in codes), alternative


@pytest.mark.parametrize(
    "expression", ["tradewind_call_total", 'tradewind_calls_total{status="ok"}', "sum by (verb) (tradewind_calls_total)"]
)
def test_an_expression_of_something_else_is_found(expression: str) -> None:
    with pytest.raises(AssertionError):
        test_an_expression_reads_what_is_there(expression)


def test_the_autoscaler_reads_what_is_there() -> None:
    (name,) = set(re.findall(r"metric: \{name: (\w+)\}", (CHART / "templates" / "gateway.yaml").read_text()))
    assert name in SERIES


def test_panels_do_not_cover_each_other() -> None:
    for file in (CHART / "dashboards").iterdir():
        panels = json.loads(file.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
        assert all(panel["description"] for panel in panels)
