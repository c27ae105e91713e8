"""`curl`, as a person types it, through both doors."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from place import Place

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(place: Place, *arguments: str, path: str = "/chat/completions") -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", f"{place.base_url}{path}"]
    command += ["-H", f"Authorization: Bearer {place.key}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def data(**more: object) -> tuple[str, str]:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Name a harbour."}], **more}
    return "-d", json.dumps(body)


def test_a_completion(place: Place) -> None:
    answer = json.loads(curl(place, *data()))
    assert "simulated answer" in answer["choices"][0]["message"]["content"]


def test_a_stream(place: Place) -> None:
    lines = curl(place, "--no-buffer", *data(stream=True)).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(line.removeprefix("data: ")) for line in lines[:-2])


def test_headers_and_an_error(place: Place) -> None:
    answer = curl(place, "--include", *data(model="gpt-none"))
    head, body = answer.split("\n\n", 1) if "\r\n\r\n" not in answer else answer.split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 404")
    assert "x-tradewind-decision" in head.lower()
    assert json.loads(body)["error"]["code"] == "model_not_found"


def test_a_body_that_waits_for_a_word_and_is_too_large(place: Place) -> None:
    """With `Expect: 100-continue` the refusal comes before the body is sent."""
    text = "a" * (70 << 10)
    arguments = (
        "--include",
        "-H",
        "Expect: 100-continue",
        *data(messages=[{"role": "user", "content": text}]),
    )
    answer = curl(place, *arguments)
    assert "HTTP/1.1 413" in answer
    assert "body_too_large" in answer


def test_models(place: Place) -> None:
    assert json.loads(curl(place, path="/models"))["object"] == "list"
