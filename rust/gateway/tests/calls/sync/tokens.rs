//! Tokens of ServiceAccounts: the pod's own, and those of callers.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{GATEWAY, keys, numbered, started};
use crate::{
    controller::{Controller, Place, Pod, eventually, run, token},
    gateway::{QUESTION, plan},
    upstream::{Upstream, unary},
};

#[test]
fn a_rotated_token_goes_on_with_the_session() {
    let controller = started();
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    eventually(|| controller.session("g0")["parked"] == true);
    place.set_token(&format!("{GATEWAY}~2"));
    controller.publish("l", 1, &numbered(0));
    controller.acknowledged("g0", 1);
    let sessions: Vec<Value> = serde_json::from_slice(&controller.server.sessions()).unwrap();
    assert_eq!((sessions.len(), controller.asked.load(Ordering::SeqCst)), (1, 2));
    drop(pod);
}

#[test]
fn a_sidecar_serves_its_pod_as_its_namespace_and_hops_with_the_pods_token() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let mut source = plan(&[&upstream]);
    source["models"][0]["upstream"]["credential"] = json!("@pod");
    let controller = started();
    controller.publish("l", 1, &source);
    controller.set_keys(&keys("caller", "sk-default"));
    let place = Place::new("default.app.p0");
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("p0", 1);
    assert_eq!(pod.sync()["identity"], json!({"namespace": "default", "role": "sidecar"}));
    assert_eq!(pod.ask("", QUESTION).status, 200);
    assert!(run(async { upstream.heads() })[0].contains("bearer default.app.p0"));
}

#[test]
fn a_hop_over_plain_http_is_not_shown_the_pods_token() {
    let mut source = numbered(0);
    source["models"][0]["upstream"] = json!({"url": "http://192.0.2.1/v1", "dialect": "openai", "model": "m", "credential": "@pod"});
    let controller = started();
    controller.publish("l", 1, &source);
    controller.set_keys(&keys("caller", "sk"));
    let place = Place::new("default.app.p0");
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("p0", 1);
    let answered = pod.ask("", QUESTION);
    assert_eq!(answered.code(), "upstream_forbidden");
    assert!(answered.body.contains("plain http"), "{}", answered.body);
}

/// A gateway that has its plan and its keys.
fn serving(upstream: &Upstream) -> (Controller, Place, Pod) {
    let controller = started();
    controller.publish("l", 1, &plan(&[upstream]));
    controller.set_keys(&keys("caller", "sk"));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    eventually(|| controller.session("g0")["keys"].is_string());
    (controller, place, pod)
}

#[test]
fn a_gateway_knows_callers_by_the_token_of_their_service_account() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let (controller, _place, pod) = serving(&upstream);
    let before = controller.asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(pod.ask(&token("default.app.p1"), QUESTION).status, 200);
    }
    assert_eq!(controller.asked.load(Ordering::SeqCst), before + 1);
    assert_eq!(pod.ask("no token", QUESTION).code(), "unauthorized");
    assert_eq!(pod.ask("default.app.p9", QUESTION).code(), "unauthorized");
    assert_eq!(controller.asked.load(Ordering::SeqCst), before + 1);
    assert_eq!(pod.ask(&token("other.app.p1"), QUESTION).code(), "model_not_found");
    controller.server.stop();
    // Who is known stays known for a while; who is not cannot be asked.
    eventually(|| pod.metric("tradewind_controllers_connected") == 0);
    assert_eq!(pod.ask(&token("default.app.p1"), QUESTION).status, 200);
    assert_eq!(pod.ask(&token("default.app.p2"), QUESTION).code(), "identity_unavailable");
}

#[test]
fn a_flood_of_tokens_from_one_address_locks_out_no_other() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let (controller, _place, pod) = serving(&upstream);
    let before = controller.asked.load(Ordering::SeqCst);
    let codes: Vec<String> = (0..250).map(|index| pod.ask_from("10.0.0.1", &token(&format!("nobody-{index}")), QUESTION).code()).collect();
    assert_eq!((&*codes[0], &*codes[249]), ("unauthorized", "identity_unavailable"));
    let asked = controller.asked.load(Ordering::SeqCst) - before;
    assert!(asked < 50, "{asked} questions reached the controller");
    assert_eq!(pod.ask_from("10.0.0.2", &token("default.app.p1"), QUESTION).status, 200);
    // Many pods behind one address are no flood.
    for index in 0..60 {
        assert_eq!(pod.ask_from("10.0.0.3", &token(&format!("default.app.q{index}")), QUESTION).status, 200);
    }
}
