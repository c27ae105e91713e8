//! What a gateway that controllers feed does not call, whoever's plan says so.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tradewind_core::{plan::Predictors, predict::tiny};
use tradewind_gateway::{Engine, Keys, Settings, SyncClient};

use crate::{
    controller::{Pod, eventually},
    gateway::{Gateway, QUESTION, plan_of},
    upstream::{Upstream, unary},
};

/// A gateway as controllers feed it, without the channel: plan and keys are given to it.
fn fed(plan: &Value, change: impl FnOnce(&mut Settings)) -> Gateway {
    let gateway = Gateway::with(plan, |settings| {
        settings.controllers = vec!["https://192.0.2.1:8443".to_owned()];
        change(settings);
    });
    gateway.engine.set_keys(Keys::default());
    gateway
}

#[tokio::test]
async fn a_forbidden_address_is_not_called_and_another_model_answers() {
    let forbidden = Upstream::start(vec![unary("a", 1, 1)]).await;
    let allowed = Upstream::at("127.0.0.2:0", vec![unary("b", 1, 1)]).await;
    let plan = plan_of(&[&forbidden.url, &allowed.url]);
    let gateway = fed(&plan, |settings| settings.allow_upstreams = vec!["127.0.0.2/32".parse().unwrap()]);
    assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m1");
    let attempts = gateway.outcome().await["attempts"].clone();
    assert_eq!(
        (attempts[0]["error"].as_str(), attempts[0]["status"].as_u64(), attempts.as_array().unwrap().len()),
        (Some("upstream_forbidden"), None, 2)
    );
    assert_eq!(forbidden.connections.load(Ordering::SeqCst), 0);

    // Files are written by whoever runs the gateway.
    let gateway = Gateway::with(&plan, |_| {});
    assert_eq!(gateway.answer(QUESTION).await.header("x-tradewind-model"), "default/pool/m0");
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_called_are() {
    let allowed = Upstream::at("127.0.0.2:0", vec![unary("b", 1, 1)]).await;
    let port = allowed.url.trim_end_matches("/v1").rsplit(':').next().unwrap();
    let forbidden = Upstream::at(&format!("127.0.0.1:{port}"), vec![unary("a", 1, 1)]).await;
    let plan = plan_of(&[&format!("http://model.example:{port}/v1")]);
    let hosts = |settings: &mut Settings| {
        settings.hosts = ["model.example=127.0.0.1", "model.example=::ffff:127.0.0.1", "model.example=127.0.0.2"]
            .map(|host| host.parse().unwrap())
            .into();
    };
    let gateway = fed(&plan, |settings| {
        hosts(settings);
        settings.allow_upstreams = vec!["127.0.0.2".parse().unwrap()];
    });
    assert_eq!(gateway.answer(QUESTION).await.status, 200);
    assert_eq!((forbidden.connections.load(Ordering::SeqCst), allowed.connections.load(Ordering::SeqCst)), (0, 1));
    assert!(allowed.heads()[0].contains(&format!("host: model.example:{port}\r\n")));

    let answer = fed(&plan, hosts).answer(QUESTION).await;
    assert_eq!((answer.status, answer.code()), (502, "upstream_forbidden".to_owned()));
    assert!(answer.body.contains("is at a loopback address"), "{}", answer.body);
    assert_eq!(forbidden.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn controllers_and_the_api_server_are_no_upstreams_by_whatever_name() {
    let settings = Settings {
        controllers: ["https://192.0.2.1:8443", "https://localhost:9"].map(str::to_owned).into(),
        api_server: "api.example".to_owned(),
        hosts: ["api.example=192.0.2.3", "rebound.example=192.0.2.3", "mapped.example=::ffff:192.0.2.1"]
            .map(|host| host.parse().unwrap())
            .into(),
        connect_timeout_ms: 200,
        rest_ms: 0,
        ..Settings::default()
    };
    let engine = Engine::new(settings, Predictors::new()).unwrap();
    engine.add_predictor(&tiny(|_, _| {})).unwrap();
    let urls = ["192.0.2.1", "mapped.example", "localhost", "rebound.example"].map(|host| format!("https://{host}:8443/v1"));
    let mut plan = plan_of(&urls.each_ref().map(String::as_str));
    plan["routes"][0]["retry_attempts"] = json!(0);
    engine.swap(plan.to_string().as_bytes(), "test").unwrap();
    let client = SyncClient::start(&engine).unwrap();
    engine.set_keys(Keys::default());
    let pod = Pod { engine, client };
    for (model, why) in ["a controller", "a controller", "a controller", "the API server"].into_iter().enumerate() {
        let body = QUESTION.replace("auto", &format!("m{model}"));
        eventually(|| pod.ask("", &body).body.contains(&format!("is at an address of {why}")));
    }
}
