"""The app within another app, and what FastAPI gives besides the engine's paths."""

from __future__ import annotations

import json

import httpx
import pytest
from fastapi import FastAPI

import doors
from doors import Gateways
from tradewind import asgi, core
from tradewind.artifacts import schemas
from tradewind.asgi import document

BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("prefix", ["", "/llm", "/a b/deep"])
def test_a_mounted_app_serves_below_its_place(gateway_to: Gateways, prefix: str) -> None:
    with core.Simulator(models="m:1:1") as simulator:
        app = asgi.create_app(gateway_to(f"{simulator.url}/v1"))
        if prefix:
            outer = FastAPI()
            outer.mount(prefix, app)
            app = outer
        with doors.served(app) as url, httpx.Client(base_url=url + prefix) as client:
            answer = client.post("/v1/chat/completions", json=BODY)
            assert answer.status_code == 200
            assert answer.headers["x-tradewind-model"] == "default/chat/m"
            stream = client.post("/v1/chat/completions", json={**BODY, "stream": True})
            assert stream.text.endswith("data: [DONE]\n\n")
            missing = client.get("/v1/nothing%2Fhere")
            assert missing.status_code == 404
            # The engine knows nothing of the place: it names the path below it, as it came.
            assert "`/v1/nothing%2Fhere`" in missing.json()["error"]["message"]


def test_a_server_with_a_root_path_serves_below_it(gateway_to: Gateways) -> None:
    with doors.served(asgi.create_app(gateway_to("http://127.0.0.1:9/v1")), root_path="/proxied") as url:
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def test_the_outer_app_keeps_its_own_routes(gateway_to: Gateways) -> None:
    outer = FastAPI()

    @outer.get("/own")
    def own() -> str:
        return "ours"

    outer.mount("/", asgi.create_app(gateway_to("http://127.0.0.1:9/v1")))
    with doors.served(outer) as url:
        assert httpx.get(f"{url}/own").json() == "ours"
        assert httpx.get(f"{url}/readyz").json()["status"] == "ready"


def test_the_documentation_describes_every_path_and_error(gateway_to: Gateways) -> None:
    with doors.served(asgi.create_app(gateway_to("http://127.0.0.1:9/v1"))) as url:
        assert "swagger" in httpx.get(f"{url}/docs").text
        document = httpx.get(f"{url}/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatCompletionRequest")
    assert {"/v1/decide", "/v1/models", "/healthz", "/readyz", "/metrics", "/plan"} <= set(document["paths"])
    for row in core.error_codes():
        response = document["components"]["responses"][str(row["status"])]
        assert f"`{row['code']}`" in response["description"]
        assert str(row["status"]) in chat["responses"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place = document
        for step in reference.split("/"):
            place = place[step]


def test_the_document_has_the_fields_of_a_decision() -> None:
    answered, written = document.SCHEMAS["Decision"], schemas.read("decision")
    assert set(answered["properties"]) == set(written["properties"])
    assert set(answered["required"]) == set(written["required"])
    said = "second_tier"
    assert set(answered["properties"][said]["properties"]) == set(written["properties"][said]["properties"])


def test_the_document_admits_what_the_engine_answers(gateway_to: Gateways) -> None:
    import jsonschema

    with core.Simulator(models="m:1:1") as simulator:
        app = asgi.create_app(gateway_to(f"{simulator.url}/v1"))
        with doors.served(app) as url, httpx.Client(base_url=url) as client:
            schemas = client.get("/openapi.json").json()["components"]["schemas"]
            answers = {
                "ChatCompletion": client.post("/v1/chat/completions", json=BODY),
                "Decision": client.post("/v1/decide", json=BODY),
                "ModelList": client.get("/v1/models"),
                "Error": client.post("/v1/decide", json={}),
            }
    for name, answer in answers.items():
        jsonschema.validate(answer.json(), schemas[name])
    jsonschema.validate(BODY, schemas["ChatCompletionRequest"])
