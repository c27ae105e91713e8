//! Data planes that follow controllers, over real sockets.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tradewind_core::predict::tiny;

use crate::{
    controller::{Controller, Pod},
    gateway::plan_of,
};

mod plans;
mod starts;
mod keys;
mod tokens;
mod trust;

const GATEWAY: &str = "system.gateway.g0";

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plan for one model, whose upstream is told apart by `answers`.
fn numbered(number: u16) -> Value {
    plan_of(&[&format!("http://127.0.0.1:{}/v1", 1000 + number)])
}

fn with_predictor(controller: &Controller) {
    controller.server.add_predictor(tiny(|_, _| {})).unwrap();
}

fn started() -> Controller {
    let controller = Controller::start();
    with_predictor(&controller);
    controller.set_keys(&json!({"callers": [], "credentials": {}}));
    controller
}

fn served(pod: &Pod) -> Value {
    pod.get("/plan").json()["plan"].clone()
}

/// Keys of one caller of tenant `default`, and one credential.
fn keys(key: &str, credential: &str) -> Value {
    json!({"callers": [{"sha256": sha256(key), "tenant": "default", "name": "one", "labels": {"a": "b"}}],
        "credentials": {"default/secret/key": credential}})
}

fn assert_nowhere(folder: &Path, text: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, text);
        } else {
            assert!(!fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()), "{}", path.display());
        }
    }
}
