//! The plan's file is edited while calls go on.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde_json::Value;

use crate::{
    accounts,
    client::{self, Kind, Open, Seen, all},
    processes::{Gateway, Upstream, plan, write_plan},
};

/// Asks `/plan` until it says what is awaited.
async fn told(gateway: &Gateway, awaited: impl Fn(&Value) -> bool) -> Value {
    loop {
        let told = client::get(gateway.address, "/plan").await;
        if awaited(&told) {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_under_load_fails_no_call_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Upstream::start(folder.path(), "one", &[]), Upstream::start(folder.path(), "two", &[]));
    let gateway = Gateway::start(folder.path(), &plan(&[&one, &two], 0));
    let old = told(&gateway, |_| true).await["plan"].clone();
    let stop = Arc::new(AtomicBool::new(false));
    let address = gateway.address;
    let load: Vec<_> = (0..4)
        .map(|task| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut seen: Vec<Seen> = Vec::new();
                while !stop.load(Relaxed) {
                    let kind = if task % 2 == 0 { Kind::Unary } else { Kind::Stream };
                    seen.push(Open::start(address, &format!("call {task}.{}", seen.len()), kind).await.finish().await);
                }
                seen
            })
        })
        .collect();

    write_plan(folder.path(), &plan(&[&two, &one], 7).to_string());
    let new = told(&gateway, |told| told["plan"] != old).await["plan"].clone();
    let mut broken = plan(&[&two, &one], 9);
    broken["routes"][0]["strategy"]["type"] = "bset".into();
    write_plan(folder.path(), &broken.to_string());
    let refused = told(&gateway, |told| !told["refusal"].is_null()).await;
    assert_eq!(refused["plan"], new);
    let problem = &refused["refusal"]["problems"][0];
    assert!(problem["path"].as_str().unwrap().starts_with("routes[0].strategy"), "{problem}");
    assert!(
        problem["message"].as_str().unwrap().contains("`bset`") && problem["accepted"].as_array().unwrap().contains(&"best".into()),
        "{problem}"
    );
    // Calls that begin after the refusal still go by the new plan.
    let after = Open::start(address, "after", Kind::Unary).await.finish().await;
    assert_eq!((after.status, after.header("x-tradewind-plan")), (200, new.as_str().unwrap()));

    stop.store(true, Relaxed);
    let mut seen: Vec<Seen> = Vec::new();
    for task in all(load.into_iter()).await {
        let plans: Vec<&str> = task.iter().map(|call| call.header("x-tradewind-plan")).collect();
        assert!(plans.is_sorted_by_key(|plan| *plan == new), "no call goes back to the old plan");
        seen.extend(task);
    }
    seen.push(after);
    let ids: BTreeSet<&str> = seen.iter().map(|call| call.header("x-tradewind-plan")).collect();
    assert_eq!(ids, [old.as_str().unwrap(), new.as_str().unwrap()].into());
    assert!(seen.iter().all(|call| call.status == 200 && call.done));
    for (call, outcome) in seen.iter().zip(accounts::check(&seen, &gateway.stop(), &[&one, &two])) {
        assert_eq!(outcome["plan"], call.header("x-tradewind-plan"));
        assert_eq!(outcome["answered_by"], if outcome["plan"] == old { "default/pool/one" } else { "default/pool/two" });
    }
}
