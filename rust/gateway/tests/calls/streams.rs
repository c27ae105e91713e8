//! Streams: relayed as they come, cut off with an error event, left by the client.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::{
    gateway::{Gateway, QUESTION, STREAM, plan},
    upstream::{DONE, Scene, Upstream, usage, word},
};

const STREAM_WITH_USAGE: &str =
    r#"{"model":"auto","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Why?"}]}"#;

#[tokio::test]
async fn the_usage_chunk_is_asked_for_accounted_and_taken_out_unless_the_client_asked() {
    let upstream = Upstream::start(vec![Scene::Stream(vec![word("a"), word("b") + &usage(9, 2), DONE.to_owned()])]).await;
    let gateway = Gateway::new(&[&upstream]);
    let without = gateway.answer(STREAM).await;
    assert_eq!((without.status, without.header("content-type")), (200, "text/event-stream"));
    assert_eq!(without.body, word("a") + &word("b") + DONE);
    let with = gateway.answer(STREAM_WITH_USAGE).await;
    assert_eq!(with.body, word("a") + &word("b") + &usage(9, 2) + DONE);
    assert!(upstream.bodies().iter().all(|body| body["stream_options"]["include_usage"] == true));
    for outcome in gateway.outcomes().await {
        let attempt = &outcome["attempts"][0];
        assert_eq!((&attempt["usage"], &attempt["cost_nanousd"], &outcome["error"]), (&json!("reported"), &json!(13_000), &json!(null)));
    }
}

#[tokio::test]
async fn each_event_goes_out_before_the_next_one_is_sent() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let upstream = Upstream::start(vec![Scene::Asked(Arc::new(Mutex::new(receiver)))]).await;
    let gateway = Gateway::new(&[&upstream]);
    sender.send(word("0")).unwrap();
    let mut body = gateway.ask(STREAM).await.into_body();
    for index in 0..5 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, word(&index.to_string()));
        sender.send(word(&(index + 1).to_string())).unwrap();
    }
    drop(sender);
    assert_eq!(body.collect().await.unwrap().to_bytes(), word("5"));
}

#[tokio::test]
async fn a_broken_stream_is_a_prefix_and_then_an_error_event() {
    let upstream = Upstream::start(vec![Scene::Torn(vec![word("a"), word("b"), word("c")[..20].to_owned()])]).await;
    let other = Upstream::start(vec![Scene::Stream(vec![word("x"), DONE.to_owned()])]).await;
    let gateway = Gateway::new(&[&upstream, &other]);
    let answer = gateway.answer(STREAM).await;
    let (prefix, error) = answer.body.split_at(word("a").len() * 2);
    assert_eq!(prefix, word("a") + &word("b"));
    let event: serde_json::Value = serde_json::from_str(error.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(event["error"]["code"], "upstream_broken");
    let outcome = gateway.outcome().await;
    assert_eq!((outcome["error"].as_str(), outcome["attempts"][0]["usage"].as_str()), (Some("upstream_broken"), Some("estimated")));
    assert!(outcome["attempts"][0]["output_tokens"].as_u64() > Some(0) && other.bodies().is_empty());
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended() {
    let upstream = Upstream::start(vec![Scene::Silent(vec![word("a")])]).await;
    let mut plan = plan(&[&upstream]);
    plan["routes"][0]["timeouts"]["stream_idle_ms"] = json!(100);
    let gateway = Gateway::with(&plan, |_| {});
    let answer = gateway.answer(STREAM).await;
    assert!(answer.body.starts_with(&word("a")) && answer.body.contains(r#""code":"upstream_timeout""#) && !answer.body.contains("[DONE]"));
    upstream.left.notified().await;
}

#[tokio::test]
async fn a_stream_is_over_once_its_end_is_read() {
    let upstream = Upstream::start(vec![Scene::Stream(vec![word("a"), DONE.to_owned()])]).await;
    let mut plan = plan(&[&upstream]);
    plan["models"][0]["limits"]["concurrent_requests"] = json!(1);
    let gateway = Gateway::with(&plan, |_| {});
    let mut first = gateway.ask(STREAM).await.into_body();
    while first.frame().await.is_some() {}
    // Nobody has dropped the first answer, and the next call finds the model's only place free.
    assert_eq!((gateway.engine.calls_in_flight(), gateway.outcomes().await.len()), (0, 1));
    assert_eq!(gateway.answer(STREAM).await.status, 200);
    drop(first);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_call() {
    let upstream = Upstream::start(vec![Scene::Silent(vec![word("abcdefgh")])]).await;
    let gateway = Gateway::new(&[&upstream]);
    let mut body = gateway.ask(STREAM).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    upstream.left.notified().await;
    let outcome = gateway.outcome().await;
    let attempt = &outcome["attempts"][0];
    assert_eq!(
        (&outcome["error"], &attempt["error"], &attempt["usage"]),
        (&json!("client_gone"), &json!("client_gone"), &json!("estimated"))
    );
    assert_eq!((&attempt["output_tokens"], &outcome["answered_by"]), (&json!(2), &json!("default/pool/m0")));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_does_too() {
    let upstream = Upstream::start(vec![Scene::Hang]).await;
    let gateway = Gateway::new(&[&upstream]);
    {
        let asking = gateway.ask(QUESTION);
        tokio::pin!(asking);
        tokio::select! {
            _ = &mut asking => unreachable!("it hangs"),
            () = upstream.asked.notified() => {}
        }
    }
    upstream.left.notified().await;
    let outcome = gateway.outcome().await;
    assert_eq!((outcome["error"].as_str(), outcome["answered_by"].as_str()), (Some("client_gone"), None));
    assert_eq!(gateway.engine.calls_in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_on_done_has_everything() {
    let upstream = Upstream::start(vec![Scene::Silent(vec![word("a"), usage(9, 2), DONE.to_owned()])]).await;
    let gateway = Gateway::new(&[&upstream]);
    let mut body = gateway.ask(STREAM).await.into_body();
    let mut text = String::new();
    while !text.ends_with(DONE) {
        text += std::str::from_utf8(&body.frame().await.unwrap().unwrap().into_data().unwrap()).unwrap();
    }
    drop(body);
    let outcome = gateway.outcome().await;
    assert_eq!((&outcome["error"], &outcome["attempts"][0]["usage"]), (&json!(null), &json!("reported")));
}
