//! What fails before the first byte is answered by another model.

use std::sync::{Arc, atomic::Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tradewind_gateway::secrets::Credentials;

use crate::{
    gateway::{Gateway, QUESTION, STREAM, plan, plan_of},
    upstream::{DONE, Scene, Upstream, status, unary, unary_body, word},
};

/// The codes and statuses of the attempts of the only outcome.
fn attempts(outcome: &Value) -> Vec<(Value, Value)> {
    outcome["attempts"].as_array().unwrap().iter().map(|attempt| (attempt["error"].clone(), attempt["status"].clone())).collect()
}

async fn check(body: &str, scene: Scene, code: &str, seen: Value) {
    let first = Upstream::start(vec![scene.clone()]).await;
    let good = if body == STREAM { Scene::Stream(vec![word("b"), DONE.to_owned()]) } else { unary("b", 1, 1) };
    let second = Upstream::start(vec![good]).await;
    let mut plan = plan(&[&first, &second]);
    plan["routes"][0]["timeouts"] = json!({"first_token_ms": 200, "stream_idle_ms": 100});
    let gateway = Gateway::with(&plan, |_| {});
    let answer = gateway.answer(body).await;
    assert_eq!((answer.status, answer.header("x-tradewind-model")), (200, "default/pool/m1"), "{scene:?}: {}", answer.body);
    let outcome = gateway.outcome().await;
    assert_eq!(attempts(&outcome), [(json!(code), seen), (Value::Null, json!(200))], "{scene:?}");
    assert_eq!((outcome["answered_by"].as_str(), outcome["error"].clone()), (Some("default/pool/m1"), Value::Null));
    assert_eq!(outcome["chosen"], "default/pool/m0");
    // The one that failed rests: the next call goes past it.
    assert_eq!(gateway.answer(body).await.header("x-tradewind-model"), "default/pool/m1");
    assert_eq!(first.bodies().len(), 1, "{scene:?}");
}

#[tokio::test]
async fn a_status_fails_over_at_once() {
    for (number, code) in [
        (500, "upstream_status"),
        (503, "upstream_status"),
        (429, "upstream_rate_limited"),
        (401, "upstream_rejected"),
        (404, "upstream_rejected"),
    ] {
        check(QUESTION, status(number, ""), code, json!(number)).await;
        check(STREAM, status(number, ""), code, json!(number)).await;
    }
}

#[tokio::test]
async fn silence_and_breaks_before_the_first_byte_fail_over() {
    check(QUESTION, Scene::Hang, "upstream_timeout", Value::Null).await;
    check(STREAM, Scene::Hang, "upstream_timeout", Value::Null).await;
    check(STREAM, Scene::Silent(vec![": ping\n\n".to_owned()]), "upstream_timeout", json!(200)).await;
    check(STREAM, Scene::Torn(vec![": ping\n\ndata: {\"par".to_owned()]), "upstream_broken", json!(200)).await;
    check(STREAM, Scene::Stream(vec!["data: {\"error\":{\"message\":\"full\"}}\n\n".to_owned()]), "upstream_status", json!(200)).await;
    check(QUESTION, Scene::Half, "upstream_broken", json!(200)).await;
}

#[tokio::test]
async fn an_answer_that_is_no_stream_may_be_generated_before_its_first_byte() {
    let asked = Arc::new(Notify::new());
    let first = Upstream::start(vec![Scene::Held(Arc::clone(&asked), unary_body("a", 1, 1)), Scene::Hang]).await;
    let second = Upstream::start(vec![Scene::Stream(vec![word("b"), DONE.to_owned()])]).await;
    let mut plan = plan(&[&first, &second]);
    plan["routes"][0]["timeouts"]["first_token_ms"] = json!(50);
    let gateway = Gateway::with(&plan, |_| {});
    let slow = gateway.answer(QUESTION);
    tokio::pin!(slow);
    tokio::select! {
        _ = &mut slow => unreachable!("it is held"),
        () = first.asked.notified() => {}
    }
    // The stream is asked for later and fails over first.
    let stream = gateway.answer(STREAM);
    tokio::pin!(stream);
    let stream = tokio::select! {
        _ = &mut slow => unreachable!("it is held"),
        stream = &mut stream => stream,
    };
    assert_eq!(stream.header("x-tradewind-model"), "default/pool/m1");
    asked.notify_one();
    let answer = slow.await;
    assert_eq!((answer.status, answer.header("x-tradewind-model")), (200, "default/pool/m0"), "{}", answer.body);
}

#[tokio::test]
async fn nobody_there_fails_over() {
    let second = Upstream::start(vec![unary("b", 1, 1)]).await;
    let gateway = Gateway::with(&plan_of(&["http://127.0.0.1:1/v1", &second.url]), |_| {});
    assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m1");
    assert_eq!(attempts(&gateway.outcome().await)[0], (json!("upstream_connect"), Value::Null));
}

#[tokio::test]
async fn a_model_whose_credential_has_not_come_is_not_called_without_it() {
    let (first, second) = (Upstream::start(vec![unary("a", 1, 1)]).await, Upstream::start(vec![unary("b", 1, 1)]).await);
    let mut plan = plan(&[&first, &second]);
    plan["models"][0]["upstream"]["credential"] = json!("default/keys/m0");
    let gateway = Gateway::with(&plan, |_| {});
    // None, one of another name, and two that hold nothing.
    let delivered = [None, Some(("default/keys/m1", "sk")), Some(("default/keys/m0", "")), Some(("default/keys/m0", " \n"))];
    for delivered in delivered {
        gateway.engine.set_credentials(Credentials::delivered(delivered));
        assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m1", "{delivered:?}");
        let alone = gateway.answer(&QUESTION.replace("auto", "m0")).await;
        assert_eq!((alone.status, alone.code()), (503, "credential_missing".to_owned()), "{delivered:?}");
        assert!(alone.body.contains("`default/keys/m0`"), "{}", alone.body);
    }
    assert_eq!(
        (first.connections.load(Ordering::SeqCst), attempts(&gateway.outcomes().await[0])[0].0.clone()),
        (0, json!("credential_missing"))
    );
    gateway.engine.set_credentials(Credentials::delivered([("default/keys/m0", "sk-m0")]));
    assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m0");
    assert!(first.heads()[0].contains("authorization: bearer sk-m0\r\n"));
}

#[tokio::test]
async fn a_model_rests_as_long_as_it_asks_for_and_then_says_so() {
    let upstream = Upstream::start(vec![status(429, "retry-after: 17\r\n")]).await;
    let gateway = Gateway::new(&[&upstream]);
    let answer = gateway.answer(QUESTION).await;
    assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (429, "upstream_rate_limited".to_owned(), "17"));
    let answer = gateway.answer(QUESTION).await;
    assert_eq!((answer.status, answer.code()), (503, "all_resting".to_owned()));
    assert!((15..=17).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    let outcomes = gateway.outcomes().await;
    assert_eq!(
        (outcomes.len(), outcomes[1]["error"].as_str(), outcomes[1]["attempts"].as_array().unwrap().len()),
        (2, Some("all_resting"), 0)
    );
}

#[tokio::test]
async fn no_more_is_tried_than_the_route_allows() {
    let bad = Upstream::start(vec![status(500, "")]).await;
    let mut plan = plan(&[&bad, &bad, &bad, &bad]);
    plan["routes"][0]["retry_attempts"] = json!(1);
    let gateway = Gateway::with(&plan, |_| {});
    let answer = gateway.answer(QUESTION).await;
    assert_eq!((answer.status, answer.code(), bad.bodies().len()), (502, "upstream_status".to_owned(), 2));
    assert_eq!(gateway.outcome().await["answered_by"], Value::Null);
}

#[tokio::test]
async fn a_model_takes_no_more_calls_at_once_than_its_limit() {
    let (first, second) = (Upstream::start(vec![Scene::Hang]).await, Upstream::start(vec![unary("b", 1, 1)]).await);
    let mut plan = plan(&[&first, &second]);
    plan["models"][0]["limits"]["concurrent_requests"] = json!(1);
    let gateway = Gateway::with(&plan, |_| {});
    let hanging = gateway.ask(QUESTION);
    tokio::pin!(hanging);
    tokio::select! {
        _ = &mut hanging => unreachable!("it hangs"),
        () = first.asked.notified() => {}
    }
    assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m1");
    assert_eq!(first.bodies().len(), 1);
}
