//! Callers' keys and upstreams' credentials, which no disk and no page may hold.

use std::time::{Duration, Instant};

use serde_json::json;
use tradewind_gateway::{Engine, Settings, sync::client::SyncClient};

use super::{GATEWAY, assert_nowhere, keys, started, with_predictor};
use crate::{
    controller::{Controller, Place, eventually, run},
    gateway::{QUESTION, plan},
    upstream::{Upstream, unary},
};

#[test]
fn a_rotated_credential_reaches_calls_within_a_second_and_is_shown_nowhere() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let mut source = plan(&[&upstream]);
    source["models"][0]["upstream"]["credential"] = json!("default/secret/key");
    let controller = Controller::start();
    with_predictor(&controller);
    controller.publish("l", 1, &source);
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    assert_eq!((pod.ask("caller", QUESTION).status, pod.ask("caller", QUESTION).code()), (503, "identity_unavailable".to_owned()));
    assert_eq!(pod.get("/readyz").code(), "identity_unavailable");
    for secret in ["sk-first", "sk-second"] {
        let rotated = Instant::now();
        controller.set_keys(&keys("caller", secret));
        eventually(|| {
            pod.ask("caller", QUESTION).status == 200
                && run(async { upstream.heads() }).last().is_some_and(|head| head.contains(&format!("bearer {secret}")))
        });
        assert!(rotated.elapsed() < Duration::from_secs(1));
        let shown = pod.get("/plan").body + &pod.get("/metrics").body + &format!("{:?}", pod.engine.settings());
        assert!(!shown.contains("sk-") && !shown.contains(GATEWAY));
        assert!(!String::from_utf8(controller.server.sessions()).unwrap().contains("sk-"));
    }
    assert_eq!(pod.ask("another", QUESTION).code(), "unauthorized");
    let folder = place.folder.path().join("plans");
    eventually(|| folder.join("current.plan").exists());
    assert_nowhere(&folder, "sk-");
}

#[test]
fn keys_survive_a_restart_in_memory_and_are_refused_a_disk() {
    let place = Place::new(GATEWAY);
    let disk = place.folder.path().join("keys");
    let settings = Settings { controllers: vec!["http://127.0.0.1:9".to_owned()], keys_cache: Some(disk), ..Settings::default() };
    let engine = Engine::new(settings, tradewind_core::plan::Predictors::new()).unwrap();
    match SyncClient::start(&engine) {
        Err(error) => assert!(error.to_string().contains("not in memory"), "{error}"),
        // The folder for temporary files is in memory here.
        Ok(client) => drop(client),
    }
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else { return };
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let controller = started();
    controller.publish("l", 1, &plan(&[&upstream]));
    controller.set_keys(&keys("caller", "sk"));
    let keys_in_memory = |settings: &mut Settings| settings.keys_cache = Some(memory.path().to_owned());
    let pod = place.start(&[&controller], keys_in_memory);
    eventually(|| pod.ask("caller", QUESTION).status == 200 && place.folder.path().join("plans/current.plan").exists());
    pod.end();
    controller.server.stop();
    let pod = place.start(&[&controller], keys_in_memory);
    assert_eq!(pod.ask("caller", QUESTION).status, 200);
}

#[test]
fn of_keys_the_largest_revision_counts() {
    let (one, other) = (started(), started());
    let with = |revision: u64, key: &str| {
        let mut keys = keys(key, "sk");
        keys["revision"] = json!(revision);
        keys
    };
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    one.publish("l", 1, &plan(&[&upstream]));
    one.set_keys(&with(7, "new"));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&one, &other], |_| {});
    eventually(|| pod.ask("new", QUESTION).status == 200);
    other.set_keys(&with(6, "old"));
    eventually(|| other.session("g0")["keys"].is_string());
    assert_eq!((pod.ask("new", QUESTION).status, pod.ask("old", QUESTION).status), (200, 401));
    other.set_keys(&with(8, "newer"));
    eventually(|| pod.ask("newer", QUESTION).status == 200);
}
