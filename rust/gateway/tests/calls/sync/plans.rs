//! Which plans are taken, and the predictors that they name.

use serde_json::{Value, json};
use tradewind_core::predict::tiny;
use tradewind_gateway::settings::SyncFault;

use super::{GATEWAY, numbered, served, started};
use crate::controller::{Place, eventually};

#[test]
fn a_published_plan_is_served_and_acknowledged() {
    let controller = started();
    let id = controller.publish("l", 3, &numbered(0));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    let session = controller.acknowledged("g0", 3);
    assert_eq!((&session["plan"], &session["role"], &session["lineage"]), (&json!(id), &json!("gateway"), &json!("l")));
    assert_eq!((served(&pod), pod.get("/readyz").status), (json!(id), 200));
    let sync = pod.sync();
    assert_eq!((&sync["lineage"], &sync["serial"]), (&json!("l"), &json!(3)));
    assert_eq!(sync["identity"], json!({"namespace": "system", "role": "gateway"}));
    assert_eq!((&sync["controllers"][0]["state"], &sync["controllers"][0]["error"]), (&json!("connected"), &Value::Null));
    let second = controller.publish("l", 4, &numbered(1));
    controller.acknowledged("g0", 4);
    assert_eq!(served(&pod), json!(second));
    assert_eq!((pod.metric("tradewind_plan_serial"), pod.metric("tradewind_controllers_connected")), (4, 1));
    assert_eq!(pod.metric("tradewind_sync_updates_total{kind=\"predictor\"}"), 1);
}

#[test]
fn a_bad_plan_is_refused_once_and_the_old_one_kept() {
    let controller = started();
    let good = controller.publish("l", 1, &numbered(0));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    let mut bad = numbered(0);
    bad["routes"][0]["strategy"] = json!({"type": "cheapst"});
    let refused = controller.publish("l", 2, &bad);
    eventually(|| controller.session("g0")["reject"].is_object());
    let session = controller.session("g0");
    assert_eq!((&session["serial"], &session["plan"]), (&json!(1), &json!(good)));
    assert_eq!((&session["reject"]["plan"], &session["reject"]["code"]), (&json!(refused), &json!("invalid_strategy")));
    assert!(session["reject"]["message"].as_str().unwrap().contains("cheapst"));
    assert_eq!((served(&pod), pod.get("/plan").json()["refusal"]["problems"][0]["code"].clone()), (json!(good), json!("invalid_strategy")));
    eventually(|| controller.session("g0")["parked"] == true);
    assert_eq!(pod.metric("tradewind_plans_refused_total"), 1);
    let healed = controller.publish("l", 3, &numbered(2));
    assert_eq!(controller.acknowledged("g0", 3)["reject"], Value::Null);
    assert_eq!(served(&pod), json!(healed));
}

#[test]
fn of_two_controllers_both_are_polled_and_a_plan_is_taken_once() {
    let (leader, follower) = (started(), started());
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&leader, &follower], |_| {});
    for controller in [&leader, &follower] {
        eventually(|| controller.session("g0")["parked"] == true);
    }
    for serial in 1..=3 {
        for controller in [&leader, &follower] {
            controller.publish("l", serial, &numbered(serial as u16));
        }
        for controller in [&leader, &follower] {
            controller.acknowledged("g0", serial);
        }
        assert_eq!(pod.metric("tradewind_plans_loaded_total"), serial);
    }
    // One of them falls silent; the other goes on alone.
    leader.server.stop();
    follower.publish("l", 4, &numbered(9));
    follower.acknowledged("g0", 4);
    eventually(|| pod.metric("tradewind_controllers_connected") == 1);
}

#[test]
fn only_a_higher_serial_of_the_lineage_or_a_new_lineage_is_taken() {
    let (one, other) = (started(), started());
    one.publish("l", 5, &numbered(0));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&one, &other], |_| {});
    one.acknowledged("g0", 5);
    one.publish("l", 4, &numbered(1));
    let new = one.publish("m", 1, &numbered(2));
    one.acknowledged("g0", 1);
    assert_eq!((served(&pod), pod.sync()["lineage"].clone()), (json!(new), json!("m")));

    // A replica that is late gives the lineage that was left: that is not gone back to.
    eventually(|| other.session("g0")["parked"] == true);
    one.publish("n", 1, &numbered(3));
    eventually(|| pod.sync()["lineage"] == "n");
    other.publish("m", 7, &numbered(4));
    eventually(|| other.counters()["updates"].as_u64() > Some(1));
    assert_eq!(pod.sync()["lineage"], "n");
    other.publish("n", 2, &numbered(5));
    other.acknowledged("g0", 2);
}

#[test]
fn predictors_that_neither_this_plan_nor_the_one_before_names_are_forgotten() {
    let controller = started();
    let place = Place::new(GATEWAY);
    // Without a folder, what was forgotten is fetched again.
    let pod = place.start(&[&controller], |settings| settings.plan_cache = None);
    let biased = |bias: f32| {
        tiny(move |name, values| {
            if name == "difficulty_out_bias" {
                values[0] = bias
            }
        })
    };
    let digests = [-2.0, -3.0, -4.0].map(|bias| controller.server.add_predictor(biased(bias)).unwrap());
    for (serial, which, fetched) in [(1, 0, 1), (2, 1, 2), (3, 0, 2), (4, 2, 3), (5, 0, 3), (6, 1, 4)] {
        let mut source = numbered(serial as u16);
        for route in source["routes"].as_array_mut().unwrap() {
            route["predictor"] = json!(digests[which]);
        }
        controller.publish("l", serial, &source);
        controller.acknowledged("g0", serial);
        assert_eq!(pod.metric("tradewind_sync_updates_total{kind=\"predictor\"}"), fetched, "plan {serial}");
    }
}

#[test]
fn faults_are_played_for_controllers_tests() {
    for (fault, acknowledges, serves) in [(SyncFault::AckUnswapped, 2, 1), (SyncFault::NeverAck, 0, 2)] {
        let controller = started();
        let ids = [1, 2].map(|number| json!(controller.publish("x", 0, &numbered(number))));
        controller.publish("l", 1, &numbered(1));
        let place = Place::new(GATEWAY);
        if fault == SyncFault::AckUnswapped {
            let pod = place.start(&[&controller], |_| {});
            controller.acknowledged("g0", 1);
            eventually(|| place.folder.path().join("plans/current.plan").exists());
            pod.end();
        }
        let pod = place.start(&[&controller], |settings| settings.sync_fault = fault);
        controller.publish("l", 2, &numbered(2));
        eventually(|| controller.session("g0")["serial"] == acknowledges && served(&pod) == ids[serves - 1]);
        assert_eq!(pod.sync()["fault"], json!(fault));
        // It does not ask in a loop.
        assert!(controller.counters()["polls"].as_u64() < Some(20));
    }
}
