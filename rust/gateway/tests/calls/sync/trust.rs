//! Authorities and certificates: of controllers, of hops, and of a data plane's own TLS door.

use std::{
    fs, io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tradewind_gateway::{
    Engine, Settings, serve_tls,
    sync::{
        certificates::{issue, make_ca},
        client::SyncClient,
    },
};

use super::{GATEWAY, assert_nowhere, keys, numbered, started, with_predictor};
use crate::{
    controller::{Controller, Place, eventually, run},
    gateway::{Gateway, QUESTION},
    upstream::{Upstream, unary},
};

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
