"""Logs: what can be read of them comes as `decide` takes it, the rest is named, nothing is dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pool
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.calibration import log
from tradewind.calibration.log import Call, Observed, Unusable
from tradewind.errors import UsageError

SIMPLE = st.none() | st.integers() | st.text(max_size=8)
VALUES = SIMPLE | st.lists(SIMPLE, max_size=3) | st.dictionaries(st.text(max_size=3), SIMPLE, max_size=3)


def check(line: str, alias: str | None = None) -> Call | Unusable:
    return log.read_line(Path("calls.jsonl"), 1, line.encode(), alias)


def requested(line: str, alias: str | None = None) -> str:
    found = check(line, alias)
    assert isinstance(found, Call)
    return found.request.decode()


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_members_keep_the_text_of_their_values(document: dict[str, object], indent: int | None, ascii: bool) -> None:
    text = " " + json.dumps(document, indent=indent, ensure_ascii=ascii) + " "
    found = log.members(text)
    assert [name for name, _ in found] == list(document)
    assert all(value in text and json.loads(value) == document[name] for name, value in found)


def test_a_line_is_left_as_it_is_and_its_body_byte_for_byte() -> None:
    body = '{ "messages": [{"role":"user", "content":"Gr\\u00f6\\u00dfe \\/ 漢"}],  "model":"auto" }'
    assert requested(f'{{"id": "a", "body": {body}}}') == f'{{"id": "a", "body": {body}}}'
    assert requested(f'{{"id": "a", "model": "m", "body": {body}}}') == f'{{"id":"a","body":{body}}}'


def test_with_an_alias_all_calls_ask_for_it() -> None:
    assert requested('{"id": "a", "body": {"model": "gpt-4", "messages": [ 1 ], "n": 1e0}}', "fast") == (
        '{"id":"a","body":{"model":"fast","messages":[ 1 ],"n":1e0}}'
    )
    message = '{"model":"fast","messages":[{"role":"user","content":"Größe"}]}'
    assert requested('{"id": "a", "text": "Größe"}', "fast") == f'{{"id":"a","body":{message}}}'


def test_what_was_observed_is_taken_off_the_line() -> None:
    found = check('{"id": "a", "text": "Hi", "model": "m", "cost_usd": 0.5, "input_tokens": 3, "output_tokens": null}')
    assert isinstance(found, Call)
    assert found.observed == Observed("m", 0.5, 3)
    assert json.loads(found.request) == {"id": "a", "text": "Hi"}


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ('"cost_usd": 1', "needs `model`"),
        ('"model": 1', "needs `model`"),
        ('"model": "m", "cost_usd": "1"', "an amount of USD"),
        ('"model": "m", "cost_usd": -1', "an amount of USD"),
        ('"model": "m", "cost_usd": NaN', "an amount of USD"),
        ('"model": "m", "input_tokens": 1.5', "whole numbers"),
        ('"model": "m", "output_tokens": true', "whole numbers"),
        ('"attempts": []', "an outcome of the ledger that cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(more: str, part: str) -> None:
    found = check(f'{{"id": "a", "text": "Hi", {more}}}')
    assert isinstance(found, Unusable)
    assert (found.id, found.code) == ("a", "invalid_request")
    assert part in found.message


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"id": "a"', "\ufeff{}", "[" * 100_000])
def test_what_is_no_object_is_left_to_decide(line: str) -> None:
    assert requested(line, "fast") == line


def test_a_place_without_a_log_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(log.read(tmp_path / "nowhere.jsonl"))
    assert [found.number for found in log.read(pool.log(tmp_path, ['{"id": "a"}', "", " ", "x"]))] == [1, 4]
