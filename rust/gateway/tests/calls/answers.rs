//! Calls that go well.

use std::sync::atomic::Ordering;

use http::Request;
use serde_json::json;

use crate::{
    gateway::{Gateway, QUESTION, read},
    upstream::{Scene, Upstream, status, unary, unary_body},
};

#[tokio::test]
async fn an_answer_comes_back_as_it_is_with_the_decision_in_its_headers() {
    let upstream = Upstream::start(vec![unary("blue", 9, 1)]).await;
    let gateway = Gateway::new(&[&upstream]);
    let answer = gateway.answer(QUESTION).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, unary_body("blue", 9, 1).as_str()));
    assert_eq!(answer.header("x-tradewind-model"), "default/pool/m0");
    assert_eq!(answer.header("x-tradewind-cost-usd"), "0.000011000");
    assert!(answer.header("x-tradewind-plan").starts_with("sha256:"));
    assert!(answer.header("x-tradewind-decide-us").parse::<u64>().is_ok());
    let outcome = gateway.outcome().await;
    assert_eq!(outcome["id"], answer.header("x-tradewind-decision"));
    assert_eq!(upstream.bodies(), [json!({"model": "up/0", "messages": [{"role": "user", "content": "Why is the sky blue?"}]})]);
}

#[tokio::test]
async fn connections_are_kept_and_a_stale_one_costs_no_attempt() {
    let upstream = Upstream::start(vec![unary("a", 1, 1), Scene::AnswerAndClose(unary_body("b", 1, 1)), unary("c", 1, 1)]).await;
    let gateway = Gateway::new(&[&upstream]);
    for _ in 0..3 {
        assert_eq!(gateway.answer(QUESTION).await.status, 200);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
    assert!(gateway.outcomes().await.iter().all(|outcome| outcome["attempts"].as_array().unwrap().len() == 1));
}

#[tokio::test]
async fn a_refusal_for_the_client_is_relayed_as_it_is() {
    let upstream = Upstream::start(vec![status(400, "x-request-id: 7\r\n")]).await;
    let other = Upstream::start(vec![unary("b", 1, 1)]).await;
    let gateway = Gateway::new(&[&upstream, &other]);
    let answer = gateway.answer(QUESTION).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.header("x-request-id")), (400, r#"{"error":{"message":"no"}}"#, "7"));
    let outcome = gateway.outcome().await;
    assert_eq!((outcome["attempts"][0]["status"].clone(), outcome["cost_nanousd"].clone()), (json!(400), json!(0)));
    assert!(other.bodies().is_empty());
}

#[tokio::test]
async fn a_model_named_by_the_caller_is_called() {
    let (first, second) = (Upstream::start(vec![unary("a", 1, 1)]).await, Upstream::start(vec![unary("b", 1, 1)]).await);
    let gateway = Gateway::new(&[&first, &second]);
    for name in ["m1", "default/pool/m1"] {
        let answer = gateway.answer(&QUESTION.replace("auto", name)).await;
        assert_eq!((answer.status, answer.header("x-tradewind-model")), (200, "default/pool/m1"));
    }
}

#[tokio::test]
async fn the_credential_of_the_plan_goes_to_the_upstream_and_the_callers_does_not() {
    let upstream = Upstream::start(vec![unary("a", 1, 1)]).await;
    let mut plan = crate::gateway::plan(&[&upstream]);
    plan["models"][0]["upstream"]["credential"] = json!("default/keys/small");
    let gateway = Gateway::with(&plan, |_| {});
    let refused = gateway.answer(QUESTION).await;
    assert_eq!((refused.status, refused.code()), (503, "credential_missing".to_owned()));
    let values = [("default/keys/small".to_owned(), "sk-up\n".to_owned())];
    gateway.engine.set_credentials(tradewind_gateway::secrets::Credentials::new(values).unwrap());
    let request = Request::post("/v1/chat/completions").header("authorization", "Bearer mine").body(QUESTION.to_owned()).unwrap();
    assert_eq!(read(gateway.send(request).await).await.status, 200);
    assert!(upstream.heads()[0].contains("authorization: bearer sk-up\r\n") && !upstream.heads()[0].contains("mine"));
}
