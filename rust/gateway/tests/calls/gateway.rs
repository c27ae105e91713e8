//! An engine over a plan of played upstreams, and its ledger.

use std::{fs, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tradewind_core::{
    plan::{Predictors, source::SCHEMA},
    predict::{Predictor, tiny},
};
use tradewind_gateway::{AnswerBody, Engine, Peer, Settings};

use crate::upstream::Upstream;

pub const QUESTION: &str = r#"{"model":"auto","messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;
pub const STREAM: &str = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;

/// An engine whose models `m0`, `m1`, … are preferred in this order.
pub struct Gateway {
    pub engine: Arc<Engine>,
    pub folder: TempDir,
}

/// An answer, read to its end.
pub struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answered {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Gateway {
    pub fn new(upstreams: &[&Upstream]) -> Self {
        Self::with(&plan(upstreams), |_| {})
    }

    /// With a plan, and settings that differ from the default.
    pub fn with(plan: &Value, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            ledger_dir: Some(folder.path().join("ledger")),
            workers: 1,
            listen: "127.0.0.1:0".to_owned(),
            ..Settings::default()
        };
        change(&mut settings);
        let engine = Engine::new(settings, Predictors::new()).unwrap();
        engine.add_predictor(&tiny(|_, _| {})).unwrap();
        engine.swap(plan.to_string().as_bytes(), "test").unwrap();
        Self { engine, folder }
    }

    pub async fn ask(&self, body: &str) -> Response<AnswerBody> {
        self.send(Request::post("/v1/chat/completions").body(body.to_owned()).unwrap()).await
    }

    pub async fn send(&self, request: Request<String>) -> Response<AnswerBody> {
        self.engine.handle(request.map(Bytes::from), Peer::default()).await
    }

    pub async fn answer(&self, body: &str) -> Answered {
        read(self.ask(body).await).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        read(self.send(Request::get(path).body(String::new()).unwrap()).await).await
    }

    /// Every line of the ledger.
    pub async fn outcomes(&self) -> Vec<Value> {
        self.engine.flush_ledger().await;
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.folder.path().join("ledger")).unwrap() {
            lines.extend(fs::read_to_string(entry.unwrap().path()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()));
        }
        lines
    }

    /// The one line of the ledger.
    pub async fn outcome(&self) -> Value {
        let mut outcomes = self.outcomes().await;
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0)
    }
}

pub async fn read(response: Response<AnswerBody>) -> Answered {
    let (head, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answered { status: head.status.as_u16(), headers: head.headers, body }
}

/// A plan of tenant `default` that prefers upstreams in their order. Prices in nano-dollars per million tokens: (n+1) × 1e9 in, twice that out.
pub fn plan(upstreams: &[&Upstream]) -> Value {
    let urls: Vec<&str> = upstreams.iter().map(|upstream| upstream.url.as_str()).collect();
    plan_of(&urls)
}

pub fn plan_of(urls: &[&str]) -> Value {
    let id = |index: usize| format!("default/pool/m{index}");
    let models: Vec<Value> = urls
        .iter()
        .enumerate()
        .map(|(index, url)| {
            let price = (index + 1) as i64 * 1_000_000_000;
            json!({
                "id": id(index),
                "upstream": {"url": url, "dialect": "openai", "model": format!("up/{index}")},
                "price": {"input_nanousd_per_million": price, "output_nanousd_per_million": 2 * price},
                "limits": {"context_tokens": 8192, "output_tokens": 4096},
                "profile": format!("p{index}"),
            })
        })
        .collect();
    let profiles: Map<String, Value> = (0..urls.len()).map(|index| (format!("p{index}"), json!({"bias": 4 - index as i64}))).collect();
    json!({
        "schema": SCHEMA,
        "profiles": profiles,
        "models": models,
        "routes": [{
            "id": "default/policy",
            "aliases": ["auto"],
            "predictor": digest(),
            "candidates": (0..urls.len()).map(id).collect::<Vec<_>>(),
            "strategy": {"type": "utility", "utility": {"willingness_to_pay_usd": 1000.0}},
            "timeouts": {"request_ms": 20_000, "first_token_ms": 10_000, "stream_idle_ms": 10_000},
        }],
    })
}

pub fn digest() -> String {
    Predictor::native(&tiny(|_, _| {})).unwrap().digest().to_string()
}
