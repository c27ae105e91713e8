//! A controller's end of the channel, and data planes that follow it.

use std::{
    fs,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tradewind_core::plan::Predictors;
use tradewind_gateway::{
    Engine, Peer, Settings,
    sync::{
        certificates::Issued,
        client::SyncClient,
        server::{self, SyncServer, Unidentified},
    },
};

use crate::gateway::{Answered, read};

/// Runs what is asynchronous; servers and clients have threads of their own, which no runtime may hold.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).block_on(future)
}

pub fn eventually(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it never came");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A replica of the controller. Tokens are `namespace.account.pod`.
pub struct Controller {
    pub server: SyncServer,
    pub url: String,
    pub asked: Arc<AtomicUsize>,
}

impl Controller {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0", None)
    }

    /// At an address, with a certificate.
    pub fn at(listen: &str, certificate: Option<&Issued>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let identify = move |token: &str| {
            count.fetch_add(1, Ordering::SeqCst);
            // A gateway asks about what looks like a token only.
            let inner = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
            let claims: Value = inner.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
            let token = claims["sub"].as_str().unwrap_or(token);
            let [namespace, account, pod] = token.split('.').collect::<Vec<_>>()[..] else { return Err(Unidentified::Unknown) };
            // What a rotated token has at its end is no part of the pod's name.
            let pod = pod.split('~').next().unwrap();
            let holder = json!({"namespace": namespace, "service_account": account, "pod": pod, "pod_uid": pod});
            Ok(holder.to_string().into_bytes())
        };
        let settings = json!({"listen": listen, "gateway_accounts": ["system/gateway"]});
        let settings = server::Settings::parse(settings.to_string().as_bytes()).unwrap();
        let server = SyncServer::new(settings, Box::new(identify), Box::new(|| ())).unwrap();
        if let Some(issued) = certificate {
            server.set_certificate(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
        }
        let address = server.listen().unwrap();
        let url = if certificate.is_some() { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") };
        Self { server, url, asked }
    }

    pub fn publish(&self, lineage: &str, serial: u64, plan: &Value) -> String {
        self.server.publish(lineage, serial, plan.to_string().as_bytes()).unwrap()
    }

    pub fn set_keys(&self, keys: &Value) {
        self.server.set_keys(keys.to_string().as_bytes()).unwrap();
    }

    pub fn session(&self, pod: &str) -> Value {
        let sessions: Vec<Value> = serde_json::from_slice(&self.server.sessions()).unwrap();
        sessions.into_iter().find(|session| session["pod"] == pod).unwrap_or_default()
    }

    pub fn counters(&self) -> Value {
        serde_json::from_slice(&self.server.counters()).unwrap()
    }

    /// Waits until a pod acknowledges a serial.
    pub fn acknowledged(&self, pod: &str, serial: u64) -> Value {
        eventually(|| self.session(pod)["serial"] == serial);
        self.session(pod)
    }
}

/// The token of a ServiceAccount as a caller shows it: who it is, `namespace.account.pod`, is its subject.
pub fn token(subject: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(json!({"iss": "https://cluster", "sub": subject, "exp": 4_102_444_800_u64})))
}

/// A data plane that follows controllers.
pub struct Pod {
    pub engine: Arc<Engine>,
    pub client: SyncClient,
}

/// The files of a data plane, which outlive it.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new(token: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.set_token(token);
        place
    }

    pub fn set_token(&self, token: &str) {
        fs::write(self.folder.path().join("token"), format!("{token}\n")).unwrap();
    }

    pub fn start(&self, controllers: &[&Controller], change: impl FnOnce(&mut Settings)) -> Pod {
        let urls: Vec<&str> = controllers.iter().map(|controller| &*controller.url).collect();
        self.follow(&urls, change)
    }

    pub fn follow(&self, urls: &[&str], change: impl FnOnce(&mut Settings)) -> Pod {
        let mut settings = Settings {
            controllers: urls.iter().map(|&url| url.to_owned()).collect(),
            controller_token: Some(self.folder.path().join("token")),
            plan_cache: Some(self.folder.path().join("plans")),
            plan_cache_after_s: 0,
            allow_upstreams: vec!["127.0.0.0/8".parse().unwrap()],
            ..Settings::default()
        };
        change(&mut settings);
        let engine = Engine::new(settings, Predictors::new()).unwrap();
        let client = SyncClient::start(&engine).unwrap();
        Pod { engine, client }
    }
}

impl Pod {
    pub fn send(&self, request: Request<String>) -> Answered {
        self.send_from("127.0.0.1", request)
    }

    fn send_from(&self, address: &str, request: Request<String>) -> Answered {
        let peer = Peer { address: Some(address.parse().unwrap()), ..Peer::default() };
        run(async { read(self.engine.handle(request.map(Bytes::from), peer).await).await })
    }

    pub fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(String::new()).unwrap())
    }

    pub fn ask(&self, key: &str, body: &str) -> Answered {
        self.ask_from("127.0.0.1", key, body)
    }

    pub fn ask_from(&self, address: &str, key: &str, body: &str) -> Answered {
        let mut request = Request::post("/v1/chat/completions");
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.send_from(address, request.body(body.to_owned()).unwrap())
    }

    /// What `/plan` says of the channel.
    pub fn sync(&self) -> Value {
        self.get("/plan").json()["sync"].clone()
    }

    /// A sample of the metrics, by its name with labels.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").body;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
    }

    pub fn end(self) {
        self.client.stop();
    }
}
