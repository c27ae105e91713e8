//! Data planes that a test plays, over real sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;

/// A server, its address, and what rings when something changed.
struct Place {
    server: Arc<SyncServer>,
    address: SocketAddr,
    changed: mpsc::Receiver<()>,
    asked: Arc<AtomicUsize>,
}

/// Tokens are `namespace.account.pod`; `bad…` is nobody's and `broken…` cannot be asked.
fn place(settings: Value) -> Place {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let identify = move |token: &str| {
        count.fetch_add(1, Ordering::SeqCst);
        let parts: Vec<&str> = token.split('.').collect();
        match parts[..] {
            _ if token.starts_with("bad") => Err(Unidentified::Unknown),
            [namespace, account, pod] if !token.starts_with("broken") => {
                let holder =
                    json!({"namespace": namespace, "service_account": account, "pod": pod, "pod_uid": format!("uid-{pod}"), "node": "n1"});
                Ok(holder.to_string().into_bytes())
            }
            _ => Err(Unidentified::Unavailable),
        }
    };
    let (ring, changed) = mpsc::channel();
    let mut given = json!({"gateway_accounts": ["system/gateway"], "park_s": 5.0, "silence_s": 10.0});
    given.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let settings = Settings::parse(given.to_string().as_bytes()).unwrap();
    let server = SyncServer::new(settings, Box::new(identify), Box::new(move || ring.send(()).unwrap_or_default())).unwrap();
    let address = server.listen().unwrap();
    Place { server: Arc::new(server), address, changed, asked }
}

impl Place {
    fn pod(&self, token: &str) -> Pod {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Pod { stream: BufReader::new(stream), token: token.to_owned() }
    }

    fn gateway(&self, pod: &str) -> Pod {
        self.pod(&format!("system.gateway.{pod}"))
    }

    fn sessions(&self) -> Vec<Value> {
        serde_json::from_slice(&self.server.sessions()).unwrap()
    }

    fn session(&self, pod: &str) -> Value {
        self.sessions().into_iter().find(|session| session["pod"] == pod).unwrap_or_default()
    }

    fn counters(&self) -> Value {
        serde_json::from_slice(&self.server.counters()).unwrap()
    }

    fn rung(&self) {
        self.changed.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    /// Waits until a pod's poll is parked.
    fn parked(&self, pod: &str) {
        eventually(|| self.session(pod)["parked"] == true);
    }
}

fn eventually(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A data plane's connection.
struct Pod {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Pod {
    fn request(&mut self, method: &str, target: &str, body: &str) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        self.response()
    }

    fn response(&mut self) -> (u16, Vec<u8>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, body)
    }

    fn poll(&mut self, poll: &Value) -> (u16, Value) {
        let (status, body) = self.request("POST", "/v1/sync", &poll.to_string());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Polls on a thread; joining it gives the answer and the connection.
    fn park(mut self, poll: Value) -> JoinHandle<(Self, u16, Value)> {
        thread::spawn(move || {
            let (status, answer) = self.poll(&poll);
            (self, status, answer)
        })
    }
}

/// A poll that has nothing.
fn empty() -> Value {
    json!({"schema": 3, "version": "0.1.0"})
}

/// A poll that has what an answer gave.
fn having(answer: &Value) -> Value {
    json!({"schema": 3, "version": "0.1.0", "lineage": answer["lineage"], "serial": answer["serial"],
        "have": {"plan": answer["plan_id"], "keys": answer["keys"]["digest"], "trust": answer["trust"]["digest"]}})
}

fn plan(name: &str) -> Vec<u8> {
    let models = json!([{"id": format!("a/pool/{name}"), "upstream": {"url": "http://127.0.0.1:1/v1", "dialect": "openai", "model": name},
        "price": {"input_nanousd_per_million": 1, "output_nanousd_per_million": 1}, "limits": {"context_tokens": 10, "output_tokens": 5},
        "profile": "p"}]);
    json!({"schema": tradewind_core::plan::source::SCHEMA, "profiles": {"p": {"bias": 0.0}}, "models": models, "routes": []})
        .to_string()
        .into_bytes()
}

#[test]
fn what_is_published_is_given_and_the_next_poll_acknowledges_it() {
    let place = place(json!({}));
    let id = place.server.publish("l", 7, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    let (status, answer) = pod.poll(&empty());
    assert_eq!((status, &answer["lineage"], &answer["serial"], &answer["plan_id"]), (200, &json!("l"), &json!(7), &json!(id)));
    assert_eq!(answer["identity"], json!({"namespace": "system", "role": "gateway"}));
    assert_eq!(answer["plan"]["models"][0]["id"], "a/pool/m");
    place.rung();
    assert_eq!((place.session("g0")["serial"].clone(), place.session("g0")["plan"].clone()), (json!(0), json!(null)));

    let parked = pod.park(having(&answer));
    place.rung();
    let session = place.session("g0");
    assert_eq!(
        (&session["serial"], &session["plan"], &session["role"], &session["node"]),
        (&json!(7), &json!(id), &json!("gateway"), &json!("n1"))
    );
    assert_eq!(session["expected"], json!({"lineage": "l", "serial": 7, "plan": id}));
    place.server.stop();
    assert_eq!(parked.join().unwrap().1, 204);
}

type Step<'a> = Box<dyn Fn() + 'a>;

#[test]
fn a_parked_poll_is_woken_by_plan_keys_and_trust() {
    let place = place(json!({}));
    let ca = crate::sync::certificates::make_ca("test", 1).unwrap().certificate;
    place.server.publish("l", 1, &plan("m")).unwrap();
    let (mut pod, mut answer) = (place.gateway("g0"), json!({}));
    let mut has = empty();
    let steps: [(&str, Step<'_>); 4] = [
        ("plan_id", Box::new(|| ())),
        ("plan", Box::new(|| drop(place.server.publish("l", 2, &plan("n")).unwrap()))),
        ("keys", Box::new(|| place.server.set_keys(br#"{"callers":[],"credentials":{"a/s/k":"sk-1"}}"#).unwrap())),
        ("trust", Box::new(|| place.server.set_trust(ca.as_bytes()).unwrap())),
    ];
    for (what, change) in steps {
        let parked = pod.park(has.clone());
        if what != "plan_id" {
            place.parked("g0");
        }
        change();
        let (same, status, update) = parked.join().unwrap();
        assert_eq!(status, 200, "{what}");
        assert!(!update[what].is_null(), "{what}: {update}");
        for (field, value) in update.as_object().unwrap() {
            answer[field] = value.clone();
        }
        (pod, has) = (same, having(&answer));
    }
    assert_eq!(answer["keys"]["credentials"]["a/s/k"], "sk-1");
}

#[test]
fn a_publication_between_two_polls_is_not_missed() {
    let place = place(json!({}));
    place.server.publish("l", 1, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    let (_, answer) = pod.poll(&empty());
    place.server.publish("l", 2, &plan("n")).unwrap();
    assert_eq!(pod.poll(&having(&answer)).1["serial"], 2);
}

#[test]
fn only_a_higher_serial_or_another_lineage_is_given() {
    let place = place(json!({"park_s": 0.05}));
    let id = place.server.publish("l", 5, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    for (lineage, serial, expected) in [("l", 4, 200), ("l", 5, 204), ("k", 9, 200)] {
        let poll = json!({"schema": 3, "lineage": lineage, "serial": serial, "have": {"plan": "sha256:other"}});
        assert_eq!(pod.poll(&poll).0, expected, "{lineage} {serial}");
        let session = place.session("g0");
        assert_eq!((&session["plan"], &session["expected"]["plan"]), (&json!("sha256:other"), &json!(id)));
    }
}

#[test]
fn a_plan_that_is_there_already_is_not_sent_again_under_a_higher_serial() {
    let place = place(json!({}));
    place.server.publish("l", 1, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    let (_, first) = pod.poll(&empty());
    let id = place.server.publish("l", 2, &plan("m")).unwrap();
    let (_, second) = pod.poll(&having(&first));
    assert_eq!((&second["serial"], &second["plan_id"], second.get("plan")), (&json!(2), &json!(id), None));
}

#[test]
fn whoever_claims_a_serial_that_it_was_never_given_gets_the_published_plan_again() {
    let place = place(json!({"park_s": 0.2}));
    let id = place.server.publish("l", 5, &plan("m")).unwrap();
    let claim = |serial: u64, plan: &str| json!({"schema": 3, "lineage": "l", "serial": serial, "have": {"plan": plan}});
    // One that another replica has given this very plan does not.
    assert_eq!(place.gateway("g0").poll(&claim(5, &id)).0, 204);
    for (pod, serial) in [("g1", 5), ("g2", 6), ("g3", 1 << 53)] {
        let (status, answer) = place.gateway(pod).poll(&claim(serial, "sha256:other"));
        assert_eq!((status, &answer["serial"], &answer["plan_id"]), (200, &json!(5), &json!(id)), "{serial}");
    }
    // Not in a loop, whatever it claims next.
    assert_eq!(place.gateway("g3").poll(&claim(7, "sha256:other")).0, 204);
    for serial in [(1_u64 << 53) + 1, u64::MAX - 1] {
        assert_eq!(place.gateway("g4").poll(&claim(serial, &id)).0, 400, "{serial}");
    }
    assert_eq!((place.counters()["refused"]["invalid_serial"].clone(), place.session("g4")), (json!(2), Value::Null));
}

#[test]
fn an_offer_is_expected_as_soon_as_it_is_made() {
    let place = place(json!({"hop_url": "https://gateway/v1"}));
    place.server.publish("l", 1, &plan("m")).unwrap();
    // None of these polls is parked by now, so no task of theirs could note it.
    place.gateway("g0").poll(&empty());
    place.pod("a.default.app").poll(&empty());
    let whole = place.server.offer("uid-g0", "l", 2, &two_namespaces()).unwrap();
    assert_eq!(place.session("g0")["expected"], json!({"lineage": "l", "serial": 2, "plan": whole}));
    place.server.offer("uid-app", "l", 3, &two_namespaces()).unwrap();
    let expected = place.session("app")["expected"].clone();
    let (_, answer) = place.pod("a.default.app").poll(&empty());
    assert_eq!((&expected["serial"], &expected["plan"]), (&json!(3), &answer["plan_id"]));
}

#[test]
fn an_offer_goes_to_one_session_and_is_forgotten_when_withdrawn() {
    let place = place(json!({"park_s": 1.0}));
    let old = place.server.publish("l", 1, &plan("m")).unwrap();
    let acknowledged = json!({"schema": 3, "lineage": "l", "serial": 1, "have": {"plan": old}});
    let (one, other) = (place.gateway("g0").park(acknowledged.clone()), place.gateway("g1").park(acknowledged.clone()));
    place.parked("g0");
    place.parked("g1");
    place.server.offer("uid-nobody", "l", 2, &plan("x")).unwrap();
    let id = place.server.offer("uid-g0", "l", 2, &plan("n")).unwrap();
    let (mut pod, status, answer) = one.join().unwrap();
    assert_eq!((status, &answer["serial"], &answer["plan_id"]), (200, &json!(2), &json!(id)));
    assert_eq!(other.join().unwrap().1, 204);
    place.server.withdraw();
    assert_eq!(place.gateway("g1").poll(&acknowledged).0, 204);
    // It keeps what it took.
    assert_eq!(pod.poll(&having(&answer)).0, 204);
    assert_eq!(place.session("g0")["serial"], 2);
}

#[test]
fn one_that_has_another_plan_of_the_published_serial_is_told_of() {
    let place = place(json!({}));
    let parked = place.gateway("g0").park(json!({"schema": 3, "lineage": "l", "serial": 2, "have": {"plan": "sha256:offered"}}));
    place.rung();
    place.parked("g0");
    let id = place.server.publish("l", 2, &plan("m")).unwrap();
    place.rung();
    assert_eq!(place.session("g0")["expected"], json!({"lineage": "l", "serial": 2, "plan": id}));
    // Nobody gave it that one here.
    assert_eq!(parked.join().unwrap().2["plan_id"], json!(id));
}

#[test]
fn several_data_planes_may_try_a_plan_at_once() {
    let place = place(json!({}));
    let pods = ["g0", "g1"].map(|pod| place.gateway(pod).park(empty()));
    place.parked("g0");
    place.parked("g1");
    for pod in ["uid-g0", "uid-g1"] {
        place.server.offer(pod, "l", 1, &plan("m")).unwrap();
    }
    for pod in pods {
        assert_eq!(pod.join().unwrap().2["serial"], 1);
    }
}

#[test]
fn a_refused_plan_is_shown_and_not_given_again_until_it_changes() {
    let place = place(json!({"park_s": 0.2}));
    let id = place.server.publish("l", 2, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    let refusal = json!({"plan": id, "code": "invalid_url", "message": "no host"});
    let poll = json!({"schema": 3, "lineage": "l", "serial": 1, "have": {"plan": "sha256:old"}, "reject": refusal});
    assert_eq!(pod.poll(&poll).0, 204);
    let session = place.session("g0");
    assert_eq!((&session["reject"], &session["plan"], &session["serial"]), (&refusal, &json!("sha256:old"), &json!(1)));
    // Not even under a higher serial, while it is the same plan; keys go on.
    place.server.publish("l", 3, &plan("m")).unwrap();
    place.server.set_keys(br#"{"callers":[],"credentials":{}}"#).unwrap();
    let (status, answer) = pod.poll(&poll);
    assert_eq!((status, answer.get("plan_id"), &answer["serial"], answer["keys"].is_object()), (200, None, &json!(1), true));
    place.server.publish("l", 4, &plan("n")).unwrap();
    assert_eq!(pod.poll(&poll).1["serial"], 4);
}

#[test]
fn a_sidecar_gets_its_own_credentials_no_callers_and_no_other_namespace() {
    let place = place(json!({}));
    let hash = "a".repeat(64);
    let keys = json!({"callers": [{"sha256": hash, "tenant": "a", "name": "k", "labels": {"x": "y"}}], "credentials": {"a/s/k": "one", "b/s/k": "two"}});
    place.server.set_keys(keys.to_string().as_bytes()).unwrap();
    let (_, sidecar) = place.pod("a.default.app").poll(&empty());
    assert_eq!(sidecar["identity"], json!({"namespace": "a", "role": "sidecar"}));
    assert_eq!((&sidecar["keys"]["callers"], &sidecar["keys"]["credentials"]), (&json!([]), &json!({"a/s/k": "one"})));
    let (_, gateway) = place.gateway("g0").poll(&empty());
    assert_eq!((&gateway["keys"]["callers"], &gateway["keys"]["credentials"]), (&keys["callers"], &keys["credentials"]));
    let mut sidecar = place.pod("a.default.app");
    assert_eq!(sidecar.request("POST", "/v1/sync?namespace=b", "{}").0, 403);
    assert_eq!(place.counters()["refused"]["foreign_namespace"], 1);
    let text = String::from_utf8(place.server.sessions()).unwrap() + &place.counters().to_string();
    assert!(!text.contains("one") && !text.contains("two"));
}

/// Namespace `a` routes to its own model and one of `b`; `b` has a route with a condition.
fn two_namespaces() -> Vec<u8> {
    let model = |id: &str| {
        json!({"id": id, "upstream": {"url": "http://up/v1", "dialect": "openai", "model": "m", "credential": "b/s/k"}, "profile": "p",
            "price": {"input_nanousd_per_million": 1, "output_nanousd_per_million": 1}, "limits": {"context_tokens": 10, "output_tokens": 5}})
    };
    let route = |id: &str, candidates: Value| json!({"id": id, "aliases": ["auto"], "predictor": "sha256:p", "candidates": candidates, "strategy": {"type": "best"}});
    let mut conditional = route("b/two", json!(["b/pool/m"]));
    conditional["when"] = json!("request.stream");
    json!({"schema": tradewind_core::plan::source::SCHEMA, "profiles": {"p": {"bias": 0.0}}, "models": [model("a/pool/m"), model("b/pool/m")],
        "routes": [route("a/one", json!(["a/pool/m", "b/pool/m"])), conditional]})
    .to_string()
    .into_bytes()
}

#[test]
fn sidecars_and_older_versions_get_what_they_can_read() {
    let place = place(json!({"hop_url": "https://gateway/v1"}));
    let whole = place.server.publish("l", 1, &two_namespaces()).unwrap();
    let (_, sidecar) = place.pod("a.default.app").poll(&empty());
    let routes: Vec<&Value> = sidecar["plan"]["routes"].as_array().unwrap().iter().map(|route| &route["id"]).collect();
    assert_eq!(routes, [&json!("a/one")]);
    let foreign = sidecar["plan"]["models"].as_array().unwrap().iter().find(|model| model["id"] == "b/pool/m").unwrap();
    assert_eq!((&foreign["upstream"]["url"], &foreign["upstream"]["credential"]), (&json!("https://gateway/v1"), &json!("@pod")));
    assert_ne!(sidecar["plan_id"], json!(whole));
    assert_eq!(place.session("app")["expected"]["plan"], sidecar["plan_id"]);

    let mut old = empty();
    old["schema"] = json!(1);
    let (_, answer) = place.gateway("g0").poll(&old);
    assert_eq!((&answer["plan"]["schema"], answer["plan"]["routes"].as_array().unwrap().len()), (&json!("tradewind.plan/v1"), 1));
    assert_eq!((&place.session("g0")["lacks"], &place.session("app")["lacks"]), (&json!(["when"]), &json!([])));
    // One that is newer than this server gets the newest that this server writes.
    old["schema"] = json!(9);
    assert_eq!(place.gateway("g1").poll(&old).1["plan_id"], json!(whole));
}

#[test]
fn a_sidecar_without_a_hop_is_said_to_lack_it() {
    let place = place(json!({}));
    place.server.publish("l", 1, &two_namespaces()).unwrap();
    let (_, sidecar) = place.pod("a.default.app").poll(&empty());
    assert_eq!(sidecar["plan"]["routes"][0]["candidates"], json!(["a/pool/m"]));
    assert_eq!(place.session("app")["lacks"], json!(["hop"]));
    // Whom nothing is kept from lacks nothing.
    place.pod("b.default.other").poll(&empty());
    assert_eq!(place.session("other")["lacks"], json!([]));
}

#[test]
fn a_hop_that_would_show_tokens_to_the_network_is_refused() {
    let check = |url: &str| Settings::parse(json!({"hop_url": url}).to_string().as_bytes());
    for url in ["https://gateway.tradewind.svc:4000/v1", "http://127.0.0.1:4000/v1", "http://[::1]/v1", "http://localhost/v1"] {
        assert!(check(url).is_ok(), "{url}");
    }
    for (url, part) in
        [("http://gateway/v1", "plain http"), ("http://10.0.0.1/v1", "plain http"), ("", "hop_url"), ("gateway", "no base URL")]
    {
        let message = check(url).unwrap_err();
        assert!(message.contains(part), "{url}: {message}");
    }
}

#[test]
fn a_newer_poll_of_a_pod_ends_its_older_one() {
    let place = place(json!({}));
    let older = place.gateway("g0").park(empty());
    place.parked("g0");
    let begun = Instant::now();
    let newer = place.gateway("g0").park(empty());
    assert_eq!(older.join().unwrap().1, 204);
    assert!(begun.elapsed() < Duration::from_secs(3));
    place.server.publish("l", 1, &plan("m")).unwrap();
    assert_eq!(newer.join().unwrap().1, 200);
    assert_eq!(place.sessions().len(), 1);
}

#[test]
fn a_session_without_polls_is_dropped_and_told() {
    let place = place(json!({"park_s": 0.1, "silence_s": 0.4}));
    assert_eq!(place.gateway("g0").poll(&empty()).0, 204);
    place.rung();
    assert_eq!(place.session("g0")["parked"], false);
    place.rung();
    assert!(place.sessions().is_empty());
}

#[test]
fn a_data_plane_that_hangs_up_is_told() {
    let place = place(json!({}));
    let mut pod = place.gateway("g0");
    pod.stream
        .get_mut()
        .write_all(
            b"POST /v1/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer system.gateway.g0\r\ncontent-length: 12\r\n\r\n{\"schema\":3}",
        )
        .unwrap();
    place.rung();
    assert_eq!(place.session("g0")["parked"], true);
    drop(pod);
    place.rung();
    assert_eq!(place.session("g0")["parked"], false);
}

#[test]
fn changes_ring_once_until_the_sessions_are_read() {
    let place = place(json!({"park_s": 0.02}));
    let mut pod = place.gateway("g0");
    pod.poll(&empty());
    place.rung();
    for serial in 1..4 {
        pod.poll(&json!({"schema": 3, "lineage": "l", "serial": serial}));
    }
    assert!(place.changed.try_recv().is_err());
    place.sessions();
    pod.poll(&json!({"schema": 3, "lineage": "l", "serial": 9}));
    place.rung();
}

#[test]
fn a_serial_that_flaps_rings_now_and_then_only_and_the_last_one_is_told() {
    let place = place(json!({"park_s": 0.0, "silence_s": 5.0}));
    let mut pod = place.gateway("g0");
    let (mut rings, mut serial, begun) = (0_u32, 0_u64, Instant::now());
    while begun.elapsed() < Duration::from_millis(500) {
        serial += 1;
        pod.poll(&json!({"schema": 3, "lineage": "l", "serial": serial}));
        if place.changed.try_recv().is_ok() {
            rings += 1;
            place.sessions();
        }
    }
    assert!((2..=30).contains(&rings), "{rings} rings for {serial} polls");
    eventually(|| place.session("g0")["serial"] == serial);
    pod.poll(&json!({"schema": 3, "lineage": "l", "serial": serial + 1}));
    place.rung();
}

#[test]
fn bad_tokens_are_remembered_and_floods_end_here() {
    let place = place(json!({}));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(place.pod("bad").poll(&empty()).0);
    }
    assert_eq!((statuses, place.asked.load(Ordering::SeqCst)), (vec![401; 3], 1));
    assert_eq!(place.pod("broken").poll(&empty()).0, 503);
    assert_eq!(place.pod("").poll(&empty()).0, 401);
    for index in 0..60 {
        place.pod(&format!("bad{index}")).poll(&empty());
    }
    assert!(place.asked.load(Ordering::SeqCst) < 30, "{}", place.asked.load(Ordering::SeqCst));
    let refused = &place.counters()["refused"];
    assert!(refused["too_many_bad_tokens"].as_u64() > Some(10) && refused["identity_unavailable"] == 1, "{refused}");
}

#[test]
fn a_token_is_asked_about_once() {
    let place = place(json!({"park_s": 0.01}));
    let pods: Vec<_> = (0..8).map(|_| place.gateway("g0").park(empty())).collect();
    for pod in pods {
        assert_eq!(pod.join().unwrap().1, 204);
    }
    assert_eq!(place.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn gateways_ask_who_a_caller_is_and_sidecars_may_not() {
    let place = place(json!({}));
    let ask = |token: &str| json!({"token": token}).to_string();
    let mut gateway = place.gateway("g0");
    let (status, body) = gateway.request("POST", "/v1/identify", &ask("b.app.pod"));
    let mut account: Value = serde_json::from_slice(&body).unwrap();
    // So that two memories of it do not add up.
    let expires_s = account.as_object_mut().unwrap().remove("expires_s").unwrap().as_f64().unwrap();
    assert_eq!((status, account), (200, json!({"namespace": "b", "service_account": "app"})));
    assert!((1.0..=300.0).contains(&expires_s), "{expires_s}");
    thread::sleep(Duration::from_millis(5));
    let (_, body) = gateway.request("POST", "/v1/identify", &ask("b.app.pod"));
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["expires_s"].as_f64().unwrap() < expires_s);
    assert_eq!(gateway.request("POST", "/v1/identify", &ask("bad")).0, 401);
    assert_eq!(place.pod("a.default.app").request("POST", "/v1/identify", &ask("b.app.pod")).0, 403);
}

#[test]
fn predictors_are_given_by_digest_to_whoever_is_known() {
    let place = place(json!({}));
    let digest = place.server.add_predictor(b"onnx".to_vec()).unwrap();
    assert_eq!(place.gateway("g0").request("GET", &format!("/v1/predictors/{digest}"), ""), (200, b"onnx".to_vec()));
    assert_eq!(place.gateway("g0").request("GET", "/v1/predictors/sha256:0", "").0, 404);
    assert_eq!(place.pod("bad").request("GET", &format!("/v1/predictors/{digest}"), "").0, 401);
}

#[test]
fn predictors_that_nothing_names_are_forgotten() {
    let place = place(json!({}));
    let digests = [b"one", b"two", b"six", b"ten"].map(|onnx| place.server.add_predictor(onnx.to_vec()).unwrap());
    let naming = |digest: &str| String::from_utf8(two_namespaces()).unwrap().replace("sha256:p", digest).into_bytes();
    place.server.publish("l", 1, &naming(&digests[0])).unwrap();
    place.server.offer("uid-g0", "l", 2, &naming(&digests[1])).unwrap();
    place.server.keep_predictors([&*digests[2]]);
    let mut pod = place.gateway("g0");
    let found = digests.each_ref().map(|digest| pod.request("GET", &format!("/v1/predictors/{digest}"), "").0);
    assert_eq!(found, [200, 200, 200, 404]);
}

#[test]
fn what_is_no_poll_is_refused_without_repeating_it() {
    let place = place(json!({}));
    for (method, target, body, status) in [
        ("POST", "/v1/sync", "{\"secret\"", 400),
        ("POST", "/v1/sync", "{\"schema\":0}", 400),
        ("GET", "/v1/sync", "", 405),
        ("GET", "/else", "", 404),
    ] {
        let (found, body) = place.gateway("g0").request(method, target, body);
        assert_eq!(found, status, "{target}");
        assert!(!String::from_utf8(body).unwrap().contains("secret"));
    }
    assert_eq!(place.gateway("g0").request("POST", "/v1/sync", &"x".repeat(70_000)).0, 413);
    let error = place.server.set_keys(br#"{"callers":"sk-secret"}"#).unwrap_err();
    assert!(!error.contains("sk-secret"), "{error}");
}

#[test]
fn a_data_plane_that_asks_in_a_loop_is_answered_once_a_second() {
    let place = place(json!({}));
    place.server.publish("l", 1, &plan("m")).unwrap();
    let mut pod = place.gateway("g0");
    let begun = Instant::now();
    assert_eq!(pod.poll(&empty()).0, 200);
    assert!(begun.elapsed() < Duration::from_millis(900));
    assert_eq!(pod.poll(&empty()).0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(990));
}

#[test]
fn idle_connections_and_halves_of_requests_are_closed() {
    let place = place(json!({"idle_s": 0.2}));
    for sent in ["", "POST /v1/sy", "POST /v1/sync HTTP/1.1\r\nhost: x\r\n"] {
        let mut pod = place.gateway("g0");
        pod.stream.get_mut().write_all(sent.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // Closed, with or without a word.
        assert!(pod.stream.read_to_end(&mut rest).is_ok(), "{sent}");
    }
    let mut pod = place.pod("bad");
    assert_eq!(pod.poll(&empty()).0, 401);
    assert_eq!(pod.stream.read(&mut [0]).unwrap(), 0);
    eventually(|| place.counters()["connections"] == 0);
}

#[test]
fn a_parked_poll_does_not_count_as_idle() {
    let place = place(json!({"idle_s": 0.1, "park_s": 0.5}));
    let mut pod = place.gateway("g0");
    assert_eq!(pod.poll(&empty()).0, 204);
}

#[test]
fn a_gateway_that_asks_is_given_its_certificate_and_nobody_else() {
    let place = place(json!({"park_s": 0.05}));
    let ca = crate::sync::certificates::make_ca("test", 1).unwrap();
    let issue = || crate::sync::certificates::issue(&ca.certificate, &ca.key, &["gateway.example".to_owned()], 1).unwrap();
    let set = |issued: &crate::sync::certificates::Issued| {
        place.server.set_gateway_certificate(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
    };
    let asking = |have: &str| json!({"schema": 3, "have": {"certificate": have}});
    let mut gateway = place.gateway("g0");
    assert_eq!(gateway.poll(&asking("")).0, 204);
    let first = issue();
    set(&first);
    // An older gateway does not ask, and polls as before; a sidecar may ask.
    assert_eq!(gateway.poll(&empty()).0, 204);
    assert_eq!(place.pod("a.app.p0").poll(&asking("")).0, 204);
    let (status, answer) = gateway.poll(&asking(""));
    let given = &answer["certificate"];
    assert_eq!((status, &given["chain"], &given["key"]), (200, &json!(first.certificate), &json!(first.key)));
    assert_eq!(gateway.poll(&asking(given["digest"].as_str().unwrap())).0, 204);
    let parked = gateway.park(json!({"schema": 3, "have": {"certificate": given["digest"]}}));
    let second = issue();
    set(&second);
    assert_eq!(parked.join().unwrap().2["certificate"]["chain"], json!(second.certificate));
    assert!(place.server.set_gateway_certificate(first.certificate.as_bytes(), second.key.as_bytes()).unwrap_err().contains("do not fit"));
    assert!(!String::from_utf8(place.server.sessions()).unwrap().contains("PRIVATE"));
}
