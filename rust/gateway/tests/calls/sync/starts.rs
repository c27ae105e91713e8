//! What a data plane has before a controller gives it anything: its last plan, that of a file, or none.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use serde_json::json;
use tradewind_core::predict::tiny;
use tradewind_gateway::{Engine, Settings, sync::client::SyncClient};

use super::{GATEWAY, numbered, served, started};
use crate::controller::{Place, Pod, eventually};

#[test]
fn a_restart_without_controllers_serves_the_last_plan_and_without_that_the_one_before() {
    let controller = started();
    let first = controller.publish("l", 1, &numbered(0));
    let place = Place::new(GATEWAY);
    let current = place.folder.path().join("plans/current.plan");
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    eventually(|| current.exists());
    let second = controller.publish("l", 2, &numbered(1));
    eventually(|| place.folder.path().join("plans/previous.plan").exists() && current.exists());
    pod.end();
    controller.server.stop();

    let begun = Instant::now();
    let pod = place.start(&[&controller], |_| {});
    assert_eq!((served(&pod), pod.sync()["serial"].clone()), (json!(second), json!(2)));
    assert!(begun.elapsed() < Duration::from_secs(1));
    pod.end();

    let whole = fs::read(&current).unwrap();
    fs::write(&current, &whole[..whole.len() / 2]).unwrap();
    let pod = place.start(&[&controller], |_| {});
    assert_eq!((served(&pod), pod.sync()["serial"].clone()), (json!(first), json!(1)));
}

#[test]
fn a_plan_to_begin_with_serves_until_a_controller_gives_one() {
    let place = Place::new(GATEWAY);
    let folder = place.folder.path().join("bootstrap");
    fs::create_dir(&folder).unwrap();
    let mut packed = flate2::write::GzEncoder::new(fs::File::create(folder.join("plan.json.gz")).unwrap(), flate2::Compression::default());
    packed.write_all(numbered(0).to_string().as_bytes()).unwrap();
    packed.finish().unwrap();
    let controller = started();
    let pod = {
        let settings = Settings {
            controllers: vec![controller.url.clone()],
            controller_token: Some(place.folder.path().join("token")),
            bootstrap_plan: Some(folder),
            ..Settings::default()
        };
        let engine = Engine::new(settings, tradewind_core::plan::Predictors::new()).unwrap();
        engine.add_predictor(&tiny(|_, _| {})).unwrap();
        let client = SyncClient::start(&engine).unwrap();
        Pod { engine, client }
    };
    // It cannot know a caller before: whoever is sent to it would be refused.
    assert_eq!((pod.get("/readyz").code(), pod.sync()["lineage"].clone()), ("identity_unavailable".to_owned(), json!("")));
    assert_eq!(pod.get("/startupz").status, 200);
    let first = served(&pod);
    // The same plan under a lineage is only acknowledged.
    assert_eq!(json!(controller.publish("l", 1, &numbered(0))), first);
    controller.acknowledged("g0", 1);
    assert_eq!(pod.metric("tradewind_plans_loaded_total"), 1);
    eventually(|| pod.get("/readyz").status == 200);
}

#[test]
fn without_a_plan_it_is_not_ready() {
    let place = Place::new(GATEWAY);
    let pod = place.follow(&["http://127.0.0.1:9"], |_| {});
    assert_eq!((pod.get("/readyz").code(), pod.get("/plan").json()["sync"]["serial"].clone()), ("no_plan".to_owned(), json!(0)));
    eventually(|| pod.sync()["controllers"][0]["error"].is_string());
}
