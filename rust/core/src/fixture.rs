//! A small plan over a tiny predictor, for tests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    plan::{self, Compiled, Predictors, Problem},
    predict::{Predictor, tiny},
};

/// A model called `a/pool/<name>` with the profile of its name; USD per million tokens in and out.
pub fn model(name: &str, usd_in: f64, usd_out: f64) -> Value {
    json!({
        "id": format!("a/pool/{name}"),
        "upstream": {"url": "http://127.0.0.1:1/v1", "dialect": "openai", "model": name},
        "price": {"input_nanousd_per_million": (usd_in * 1e9) as i64, "output_nanousd_per_million": (usd_out * 1e9) as i64},
        "limits": {"context_tokens": 8192, "output_tokens": 4096},
        "capabilities": ["tools", "json"],
        "labels": {"tier": name},
        "profile": name,
        "latency": {"first_token_ms": 100.0},
    })
}

/// `cheap`, `middle` and `dear`, and one route `a/default` for the alias `auto`.
pub fn source() -> Value {
    json!({
        "schema": plan::source::SCHEMA,
        "profiles": {"cheap": {"bias": 0.0}, "middle": {"bias": 1.0}, "dear": {"bias": 3.0}},
        "models": [model("cheap", 0.1, 0.2), model("middle", 1.0, 2.0), model("dear", 10.0, 30.0)],
        "routes": [{
            "id": "a/default",
            "aliases": ["auto"],
            "predictor": predictor().digest().to_string(),
            "candidates": ["a/pool/cheap", "a/pool/middle", "a/pool/dear"],
            "strategy": {"type": "utility", "utility": {"willingness_to_pay_usd": 0.02}},
        }],
    })
}

pub fn predictor() -> Arc<Predictor> {
    Arc::new(Predictor::native(&tiny(|_, _| {})).unwrap())
}

pub fn compile(source: &Value) -> Result<Compiled, Vec<Problem>> {
    let predictor = predictor();
    let predictors = Predictors::from([(predictor.digest().to_string(), predictor)]);
    plan::compile(source.to_string().as_bytes(), &predictors)
}

/// The body of a question to `auto`, with further fields.
pub fn body(more: &str) -> String {
    format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Why is the sky blue?"}}]{more}}}"#)
}
