//! SIGKILL of the preferred upstream with 64 calls in flight.

use serde_json::Value;

use crate::{
    accounts,
    client::{self, Kind, Open, Seen, all},
    processes::{Gateway, Upstream, plan},
};

const CALLS: usize = 64;

async fn started(gateway: &Gateway, kinds: &[Kind]) -> Vec<Open> {
    let address = gateway.address;
    let calls = (0..CALLS).map(|index| {
        let kind = kinds[index % kinds.len()];
        tokio::spawn(async move { Open::start(address, &format!("call {index}"), kind).await })
    });
    all(calls).await
}

async fn finished(calls: Vec<Open>) -> Vec<Seen> {
    all(calls.into_iter().map(|call| tokio::spawn(call.finish()))).await
}

/// Waits until this many calls have reached an upstream.
async fn reached(upstream: &Upstream, calls: usize) {
    while client::get(upstream.address, "/_stats").await["requests"].as_u64().unwrap() < calls as u64 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_without_a_first_byte_is_answered_by_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut dear = Upstream::start(folder.path(), "dear", &["--first-token-ms", "500"]);
    let spare = Upstream::start(folder.path(), "spare", &[]);
    let gateway = Gateway::start(folder.path(), &plan(&[&dear, &spare], 0));
    let calls = async { finished(started(&gateway, &[Kind::Unary, Kind::Stream, Kind::StreamWithUsage]).await).await };
    let killed = async {
        reached(&dear, CALLS).await;
        dear.kill();
    };
    let (seen, ()) = tokio::join!(calls, killed);
    let ledger = gateway.stop();
    let outcomes = accounts::check(&seen, &ledger, &[&dear, &spare]);
    let mut failed_over = 0;
    for (call, outcome) in seen.iter().zip(&outcomes) {
        assert_eq!((call.status, call.done, call.error()), (200, true, None), "{}", call.user);
        if outcome["answered_by"] == "default/pool/dear" {
            continue;
        }
        failed_over += 1;
        let attempts = outcome["attempts"].as_array().unwrap();
        let told: Vec<(&Value, &Value)> = attempts.iter().map(|attempt| (&attempt["model"], &attempt["usage"])).collect();
        assert_eq!(
            told,
            [
                (&Value::from("default/pool/dear"), &Value::from("estimated")),
                (&Value::from("default/pool/spare"), &Value::from("reported"))
            ]
        );
        assert!(["upstream_broken", "upstream_connect"].contains(&attempts[0]["error"].as_str().unwrap()), "{outcome}");
    }
    assert!(failed_over > CALLS / 2, "only {failed_over} calls were in flight: too slow a machine for this test to mean something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_started_stream_is_a_prefix_of_its_answer_and_then_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let answer: String = (0..400).map(|word| format!(" word{word}")).collect();
    let table = folder.path().join("answers.jsonl");
    std::fs::write(&table, serde_json::json!({"contains": "story", "answer": answer}).to_string()).unwrap();
    let mut dear = Upstream::start(folder.path(), "dear", &["--token-rate", "20", "--answers", table.to_str().unwrap()]);
    let spare = Upstream::start(folder.path(), "spare", &[]);
    let gateway = Gateway::start(folder.path(), &plan(&[&dear, &spare], 0));
    let mut calls = started(&gateway, &[Kind::Stream, Kind::StreamWithUsage]).await;
    for call in &mut calls {
        call.read_events(5).await;
    }
    dear.kill();
    let seen = finished(calls).await;
    let ledger = gateway.stop();
    let outcomes = accounts::check(&seen, &ledger, &[&dear, &spare]);
    for (call, outcome) in seen.iter().zip(&outcomes) {
        assert_eq!((call.status, call.done, call.error()), (200, false, Some("upstream_broken")), "{}", call.user);
        assert!(call.events.len() >= 6 && answer.starts_with(&call.text()) && !call.text().is_empty());
        assert_eq!((&outcome["answered_by"], &outcome["error"]), (&Value::from("default/pool/dear"), &Value::from("upstream_broken")));
        let attempts = outcome["attempts"].as_array().unwrap();
        assert_eq!((attempts.len(), &attempts[0]["usage"]), (1, &Value::from("estimated")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_leaves_the_books_in_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let mut dear = Upstream::start(folder.path(), "dear", &["--first-token-ms", "20", "--token-rate", "500"]);
    let spare = Upstream::start(folder.path(), "spare", &[]);
    let gateway = Gateway::start(folder.path(), &plan(&[&dear, &spare], 0));
    let calls = async { finished(started(&gateway, &[Kind::Unary, Kind::Stream, Kind::StreamWithUsage]).await).await };
    let killed = async {
        // Some have ended by then, some are under way, some have not begun.
        while client::get(dear.address, "/_stats").await["answers"].as_u64().unwrap() < CALLS as u64 / 4 {}
        dear.kill();
    };
    let (seen, ()) = tokio::join!(calls, killed);
    let ledger = gateway.stop();
    let outcomes = accounts::check(&seen, &ledger, &[&dear, &spare]);
    for (call, outcome) in seen.iter().zip(&outcomes) {
        assert_eq!(call.status, 200);
        assert_eq!(call.done, outcome["error"].is_null(), "{outcome}");
    }
}
