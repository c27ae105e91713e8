"""An app that builds its own gateway: from variables, at its start or first request, fed from files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

import doors
from tradewind import asgi, core
from tradewind.asgi.source import Own
from tradewind.errors import ConfigurationError

POOL = """\
apiVersion: tradewind.dev/v1alpha1
kind: ModelPool
metadata: {{name: chat, namespace: default}}
spec:
  models:
  - name: tiny
    upstream: {{url: "{url}/v1", dialect: OpenAI}}
    price: {{inputPerMillion: "1", outputPerMillion: "2"}}
    limits: {{contextTokens: 8192, outputTokens: 1024}}
    quality: {{profile: tiny}}
---
apiVersion: tradewind.dev/v1alpha1
kind: RoutingPolicy
metadata: {{name: default, namespace: default}}
spec:
  poolRefs: [{{name: chat}}]
  match: {{models: [{alias}]}}
  strategy: {{type: Best}}
"""


@pytest.fixture
def config(tmp_path: Path, predictor_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a configuration that the environment names."""
    file = tmp_path / "config" / "all.yaml"
    file.parent.mkdir()
    monkeypatch.setenv("TRADEWIND_CONFIG", str(file.parent))
    monkeypatch.setenv("TRADEWIND_PREDICTOR", str(predictor_folder))
    return file


def ask(url: str, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body)


def replace(file: Path, text: str) -> None:
    """As an editor does it."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.rename(file)


def test_an_app_serves_what_the_environment_names_and_follows_its_edits(config: Path) -> None:
    with core.Simulator(models="tiny:1:2") as simulator:
        config.write_text(POOL.format(url=simulator.url, alias="auto"))
        with doors.served(asgi.create_app()) as url, httpx.Client(base_url=url) as client:
            assert client.get("/readyz").json()["status"] == "ready"
            assert ask(url, "auto").status_code == 200
            before = client.get("/plan").json()["plan"]
            replace(config, POOL.format(url=simulator.url, alias="fast"))
            while client.get("/plan").json()["plan"] == before:
                pass
            assert ask(url, "fast").status_code == 200
            replace(config, "kind: Nonsense")
            while (status := client.get("/plan").json())["refusal"] is None:
                pass
            assert "Nonsense" in str(status["refusal"]["problems"])
            assert ask(url, "fast").status_code == 200


def test_a_mounted_app_starts_with_its_first_request(config: Path) -> None:
    with core.Simulator(models="tiny:1:2") as simulator:
        config.write_text(POOL.format(url=simulator.url, alias="auto"))
        outer = FastAPI()
        outer.mount("/llm", asgi.create_app())
        with doors.served(outer) as url:
            assert ask(f"{url}/llm", "auto").status_code == 200


def test_a_bad_configuration_stops_the_start(config: Path) -> None:
    config.write_text("kind: Nonsense")
    with pytest.raises(ConfigurationError):
        asyncio.run(Own().gateway())


def test_the_module_has_an_app_that_is_not_started() -> None:
    assert isinstance(asgi.app, FastAPI)
