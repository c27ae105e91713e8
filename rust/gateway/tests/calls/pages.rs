//! What is not a call, and what is refused before it is one.

use http::Request;
use serde_json::{Value, json};
use tradewind_core::plan::Predictors;
use tradewind_gateway::{Engine, Keys, Peer, Settings};

use crate::{
    gateway::{Gateway, QUESTION, plan_of, read},
    upstream::{Upstream, unary},
};

fn gateway() -> Gateway {
    Gateway::with(&plan_of(&["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]), |settings| settings.max_body_bytes = 1000)
}

async fn check(gateway: &Gateway, request: Request<String>) -> (u16, Value) {
    let answer = read(gateway.send(request).await).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_decision_is_told_without_a_call() {
    let gateway = gateway();
    let (status, decision) = check(&gateway, Request::post("/v1/decide").body(QUESTION.to_owned()).unwrap()).await;
    assert_eq!((status, &decision["chosen"]), (200, &json!("default/pool/m0")));
    assert_eq!(decision["candidates"].as_array().unwrap().len(), 2);
    assert!(gateway.outcomes().await.is_empty());
}

#[tokio::test]
async fn pages_say_what_is_served() {
    let gateway = gateway();
    let models = gateway.get("/v1/models").await.json();
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["auto", "m0", "m1"]);
    let plan = gateway.get("/plan").await.json();
    assert_eq!(
        (&plan["source"], &plan["routes"], &plan["executor"], &plan["refusal"]),
        (&json!("test"), &json!(["default/policy"]), &json!("native"), &Value::Null)
    );
    assert_eq!((gateway.get("/healthz").await.status, gateway.get("/readyz").await.status), (200, 200));
    gateway.answer(QUESTION).await;
    let metrics = gateway.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        r#"tradewind_attempts_total{model="default/pool/m0",code="upstream_connect"} 1"#,
        r#"tradewind_calls_total{route="default/policy",model="",code="upstream_connect"} 1"#,
        "tradewind_calls_in_flight 0",
        "tradewind_ledger_dropped_total 0",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in\n{}", metrics.body);
    }
    gateway.engine.drain();
    assert_eq!((gateway.get("/healthz").await.status, gateway.get("/readyz").await.status), (200, 503));
    assert_eq!(gateway.answer(QUESTION).await.code(), "draining");
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_in_openais_shape() {
    let gateway = gateway();
    let post = |path: &str, body: &str| Request::post(path).body(body.to_owned()).unwrap();
    let dial = Request::post("/v1/chat/completions").header("x-tradewind-max-cost-usd", "cheap").body(QUESTION.to_owned()).unwrap();
    let session = Request::post("/v1/chat/completions").header("x-tradewind-session", "").body(QUESTION.to_owned()).unwrap();
    for (request, status, code) in [
        (post("/v1/embeddings", "{}"), 404, "not_found"),
        (Request::get("/v1/chat/completions").body(String::new()).unwrap(), 405, "method_not_allowed"),
        (post("/v1/models", ""), 405, "method_not_allowed"),
        (post("/v1/chat/completions", "{"), 400, "invalid_json"),
        (post("/v1/chat/completions", &" ".repeat(1001)), 413, "body_too_large"),
        (post("/v1/decide", r#"{"model":"auto"}"#), 400, "invalid_request"),
        (post("/v1/chat/completions", &QUESTION.replace("auto", "gpt")), 404, "model_not_found"),
        (post("/ns/other/v1/chat/completions", QUESTION), 403, "forbidden"),
        (post("/ns/other/healthz", ""), 404, "not_found"),
        (dial, 400, "invalid_header"),
        (session, 400, "invalid_header"),
    ] {
        let what = format!("{request:?}");
        let (found, body) = check(&gateway, request).await;
        assert_eq!((found, body["error"]["code"].as_str()), (status, Some(code)), "{what}: {body}");
    }
    assert!(gateway.get("/v1/x").await.body.contains("POST /v1/chat/completions"));
    // Parsed calls have an outcome, refused ones too; the others have none.
    let outcomes = gateway.outcomes().await;
    let codes: Vec<&str> = outcomes.iter().map(|outcome| outcome["error"].as_str().unwrap()).collect();
    assert_eq!(codes, ["model_not_found", "forbidden", "invalid_header", "invalid_header"]);
    assert_eq!(
        (&outcomes[0]["decision"], &outcomes[0]["capture"]["kind"], &outcomes[0]["tenant"]),
        (&Value::Null, &json!("none"), &json!("default"))
    );
}

#[tokio::test]
async fn keys_name_the_tenant() {
    let upstream = Upstream::start(vec![unary("a", 1, 1)]).await;
    let gateway = Gateway::new(&[&upstream]);
    // The SHA-256 of `abc`, and of nothing at all.
    let keys = r#"{"keys":[{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","tenant":"default","name":"ci","labels":{"team":"a"}},
        {"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","tenant":"other"}]}"#;
    gateway.engine.set_keys(Keys::parse(keys.as_bytes()).unwrap());
    let ask =
        |path: &str, key: &str| Request::post(path).header("authorization", format!("Bearer {key}")).body(QUESTION.to_owned()).unwrap();
    assert_eq!(check(&gateway, ask("/v1/chat/completions", "abc")).await.0, 200);
    assert_eq!(check(&gateway, ask("/ns/default/v1/chat/completions", "abc")).await.0, 200);
    assert_eq!(check(&gateway, ask("/v1/chat/completions", "abd")).await.0, 401);
    assert_eq!(check(&gateway, ask("/v1/chat/completions", "")).await.1["error"]["code"], "model_not_found");
    assert_eq!(gateway.get("/v1/models").await.status, 401);
    let outcomes = gateway.outcomes().await;
    assert_eq!(
        (outcomes.len(), &outcomes[0]["labels"], &outcomes[0]["key"], &outcomes[2]["tenant"]),
        (3, &json!({"team": "a"}), &json!("ci"), &json!("other"))
    );
}

#[tokio::test]
async fn without_a_plan_nothing_is_served_and_said_so() {
    let engine = Engine::new(Settings::default(), Predictors::new()).unwrap();
    for (method, path) in [("POST", "/v1/chat/completions"), ("POST", "/v1/decide"), ("GET", "/readyz"), ("GET", "/v1/models")] {
        let request = Request::builder().method(method).uri(path).body(QUESTION.into()).unwrap();
        let answer = read(engine.handle(request, Peer::default()).await).await;
        assert_eq!((answer.status, answer.code()), (503, "no_plan".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_bad_plan_is_refused_and_the_old_one_kept() {
    let gateway = gateway();
    let before = gateway.get("/plan").await.json();
    let mut bad = plan_of(&["http://user:password@127.0.0.1:1/v1"]);
    assert_eq!(gateway.engine.swap(bad.to_string().as_bytes(), "edit").unwrap_err()[0].path, "models[0].upstream.url");
    bad["routes"][0]["candidates"] = json!(["default/pool/nobody"]);
    assert!(gateway.engine.swap(bad.to_string().as_bytes(), "edit").is_err());
    assert!(gateway.engine.swap(b"{", "edit").is_err());
    let after = gateway.get("/plan").await.json();
    assert_eq!((&after["plan"], &after["refusal"]["problems"][0]["code"]), (&before["plan"], &json!("unreadable")));
    gateway.engine.swap(plan_of(&["http://127.0.0.1:3/v1"]).to_string().as_bytes(), "edit").unwrap();
    let healed = gateway.get("/plan").await.json();
    assert!(healed["plan"] != before["plan"] && healed["refusal"].is_null());
}
