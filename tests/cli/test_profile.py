"""`tradewind profile` from outside: over HTTP, from outcomes, without data; and what becomes of the profile."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import referencing
import typer
import yaml
from referencing.jsonschema import DRAFT202012

import answering
import children
from commands import Tradewind
from tradewind.artifacts import schemas
from tradewind.cli import profile
from tradewind.cli.app import application
from tradewind.training import anchors, sandbox

LIMIT = 130
CHOSEN = anchors.select(anchors.shipped(), LIMIT)
CONCURRENCY = 4


def fits(name: str, document: object) -> None:
    resources = [(schema["$id"], DRAFT202012.create_resource(schema)) for schema in map(schemas.read, schemas.names())]
    registry: referencing.Registry = referencing.Registry().with_resources(resources)
    jsonschema.Draft202012Validator(schemas.read(name), registry=registry).validate(document)


@contextmanager
def simulator(answers: Path, log: Path) -> Iterator[str]:
    """The base URL of a simulated upstream with known answers, which logs into a file or a pipe."""
    command = [
        sys.executable,
        "-m",
        "tradewind.cli",
        "simulate",
        "--models",
        "new:1:2",
        "--answers",
        str(answers),
        "--log",
        str(log),
    ]
    with subprocess.Popen(children.guarded(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process.stderr.readline().split()[-1]
        finally:
            process.kill()


def served(url: str) -> int:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/_stats", timeout=10) as response:
        requests: int = json.load(response)["requests"]
    return requests


def test_a_run_that_was_killed_goes_on_where_it_ended_and_finds_the_truth(tradewind: Tradewind, tmp_path: Path) -> None:
    accuracy = {domain: 0.35 + 0.05 * i for i, domain in enumerate(sorted({anchor.domain for anchor in CHOSEN}))}
    table, log, kept = tmp_path / "table.jsonl", tmp_path / "log", tmp_path / "kept.jsonl"
    table.write_text(answering.table(CHOSEN, answering.drawn(CHOSEN, accuracy, seed=1)))
    os.mkfifo(log)
    # Open at both ends, so that nobody waits for the other to come.
    with os.fdopen(os.open(log, os.O_RDWR), "rb", buffering=0) as pipe, simulator(table, log) as url:
        command = ["profile", "new", "--upstream", url, "--limit", LIMIT, "--answers", kept, "--json", "--yes"]
        arguments = [str(each) for each in (*command, "--concurrency", CONCURRENCY, "--price", "1:2")]
        with subprocess.Popen(
            children.guarded([sys.executable, "-m", "tradewind.cli", *arguments]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as first:
            seen = b""
            while seen.count(b"\n") < LIMIT // 3:
                seen += pipe.read(4096)
            first.kill()
        before = served(url)
        assert first.returncode != 0
        assert before < LIMIT
        status, out, err = tradewind(*arguments)
        after = served(url)
    document = json.loads(out)
    assert status == 0, err
    fits("profile", document)
    # Asked again is only what was on its way when the process died.
    assert LIMIT <= after <= LIMIT + CONCURRENCY
    assert len(kept.read_text().splitlines()) == LIMIT
    truth = float(np.mean([accuracy[anchor.domain] for anchor in CHOSEN]))
    assert document["quality"]["low"] <= truth <= document["quality"]["high"]
    assert (
        sum(each["jointly"]["low"] <= accuracy[name] <= each["jointly"]["high"] for name, each in document["domains"].items())
        == 13
    )
    assert document["missing"] == {}
    assert document["spent_usd"] > 0
    assert "calls, about" in err


def test_a_finished_run_asks_nothing_and_gives_the_same_profile(tradewind: Tradewind, tmp_path: Path) -> None:
    few = anchors.select(anchors.shipped(), 26)
    table = tmp_path / "table.jsonl"
    table.write_text(answering.table(few, dict.fromkeys([anchor.id for anchor in few], True)))
    with simulator(table, tmp_path / "log") as url:
        command = ("profile", "new", "--upstream", url, "--limit", 26, "--answers", tmp_path / "kept.jsonl")
        first = tradewind(*command, "--json", "--out", tmp_path / "profile.json")
        assert served(url) == 26
    again = tradewind(*command, "--json")
    assert (first[0], again[0]) == (0, 0), first[2]
    assert (
        json.loads(first[1])["profile"]
        == json.loads(again[1])["profile"]
        == json.loads((tmp_path / "profile.json").read_text())
    )
    assert json.loads(first[1])["accuracy"]["value"] == 1.0
    status, out, _ = tradewind(*command)
    assert status == 0
    assert "expected quality" in out
    assert "Not linked" in out
    # The upstream's name of a model is not the catalogue's.
    linked = tradewind(*command, "--json", "--linked", f"gpt-4o-mini={tmp_path / 'kept.jsonl'}")
    assert (linked[0], json.loads(linked[1])["linked"]) == (0, ["gpt-4o-mini"])
    (tmp_path / "empty.jsonl").touch()
    status, _, err = tradewind(*command, "--linked", f"gpt-4o-mini={tmp_path / 'empty.jsonl'}")
    assert status == 2
    assert "has no scored answer to the prompts" in " ".join(err.split())


def outcomes(file: Path, share: float = 0.7) -> Path:
    rng = np.random.default_rng(5)
    rows = [
        {"prompt": anchor.text, "score": float(rng.random() < share), "output_tokens": 90, "domain": anchor.domain}
        for anchor in anchors.select(anchors.shipped(), 200)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_profile_from_outcomes_routes_through_a_config_map(tradewind: Tradewind, tmp_path: Path) -> None:
    file = outcomes(tmp_path / "outcomes.jsonl")
    status, out, _ = tradewind("profile", "Org/New-1", "--from-outcomes", file, "--configmap", "profiles", "--namespace", "ml")
    assert status == 0
    manifest = yaml.safe_load(out)
    assert (manifest["kind"], manifest["metadata"]) == ("ConfigMap", {"name": "profiles", "namespace": "ml"})
    config = tmp_path / "config"
    config.mkdir()
    (config / "profiles.yaml").write_text(out)
    model: dict[str, Any] = {
        "name": "new",
        "upstream": {"url": "http://127.0.0.1:4100/v1"},
        "price": {"inputPerMillion": "1", "outputPerMillion": "2"},
        "limits": {"contextTokens": 1000, "outputTokens": 1000},
        "quality": {"profileRef": {"name": "profiles", "key": "Org-New-1.json"}},
    }
    group = {"apiVersion": "tradewind.dev/v1alpha1"}
    pool = {**group, "kind": "ModelPool", "metadata": {"name": "chat", "namespace": "ml"}, "spec": {"models": [model]}}
    spec = {"poolRefs": [{"name": "chat"}], "strategy": {"type": "Best"}}
    policy = {**group, "kind": "RoutingPolicy", "metadata": {"name": "default", "namespace": "ml"}, "spec": spec}
    (config / "pool.yaml").write_text(yaml.safe_dump_all([pool, policy]))
    status, _, err = tradewind("plan", "assemble", config, "-o", tmp_path / "plan.json")
    assert status == 0, err
    (profile,) = json.loads((tmp_path / "plan.json").read_text())["profiles"].values()
    assert profile["answers"] == 200
    assert profile == json.loads(manifest["data"]["Org-New-1.json"])


def test_the_document_carries_the_manifest(tradewind: Tradewind, tmp_path: Path) -> None:
    file = outcomes(tmp_path / "outcomes.jsonl")
    arguments = ("profile", "new", "--from-outcomes", file, "--configmap", "profiles", "--json")
    document = json.loads(tradewind(*arguments)[1])
    fits("profile", document)
    assert json.loads(document["config_map"]["data"]["new.json"]) == document["profile"]
    linked = json.loads(tradewind(*arguments, "--linked", f"gpt-4o-mini={file}")[1])
    assert linked["linked"] == ["gpt-4o-mini"]
    assert linked["bias"]["scale_sd"] < document["bias"]["scale_sd"]


@pytest.mark.parametrize("source", [("--by-analogy",), ("--like", "gpt-4o-mini")])
def test_without_data_much_is_left_open(tradewind: Tradewind, source: tuple[str, ...]) -> None:
    status, out, _ = tradewind("profile", "qwen3-32b", *source, "--json")
    document = json.loads(out)
    fits("profile", document)
    assert status == 0
    assert document["quality"]["high"] - document["quality"]["low"] > 0.1
    assert document["kin"]
    assert document["domains"] == {}


def test_the_catalogue_is_shown(tradewind: Tradewind) -> None:
    status, out, _ = tradewind("profile", "--list", "--json")
    document = json.loads(out)
    fits("profiles", document)
    assert status == 0
    assert len(document["models"]) > 50
    table = tradewind("profile", "--list")[1]
    assert "mmlu_pro: Apache-2.0" in table
    assert "…" not in table


def test_what_a_flag_is_read_with_are_flags_of_the_command() -> None:
    options = {flag for parameter in typer.main.get_group(application()).commands["profile"].params for flag in parameter.opts}
    assert options >= {flag for row in profile.READ_WITH.items() for flags in row for flag in flags}
    assert options >= set(profile.SOURCES)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "no MODEL is given; `--list` shows"),
        (("new",), "expected one of --upstream, --from-outcomes, --like, --by-analogy; found none"),
        (("new", "--like", "gpt-4o", "--by-analogy"), "found --like and --by-analogy"),
        (("new", "--like", "gpt4o"), "unknown model `gpt4o`; expected one of `gpt-4o`"),
        (("new", "--upstream", "localhost:80"), "expected an http or https URL"),
        (("new", "--upstream", "http://x", "--price", "1"), "expected in:out in USD per million tokens"),
        (("new", "--upstream", "http://x", "--max-usd", "1"), "--max-usd cannot be kept without --price"),
        (("new", "--upstream", "http://x", "--judge", "http://y"), "both --judge URL and --judge-model"),
        (("new", "--upstream", "http://x", "--judge", "http://y", "--judge-model", "j"), "nothing to judge"),
        (("new", "--upstream", "http://x", "--api-key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY, which is not set"),
        (("new", "--from-outcomes", "nowhere.csv"), "nowhere.csv cannot be read"),
        (("new", "--by-analogy", "--configmap", "Not A Name"), "metadata.name"),
        (("new", "--from-outcomes", "nowhere.csv", "--linked", "gpt-4o"), "expected KNOWN=FILE"),
        (("new", "--by-analogy", "--linked", "gpt-4o=x"), "expected --upstream or --from-outcomes with it"),
        (("new", "--by-analogy", "--answers", "x"), "--answers says nothing here; expected --upstream with it"),
        (("new", "--from-outcomes", "x.csv", "--concurrency", "8"), "--concurrency says nothing here; expected --upstream"),
        (("new", "--from-outcomes", "x.csv", "--max-usd", "1"), "--max-usd says nothing here; expected --upstream"),
        (
            ("new", "--by-analogy", "--judge", "http://y", "--judge-model", "j"),
            "--judge says nothing here; expected --upstream",
        ),
        (("new", "--upstream", "http://x", "--judge-price", "1:2"), "--judge-price says nothing here; expected --judge"),
        (("new", "--like", "gpt-4o", "--price", "1:2"), "expected --upstream or --from-outcomes or --by-analogy with it"),
        (("new", "--by-analogy", "--namespace", "ml"), "--namespace says nothing here; expected --configmap with it"),
    ],
)
def test_wrong_usage_says_what_is_right(
    tradewind: Tradewind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    status, out, err = tradewind("profile", *arguments)
    assert (status, out) == (2, "")
    assert part in " ".join(err.split())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "flags", "status"), [("n\n", (), 2), ("y\n", (), 3), ("", ("--yes",), 3)])
def test_on_a_terminal_it_asks_before_money_is_spent(
    tradewind: Tradewind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, flags: tuple[str, ...], status: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    (tmp_path / "table.jsonl").touch()
    with simulator(tmp_path / "table.jsonl", tmp_path / "log") as url:
        command = (
            "profile",
            "unknown",
            "--upstream",
            url,
            "--answers",
            tmp_path / "kept.jsonl",
            "--limit",
            5,
            "--price",
            "1:2",
        )
        found, _, err = tradewind(*command, *flags)
        assert served(url) == 0  # That model is refused.
    assert found == status
    assert "5 calls, about" in err
    assert ("nothing was asked" in err) == (status == 2)


def test_code_is_left_out_aloud_where_it_cannot_be_run(
    tradewind: Tradewind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "code cannot be run in a sandbox here")
    few = anchors.select([anchor for anchor in anchors.shipped() if anchor.kind != "code"], 20)
    table = tmp_path / "table.jsonl"
    table.write_text(answering.table(few, dict.fromkeys([anchor.id for anchor in few], True)))
    with simulator(table, tmp_path / "log") as url:
        command = ("profile", "new", "--upstream", url, "--limit", 20, "--answers", tmp_path / "kept.jsonl", "--json")
        status, out, err = tradewind(*command)
    assert status == 0
    assert "anchors of kind `code` are left out" in err
    assert json.loads(out)["accuracy"]["value"] == 1.0


def test_an_upstream_that_answers_nothing_is_a_failure_and_some_missing_a_finding(tradewind: Tradewind, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"text": "Say hello.", "answer": "hello"}\n{"text": "Say bye.", "answer": "bye"}\n')
    table = tmp_path / "table.jsonl"
    table.write_text('{"contains": "hello", "answer": "Hello!"}\n')
    kept = tmp_path / "kept.jsonl"
    with simulator(table, tmp_path / "log") as url:
        command = ("profile", "new", "--upstream", url, "--anchors", own, "--answers", kept, "--json")
        unknown = tradewind(*command, "--model", "other")
        # At most 1 + 2 USD a million tokens: one call fits, two do not.
        partly = tradewind(*command, "--max-tokens", 100_000, "--price", "1:2", "--max-usd", "0.21")
    assert unknown[0] == 3
    assert "upstream_rejected" in unknown[2]
    assert partly[0] == 1
    assert list(json.loads(partly[1])["missing"].values()) == ["the budget was spent"]
    assert "1 of 2 prompts have no score" in " ".join(partly[2].split())
