//! Data planes that follow controllers, over real sockets.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tradewind_core::predict::tiny;
use tradewind_gateway::{
    Engine, Settings, serve_tls,
    settings::SyncFault,
    sync::{
        certificates::{issue, make_ca},
        client::SyncClient,
    },
};

use crate::{
    controller::{Controller, Place, Pod, eventually, run, token},
    gateway::{Gateway, QUESTION, plan, plan_of},
    upstream::{Upstream, unary},
};

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
fn certificates_and_trust_are_replaced_without_losing_the_session() {
    let (old, new) = (make_ca("old", 1).unwrap(), make_ca("new", 1).unwrap());
    let names = ["localhost".to_owned()];
    let leaf = |ca: &tradewind_gateway::sync::certificates::Issued| issue(&ca.certificate, &ca.key, &names, 1).unwrap();
    let controller = Controller::at("127.0.0.1:0", Some(&leaf(&old)));
    with_predictor(&controller);
    controller.publish("l", 1, &numbered(0));
    let place = Place::new(GATEWAY);
    let file = place.folder.path().join("trust.pem");
    fs::write(&file, &old.certificate).unwrap();
    let pod = place.start(&[&controller], |settings| settings.controller_trust = Some(file.clone()));
    controller.acknowledged("g0", 1);
    controller.server.set_trust(format!("{}{}", old.certificate, new.certificate).as_bytes()).unwrap();
    eventually(|| controller.session("g0")["trust"].is_string());
    controller.server.set_certificate(leaf(&new).certificate.as_bytes(), b"not its key").unwrap_err();

    // The next controller has the new authority only, at the same address.
    let address = controller.url.replace("https://localhost", "127.0.0.1");
    controller.server.stop();
    let next = Controller::at(&address, Some(&leaf(&new)));
    next.publish("l", 2, &numbered(1));
    let begun = Instant::now();
    next.acknowledged("g0", 2);
    assert!(begun.elapsed() < Duration::from_secs(5));
    next.server.set_trust(new.certificate.as_bytes()).unwrap();
    eventually(|| next.session("g0")["trust"].is_string());
    pod.end();
    assert_eq!(fs::read_to_string(place.folder.path().join("plans/trust.pem")).unwrap(), new.certificate);

    // In its next life the file is old, and what was given in band counts.
    let pod = place.start(&[&next], |settings| settings.controller_trust = Some(file));
    eventually(|| pod.metric("tradewind_controllers_connected") == 1);
}

#[test]
fn a_controller_that_is_not_trusted_gets_no_token() {
    let (ca, other) = (make_ca("one", 1).unwrap(), make_ca("other", 1).unwrap());
    let leaf = issue(&ca.certificate, &ca.key, &["localhost".to_owned()], 1).unwrap();
    let controller = Controller::at("127.0.0.1:0", Some(&leaf));
    let place = Place::new(GATEWAY);
    let file = place.folder.path().join("trust.pem");
    fs::write(&file, &other.certificate).unwrap();
    let pod = place.start(&[&controller], |settings| settings.controller_trust = Some(file));
    eventually(|| pod.sync()["controllers"].as_array().unwrap().iter().any(|replica| replica["error"].to_string().contains("certificate")));
    assert_eq!(controller.asked.load(Ordering::SeqCst), 0);
}

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
fn a_gateway_knows_callers_by_the_token_of_their_service_account() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let controller = started();
    controller.publish("l", 1, &plan(&[&upstream]));
    controller.set_keys(&keys("caller", "sk"));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    eventually(|| controller.session("g0")["keys"].is_string());
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
    let controller = started();
    controller.publish("l", 1, &plan(&[&upstream]));
    controller.set_keys(&keys("caller", "sk"));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |_| {});
    controller.acknowledged("g0", 1);
    eventually(|| controller.session("g0")["keys"].is_string());
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

/// A plan for one model behind an address, called with a credential.
fn hop(url: &str, credential: &str) -> Value {
    let mut source = numbered(0);
    source["models"][0]["upstream"] = json!({"url": url, "dialect": "openai", "model": "auto", "credential": credential});
    source
}

#[test]
fn a_hop_trusts_what_controllers_are_trusted_by_and_other_upstreams_do_not() {
    let upstream = run(Upstream::start(vec![unary("blue", 1, 1)]));
    let gateway = Gateway::new(&[&upstream]);
    let ca = make_ca("test", 1).unwrap();
    let leaf = issue(&ca.certificate, &ca.key, &["127.0.0.1".to_owned()], 1).unwrap();
    gateway.engine.certificates().set(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
    let door = serve_tls(&gateway.engine, 0).unwrap();
    let url = format!("https://{}/v1", door.local_addr);
    let trusting = |settings: &mut Settings| settings.controller_trust_pem = ca.certificate.clone();
    for (serial, credential, in_band, status) in
        [(1, "@pod", true, 200), (2, "@pod", false, 200), (3, "@pod", false, 502), (4, "default/secret/key", true, 502)]
    {
        let controller = started();
        controller.publish("l", serial, &hop(&url, credential));
        controller.set_keys(&keys("caller", "sk"));
        if in_band {
            controller.server.set_trust(ca.certificate.as_bytes()).unwrap();
        }
        let place = Place::new("default.app.p0");
        let pod = place.start(&[&controller], |settings| {
            if serial == 2 {
                trusting(settings)
            }
        });
        controller.acknowledged("p0", serial);
        eventually(|| controller.session("p0")["keys"].is_string() && controller.session("p0")["trust"].is_string() == in_band);
        let answered = pod.ask("", QUESTION);
        assert_eq!(answered.status, status, "{serial}: {}", answered.body);
        assert!(status == 200 || answered.code() == "upstream_connect", "{serial}: {}", answered.body);
    }
    door.shutdown();
    door.join();
}

#[test]
fn a_bundle_is_given_in_one_place() {
    let place = Place::new(GATEWAY);
    let ca = make_ca("test", 1).unwrap().certificate;
    for (file, text, part) in [(Some("trust.pem".into()), &*ca, "exclude each other"), (None, "no PEM", "controller_trust_pem: ")] {
        let settings = Settings {
            controllers: vec!["https://127.0.0.1:9".to_owned()],
            controller_trust: file,
            controller_trust_pem: text.to_owned(),
            plan_cache: Some(place.folder.path().join("plans")),
            ..Settings::default()
        };
        let engine = Engine::new(settings, tradewind_core::plan::Predictors::new()).unwrap();
        let error = SyncClient::start(&engine).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// A handshake with a TLS door; gives the connection and the certificate that was shown.
async fn handshake(address: SocketAddr, ca: &str) -> io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
    let roots = tradewind_gateway::sync::certificates::roots(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    Ok((stream, shown))
}

/// The status of a request over a connection that is kept.
async fn ready(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()[..12].to_owned()
}

#[test]
fn a_tls_door_takes_its_certificate_from_controllers_and_drops_nobody_for_another() {
    let ca = make_ca("test", 1).unwrap();
    let controller = started();
    controller.publish("l", 1, &numbered(0));
    let place = Place::new(GATEWAY);
    let pod = place.start(&[&controller], |settings| {
        settings.tls_port = Some(0);
        settings.workers = 1;
        settings.listen = "127.0.0.1:0".to_owned();
    });
    controller.acknowledged("g0", 1);
    let door = serve_tls(&pod.engine, 0).unwrap();
    assert!(run(handshake(door.local_addr, &ca.certificate)).is_err());
    assert_eq!(pod.get("/readyz").status, 200);
    let mut taken = 0;
    let mut renew = || {
        let issued = issue(&ca.certificate, &ca.key, &["localhost".to_owned()], 1).unwrap();
        controller.server.set_gateway_certificate(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
        taken += 1;
        eventually(|| pod.metric("tradewind_sync_updates_total{kind=\"certificate\"}") == taken);
    };
    renew();
    let (mut kept, first) = run(handshake(door.local_addr, &ca.certificate)).unwrap();
    assert_eq!(run(ready(&mut kept)), "HTTP/1.1 200");
    renew();
    let (mut new, second) = run(handshake(door.local_addr, &ca.certificate)).unwrap();
    assert_ne!(first, second);
    assert_eq!((run(ready(&mut kept)), run(ready(&mut new))), ("HTTP/1.1 200".to_owned(), "HTTP/1.1 200".to_owned()));
    assert_nowhere(place.folder.path(), "PRIVATE");
    drop((kept, new));
    door.shutdown();
    door.join();
}

#[test]
fn a_tls_door_without_controllers_is_refused() {
    let settings = Settings { tls_port: Some(4443), ..Settings::default() };
    let error = Engine::new(settings, tradewind_core::plan::Predictors::new()).err().unwrap();
    assert!(error.message.contains("`tls_port` needs `controllers`"), "{}", error.message);
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
