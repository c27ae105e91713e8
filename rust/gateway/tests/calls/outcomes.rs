//! One outcome per call, with everything that replay and accounting need.

use http::Request;
use serde_json::{Value, json};
use tradewind_core::{
    plan::{self, Predictors},
    predict::{Predictor, tiny},
    record::{Capture, CaptureKind, decide_again},
};

use crate::{
    gateway::{Gateway, QUESTION, digest, plan as plan_over, read},
    upstream::{Scene, Upstream, unary},
};

#[tokio::test]
async fn an_outcome_says_what_happened_and_what_it_cost() {
    let upstream = Upstream::start(vec![unary("blue", 100, 10)]).await;
    let second = Upstream::start(vec![unary("x", 1, 1)]).await;
    let gateway = Gateway::new(&[&upstream, &second]);
    gateway.answer(QUESTION).await;
    let outcome = gateway.outcome().await;
    for (field, expected) in [
        ("tenant", json!("default")),
        ("route", json!("default/policy")),
        ("model", json!("auto")),
        ("chosen", json!("default/pool/m0")),
        ("answered_by", json!("default/pool/m0")),
        ("error", Value::Null),
        ("predictor", json!(digest())),
        ("cost_nanousd", json!(120_000)),
        ("baseline_model", json!("default/pool/m0")),
        ("baseline_cost_nanousd", json!(120_000)),
        ("decision", outcome["id"].clone()),
    ] {
        assert_eq!(outcome[field], expected, "{field}");
    }
    let attempt = &outcome["attempts"][0];
    assert_eq!(attempt["propensity"], 1.0);
    assert_eq!([&attempt["input_tokens"], &attempt["cached_tokens"], &attempt["output_tokens"]], [100, 0, 10]);
    assert!(attempt["total_ms"].as_f64() >= attempt["first_token_ms"].as_f64());
    assert!(outcome["time"].as_str().unwrap().ends_with('Z') && outcome["price_table"].as_str().unwrap().starts_with("sha256:"));
}

#[tokio::test]
async fn cached_tokens_are_counted_at_their_price() {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":60}}}"#;
    let upstream = Upstream::start(vec![Scene::Answer(200, "", body.to_owned())]).await;
    let mut plan = plan_over(&[&upstream]);
    plan["models"][0]["price"]["cached_input_nanousd_per_million"] = json!(100_000_000);
    let gateway = Gateway::with(&plan, |_| {});
    gateway.answer(QUESTION).await;
    let attempt = &gateway.outcome().await["attempts"][0];
    assert_eq!((&attempt["cached_tokens"], &attempt["cost_nanousd"]), (&json!(60), &json!(66_000)));
}

#[tokio::test]
async fn an_answer_without_usage_is_estimated() {
    let upstream = Upstream::start(vec![Scene::Answer(200, "", r#"{"choices":[{"message":{"content":"12345678"}}]}"#.to_owned())]).await;
    let gateway = Gateway::new(&[&upstream]);
    gateway.answer(QUESTION).await;
    let attempt = &gateway.outcome().await["attempts"][0];
    assert_eq!((&attempt["usage"], &attempt["output_tokens"]), (&json!("estimated"), &json!(2)));
    assert_eq!(attempt["input_tokens"].as_u64().unwrap(), QUESTION.len().div_ceil(4) as u64);
}

#[tokio::test]
async fn recorded_calls_are_decided_again_alike() {
    let upstream = Upstream::start(vec![unary("a", 30, 10)]).await;
    let second = Upstream::start(vec![unary("b", 1, 1)]).await;
    let source = plan_over(&[&upstream, &second]);
    for kind in [CaptureKind::Features, CaptureKind::Text] {
        let gateway = Gateway::with(&source, |settings| settings.capture = kind);
        // The second turn has no words of its own and inherits the session's prediction.
        for text in ["Why is the sky blue?", "continue"] {
            let request = Request::post("/v1/chat/completions")
                .header("x-tradewind-session", "s")
                .header("x-tradewind-willingness-to-pay", "0.5")
                .body(QUESTION.replace("Why is the sky blue?", text))
                .unwrap();
            assert_eq!(read(gateway.send(request).await).await.status, 200);
        }
        let predictor = std::sync::Arc::new(Predictor::native(&tiny(|_, _| {})).unwrap());
        let predictors = Predictors::from([(predictor.digest().to_string(), predictor)]);
        let plan = plan::compile(source.to_string().as_bytes(), &predictors).map_err(|problems| format!("{problems:?}")).unwrap().plan;
        let outcomes = gateway.outcomes().await;
        assert_eq!(outcomes[0]["capture"]["inputs"]["prediction"], outcomes[1]["capture"]["inputs"]["prediction"]);
        for outcome in outcomes {
            let capture: Capture = serde_json::from_value(outcome["capture"].clone()).unwrap();
            assert_eq!((capture.kind, capture.body.is_some()), (kind, kind == CaptureKind::Text));
            let again = decide_again(&plan, &capture).unwrap();
            assert_eq!(&*again.chosen().model.0.id, outcome["chosen"].as_str().unwrap());
            assert_eq!(again.objective.willingness_to_pay_usd, Some(0.5));
        }
    }
}
