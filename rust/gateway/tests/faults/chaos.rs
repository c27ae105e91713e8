//! An upstream that fails in every way at once, beside one that does not.

use std::path::Path;

use serde_json::Value;

use crate::{
    accounts,
    client::{Kind, Open, Seen, all},
    processes::{Gateway, Upstream, plan},
};

const TASKS: usize = 8;
const CALLS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_one_upstream_costs_an_unanswered_call_or_a_nano_dollar() {
    let folder = tempfile::tempdir().unwrap();
    let flags = "status=503:0.1,status=429:0.1:retry-after=0,reset:0.1,reset-after=0:0.1,reset-after=4:0.2,connect-delay=5:0.1,delay=5:0.1";
    let shaky = Upstream::start(folder.path(), "shaky", &["--fail", flags, "--seed", "11"]);
    let sound = Upstream::start(folder.path(), "sound", &[]);
    // A rest as long as by default would keep the shaky one out for the whole test, once it has failed.
    let short = [("TRADEWIND_REST_MS", Path::new("1")), ("TRADEWIND_MAX_REST_MS", Path::new("1"))];
    let gateway = Gateway::start_with(folder.path(), &plan(&[&shaky, &sound], 0), &short);
    let address = gateway.address;
    let tasks = (0..TASKS).map(|task| {
        tokio::spawn(async move {
            let mut seen: Vec<Seen> = Vec::new();
            for call in 0..CALLS {
                let kind = [Kind::Unary, Kind::Stream, Kind::StreamWithUsage][(task + call) % 3];
                seen.push(Open::start(address, &format!("call {task}.{call}"), kind).await.finish().await);
            }
            seen
        })
    });
    let seen: Vec<Seen> = all(tasks).await.into_iter().flatten().collect();
    let ledger = gateway.stop();
    let outcomes = accounts::check(&seen, &ledger, &[&shaky, &sound]);
    for (call, outcome) in seen.iter().zip(&outcomes) {
        assert_eq!(call.status, 200, "{outcome}");
        if !call.done {
            // Cut after its fourth chunk.
            assert_eq!(
                (call.error(), call.events.len(), &outcome["answered_by"]),
                (Some("upstream_broken"), 5, &Value::from("default/pool/shaky"))
            );
        }
        assert_eq!(call.done, outcome["error"].is_null());
    }
    let by = |model: &str| outcomes.iter().filter(|outcome| outcome["answered_by"] == model).count();
    assert!(by("default/pool/shaky") > 0 && by("default/pool/sound") > 0, "both must have been tried for this to mean something");
}
