"""The command line from outside: exit codes, what goes to stdout, and what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT202012

import tiny_predictor
from commands import Tradewind
from hosted import hosted
from tradewind.artifacts import predictor, schemas

VALID = Path(__file__).parent.parent / "resources" / "valid"
INVALID = Path(__file__).parent.parent / "resources" / "invalid"
EASY, HARD = "Hi", "Explain in depth. " * 5


def fits(name: str, document: object) -> None:
    resources = [(schema["$id"], DRAFT202012.create_resource(schema)) for schema in map(schemas.read, schemas.names())]
    registry: referencing.Registry = referencing.Registry().with_resources(resources)
    jsonschema.Draft202012Validator(schemas.read(name), registry=registry).validate(document)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    lines = [
        {"id": "easy", "text": EASY},
        {"id": "hard", "body": {"model": "auto", "messages": [{"role": "user", "content": HARD}]}},
        {"id": "rich", "text": EASY, "willingness_to_pay_usd": 5},
    ]
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_decisions_fit_their_schema_and_the_same_inputs_give_the_same_bytes(
    tradewind: Tradewind, predictor_folder: Path, calls: Path
) -> None:
    arguments = (
        "decide",
        "--config",
        VALID / "minimal.yaml",
        "--predictor",
        predictor_folder,
        "--input",
        calls,
    )
    status, out, _ = tradewind(*arguments, "--at", "2026-01-31T12:00:00Z", "--seed", 7, "--json")
    again = tradewind(*arguments, "--at", "2026-01-31T12:00:00Z", "--seed", 7, "--json")
    assert status == 0
    assert again[1] == out
    decisions = [json.loads(line) for line in out.splitlines()]
    for decision in decisions:
        fits("decision", decision)
        fits("decide", decision)
    assert [(each["id"], each["chosen"].split("/")[-1]) for each in decisions] == [
        ("easy", "cheap"),
        ("hard", "dear"),
        ("rich", "dear"),
    ]


def test_decide_takes_the_plan_that_assemble_wrote(
    tradewind: Tradewind, predictor_folder: Path, calls: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    config = VALID / "minimal.yaml"
    assert tradewind("plan", "assemble", config, "-o", plan, "--predictor", predictor_folder)[0] == 0
    fits("plan", json.loads(plan.read_bytes()))
    rest = ("--predictor", predictor_folder, "--input", calls, "--json")
    assert tradewind("decide", plan, *rest) == tradewind("decide", "--config", config, *rest)
    assert tradewind("plan", "check", plan, "--predictor", predictor_folder)[0] == 0


def test_a_line_with_an_error_is_answered_in_its_place(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text('{"id": "a", "text": "Hi"}\nnonsense\n{"id": "c", "body": {"model": "who"}}\n')
    arguments = ("--config", VALID / "minimal.yaml", "--predictor", predictor_folder, "--input", file)
    status, out, _ = tradewind("decide", *arguments, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    for line in lines:
        fits("decide", line)
    assert status == 1
    assert ["error" in line for line in lines] == [False, True, True]
    assert [line["id"] for line in lines] == ["a", None, "c"]
    assert tradewind("decide", *arguments)[0] == 1


def test_an_id_that_can_be_read_stands_in_the_error_of_its_line(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text('{"id": 7, "text": "Hi"}\n{"id": "b", "txt": "Hi"}\n{"id": [], "text": "Hi"}\n{"id": "d"}\n')
    arguments = ("--config", VALID / "minimal.yaml", "--predictor", predictor_folder, "--input", file, "--json")
    status, out, _ = tradewind("decide", *arguments)
    lines = [json.loads(line) for line in out.splitlines()]
    for line in lines:
        fits("decide", line)
    assert status == 1
    assert [line["id"] for line in lines] == [7, "b", None, "d"]
    assert lines[0]["error"]["message"] == 'line 1 cannot be read: its id 7 is a number; expected a string, such as "7"'
    assert "unknown field `txt`" in lines[1]["error"]["message"]


def test_a_text_is_decided_as_its_compact_body_from_the_library_and_by_route(
    tradewind: Tradewind, predictor_folder: Path, tmp_path: Path
) -> None:
    from tradewind.engine import Engine

    texts = ["Hi", 'Quote " and \\ and / and \t\n\r\b\f\x00\x1f\x7f', "Größe, 漢字, 🙂, \u2028", ""]
    file = tmp_path / "calls.jsonl"
    bodies = [{"model": "auto", "messages": [{"role": "user", "content": text}]} for text in texts]
    config, rest = VALID / "minimal.yaml", ("--predictor", predictor_folder, "--json")
    with file.open("w") as lines:
        for text, body in zip(texts, bodies, strict=True):
            compact = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            lines.write(json.dumps({"id": "", "text": text}) + "\n" + f'{{"id":"","body":{compact}}}\n')
    decisions = [json.loads(line) for line in tradewind("decide", "--config", config, "--input", file, *rest)[1].splitlines()]
    engine = Engine.from_config(config, predictor_at=predictor_folder)
    for text, body, by_text, by_body in zip(texts, bodies, decisions[::2], decisions[1::2], strict=True):
        assert by_text == by_body == engine.decide(body).document
        if "\x00" not in text:
            assert json.loads(tradewind("route", text, "--config", config, *rest)[1])["decision"] == by_text


def test_the_choice_flips_at_the_willingness_to_pay_that_route_names(tradewind: Tradewind, predictor_folder: Path) -> None:
    common = ("--config", VALID / "minimal.yaml", "--predictor", predictor_folder, "--json")
    status, out, _ = tradewind("route", EASY, *common)
    document = json.loads(out)
    assert status == 0
    fits("route", document)
    assert document["chosen"]["model"] == "default/chat/cheap"
    assert document["runner_up"]["model"] == "default/chat/dear"
    flip = document["flips"]["above"]
    assert document["flips"]["below"] is None

    def chosen(willingness: float) -> str:
        return json.loads(tradewind("route", EASY, *common, "--willingness-to-pay", willingness)[1])["chosen"]["model"]

    assert chosen(flip["willingness_to_pay_usd"] * 0.999999) == "default/chat/cheap"
    assert chosen(flip["willingness_to_pay_usd"] * 1.000001) == flip["model"] == "default/chat/dear"
    back = json.loads(tradewind("route", EASY, *common, "--willingness-to-pay", 5)[1])["flips"]["below"]
    assert back["willingness_to_pay_usd"] == pytest.approx(flip["willingness_to_pay_usd"])


def test_route_tells_people_what_was_chosen_and_why(tradewind: Tradewind, predictor_folder: Path) -> None:
    status, out, _ = tradewind("route", EASY, "--config", VALID / "minimal.yaml", "--predictor", predictor_folder)
    assert status == 0
    for part in ("Chosen: cheap", "Runner-up: dear", "the choice flips to dear"):
        assert part in out


def test_problems_are_found_all_at_once(tradewind: Tradewind, predictor_folder: Path) -> None:
    file = INVALID / "everything_at_once.yaml"
    status, out, _ = tradewind("plan", "check", file, "--predictor", predictor_folder, "--json")
    document = json.loads(out)
    fits("problems", document)
    assert status == 1
    assert len(document["problems"]) == 4
    status, out, err = tradewind("plan", "assemble", file, "--predictor", predictor_folder)
    assert (status, out) == (1, "")
    assert f"{file}:" in err
    assert "expected one of `Best`" in err


def test_an_edit_is_told_field_by_field(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    old, new, plan = VALID / "minimal.yaml", tmp_path / "new.yaml", tmp_path / "plan.json"
    new.write_text(old.read_text().replace('"0.20"', '"0.30"').replace("name: dear", "name: dearer"))
    common = ("--predictor", predictor_folder)
    status, out, _ = tradewind("plan", "diff", old, new, "--json", *common)
    document = json.loads(out)
    fits("plan_diff", document)
    assert (status, document["same"]) == (1, False)
    assert [(change["kind"], change["id"], change["change"]) for change in document["changes"]] == [
        ("model", "default/chat/cheap", "changed"),
        ("model", "default/chat/dear", "removed"),
        ("model", "default/chat/dearer", "added"),
        ("policy", "default/default", "changed"),
    ]
    path = "price.output_nanousd_per_million"
    assert document["changes"][0]["fields"] == [{"path": path, "old": 200_000_000, "new": 300_000_000}]
    status, out, err = tradewind("plan", "diff", old, new, *common)
    assert (status, err) == (1, "4 changes\n")
    assert "+ model default/chat/dearer\n" in out
    assert f"    {path}: 200000000 → 300000000\n" in out
    assert tradewind("plan", "assemble", old, "-o", plan, *common)[0] == 0
    status, out, _ = tradewind("plan", "diff", plan, old, "--json", *common)
    assert (status, json.loads(out)) == (0, {"same": True, "changes": []})


def test_a_refused_configuration_cannot_be_compared(tradewind: Tradewind, predictor_folder: Path) -> None:
    old, new = VALID / "minimal.yaml", INVALID / "missing_pool.yaml"
    status, out, err = tradewind("plan", "diff", old, new, "--json", "--predictor", predictor_folder)
    assert (status, out) == (2, "")
    assert "unknown pool `default/chart`" in err


def test_a_policy_may_bring_a_predictor_of_its_own(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    own = predictor.read(tiny_predictor.write(tmp_path / "site", steepness=-1.0))
    config, calls, plan = tmp_path / "config.yaml", tmp_path / "calls.jsonl", tmp_path / "plan.json"
    calls.write_text(json.dumps({"id": "a", "text": EASY}) + "\n")
    common = ("--predictor", predictor_folder, "--predictor-cache", tmp_path / "cache")
    with hosted(tmp_path / "site") as site:
        named = f'{{url: "{site.url}/predictor.onnx", sha256: "{own.digest}"}}'
        config.write_text((VALID / "minimal.yaml").read_text() + f"  predictor: {named}\n")
        assert tradewind("plan", "check", config, *common)[0] == 0
        asked = list(site.asked)
    assert asked == ["/predictor.onnx", "/manifest.json"]
    status, out, _ = tradewind("decide", "--config", config, "--input", calls, "--json", *common)
    assert (status, json.loads(out)["predictor"]) == (0, own.digest)
    status, out, _ = tradewind("route", EASY, "--config", config, "--json", *common)
    assert (status, json.loads(out)["decision"]["predictor"]) == (0, own.digest)
    assert tradewind("plan", "assemble", config, "-o", plan, *common)[0] == 0
    status, out, _ = tradewind("decide", plan, "--input", calls, "--json", *common)
    assert (status, json.loads(out)["predictor"]) == (0, own.digest), "a plan has no URL: what is kept is found by digest"
    elsewhere = ("--predictor", predictor_folder, "--predictor-cache", tmp_path / "elsewhere")
    status, _, err = tradewind("plan", "check", config, *elsewhere)
    assert status == 1
    assert f"{config}:" in err
    assert f"spec.predictor: the predictor `{own.digest}` is missing: {site.url}/predictor.onnx cannot be fetched" in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("decide", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
        (("decide", "--json"), "--input"),
        (("decide", "--input", "/nowhere", "--json"), "/nowhere cannot be read"),
        (("decide", "--input", "/dev/null", "--executor", "gpu"), "onnxruntime"),
        (("decide", "--input", "/dev/null", "--at", "yesterday"), "expected a time with its zone"),
        (("route", "Hi", "--config", "/nowhere"), "/nowhere"),
        (("route", "Hi", "--config", str(VALID / "minimal.yaml"), "--model", "who"), "unknown model `who`; expected one of"),
        (("bench", "decide", "--bodies", str(VALID / "minimal.yaml")), "line 1 is neither"),
        (("train", "--data", "/nowhere", "--out", "artifact"), "/nowhere holds no data set"),
        (("train", "--data", "/nowhere", "--out", "artifact", "--exclude", "/none"), "/none cannot be read"),
        (("train", "--data", "/nowhere", "--out", "/dev/null/a"), "/dev/null/a cannot be written: /dev/null is not a folder"),
        (("evaluate", "--data", "/nowhere", "--report", "/dev/null"), "/dev/null cannot be written: it is not a folder"),
        (("evaluate", "--data", "/nowhere", "--plans-out", "/dev/null/a"), "/dev/null/a cannot be written"),
        (("evaluate", "--data", "/nowhere", "--decisions-out", "/dev/null/a"), "/dev/null/a cannot be written"),
        (("evaluate", "--data", "/nowhere", "--decisions-out", "/"), "/ cannot be written: it is a folder"),
        (("plan", "assemble", str(VALID / "minimal.yaml"), "-o", "/"), "/ cannot be written"),
        (("plan", "assemble", str(VALID / "minimal.yaml"), "-o", "/dev/null/a"), "/dev/null/a cannot be written"),
        (("serve", "--ledger-dir", "/dev/null/a"), "/dev/null/a cannot be written"),
        (("evaluate", "--data", "/nowhere"), "/nowhere holds no data set"),
        (("replay", "--ledger", "/", "--plan", "/", "--predictor", "/none"), "no predictor is at /none"),
        (("plan", "check", "/nowhere"), "/nowhere"),
        (("ledger", "--dir", "/nowhere"), "no ledger"),
        (("savings", "--log", "/nowhere", "--baseline", "gpt-4o"), "/nowhere cannot be read"),
        (("savings", "--log", "/dev/null"), "--baseline"),
        (("calibrate", "--log", "/nowhere", "--share", "30%"), "/nowhere cannot be read"),
        (("features", "--input", "/nowhere"), "cannot be read"),
        (("serve", "--host", "0.0.0.0"), "needs --keys"),
        (("serve", "--door", "back"), "both"),
        (("simulate", "--models", "small"), "name:input:output"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_accepted(
    tradewind: Tradewind, predictor_folder: Path, arguments: tuple[str, ...], part: str
) -> None:
    given = list(arguments)
    if given[0] in ("route", "plan", "decide") and "--nonsense" not in given:
        given += ["--predictor", str(predictor_folder)]
    status, out, err = tradewind(*given)
    assert (status, out) == (2, "")
    assert part in " ".join(err.split())


def test_a_refused_plan_is_found_and_named_whatever_form_it_has(
    tradewind: Tradewind, predictor_folder: Path, calls: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    tradewind("plan", "assemble", VALID / "minimal.yaml", "-o", plan, "--predictor", predictor_folder)
    document = json.loads(plan.read_bytes())
    document["routes"][0]["candidates"] = []
    plan.write_text(json.dumps(document))
    common = ("--predictor", predictor_folder)
    for command in (("decide", plan, "--input", calls), ("route", "Hi", "--config", plan), ("plan", "check", plan)):
        status, _, err = tradewind(*command, *common)
        assert status == 1
        assert f"error: {plan}: routes[0].candidates: a route needs at least one candidate" in " ".join(err.split())
    plan.write_text("{")
    status, _, err = tradewind("decide", plan, "--input", calls, *common)
    assert status == 1
    assert f"{plan}: the plan source cannot be read" in " ".join(err.split())


def test_no_candidate_is_a_finding(tradewind: Tradewind, predictor_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    narrow = "{contextTokens: 8, outputTokens: 8}"
    config.write_text((VALID / "minimal.yaml").read_text().replace("{contextTokens: 32768, outputTokens: 8192}", narrow))
    status, _, err = tradewind("route", HARD, "--config", config, "--predictor", predictor_folder)
    assert (status, "no_candidate" in err) == (1, True)


def test_an_interrupted_simulator_still_gives_its_totals(tmp_path: Path) -> None:
    command = ["tradewind", "simulate", "--models", "small:1:2"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path))
    assert started.stderr is not None
    assert started.stderr.readline().startswith("simulating at http://127.0.0.1:")
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=30)
    assert (started.returncode, err) == (0, "")
    fits("simulate", json.loads(out))


def test_features_are_those_of_the_core(tradewind: Tradewind, tmp_path: Path) -> None:
    from tradewind import core

    file = tmp_path / "prompts.jsonl"
    file.write_text('{"id": "a", "text": "What is 2 + 2?"}\n{"id": "b", "text": ""}\n')
    status, out, _ = tradewind("features", "--input", file, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    for line in lines:
        fits("features", line)
        assert list(line["surface"]) == core.feature_names()
    assert lines[0]["token_ids"] == core.tokenize("What is 2 + 2?")
    assert lines[1]["token_ids"] == [0]


def test_ledger_shows_what_happened_since(tradewind: Tradewind, tmp_path: Path) -> None:
    def line(id: str, time: str) -> str:
        return json.dumps(
            {
                "id": id,
                "time": time,
                "tenant": "default",
                "plan": "sha256:0",
                "answered_by": "default/chat/cheap",
                "attempts": [],
                "baseline_cost_nanousd": 5,
                "labels": {},
            }
        )

    early, late = line("1", "2026-01-31T12:00:00.5Z"), line("2", "2026-02-01T00:00:00Z")
    (tmp_path / "outcomes-00000001.jsonl").write_text(f"{early}\n{late}\n{late[:9]}")
    status, out, err = tradewind("ledger", "--dir", tmp_path, "--since", "2026-01-31T13:00:00Z", "--json")
    assert status == 0
    assert [json.loads(entry)["id"] for entry in out.splitlines()] == ["2"]
    assert "1 line cut off" in err
    assert "default/chat/cheap" in tradewind("ledger", "--dir", tmp_path)[1]


def test_decisions_are_timed_from_rust_and_from_python(tradewind: Tradewind, predictor_folder: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        status, out, _ = tradewind("bench", "decide", "--count", 20, "--models", 3, "--predictor", predictor_folder, "--json")
    finally:
        os.sched_setaffinity(0, before)
    document = json.loads(out)
    assert status == 0
    fits("bench_decide", document)
    for way in ("rust", "python", "text"):
        assert list(document[way]) == ["20", "100", "500", "2000"]
        assert all(0 < row["p50_us"] <= row["p99_us"] and row["n"] == 18 for row in document[way].values())


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_the_version_is_that_of_the_package(tradewind: Tradewind) -> None:
    from importlib import metadata

    assert tradewind("--version") == (0, f"tradewind {metadata.version('tradewind')}\n", "")


def test_help_lists_the_commands_and_leaves_the_heavy_libraries_alone(tmp_path: Path) -> None:
    program = """
import sys
from tradewind.cli import main
sys.argv = ["tradewind", "--help"]
heavy = ("numpy", "pydantic", "onnx", "onnxruntime", "sklearn", "fastapi", "tradewind._core")
try:
    main()
finally:
    print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(tmp_path),
        check=True,
    )
    commands = "serve decide route plan train evaluate bench simulate ledger replay savings calibrate features"
    assert all(f" {command} " in done.stdout for command in commands.split())
    assert done.stderr.strip() == "[]"


def test_nothing_is_written_to_the_home_folder(tmp_path: Path, predictor_folder: Path, calls: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    arguments = [
        "decide",
        "--config",
        VALID / "minimal.yaml",
        "--predictor",
        predictor_folder,
        "--input",
        calls,
        "--json",
    ]
    done = subprocess.run(
        ["tradewind", *map(str, arguments)],
        capture_output=True,
        timeout=30,
        env=environment(home),
        check=True,
    )
    assert done.stdout.count(b"\n") == 3
    assert list(home.iterdir()) == []
