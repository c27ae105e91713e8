//! A small plan over a tiny predictor, for tests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    Error,
    features::Features,
    plan::{self, Compiled, Problem},
    predict::{Executor, Graph, Prediction, Predictor, tiny, tiny_own},
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
    let predictors = [predictor(), second_tier()].map(|predictor| (predictor.digest().to_string(), predictor)).into();
    plan::compile(source.to_string().as_bytes(), &predictors)
}

/// A graph of three columns which says 0.9, 0.5 and 0.1, whatever the text.
pub fn second_tier() -> Arc<Predictor> {
    let bytes = tiny_own(3);
    let graph = Graph::read(&bytes).unwrap();
    Arc::new(Predictor::new(&bytes, &graph, Box::new(Says([0.9, 0.5, 0.1]))))
}

struct Says([f32; 3]);

impl Executor for Says {
    fn name(&self) -> &'static str {
        "test"
    }

    fn run(&self, _features: &Features) -> Result<Prediction, Error> {
        let mut prediction = Prediction::zeros(Graph::read(&tiny_own(3))?.dimensions());
        prediction.parts_mut().quality.copy_from_slice(&self.0);
        Ok(prediction)
    }
}

/// [`source`] with a second tier that knows `cheap` and `dear`, and is asked as `more` says.
pub fn with_second_tier(more: &Value) -> Value {
    let mut source = source();
    let mut tier = json!({
        "predictor": second_tier().digest().to_string(),
        "ambiguity": 1.0,
        "columns": {"a/pool/cheap": 0, "a/pool/dear": 2},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        tier[key] = value.clone();
    }
    source["routes"][0]["second_tier"] = tier;
    source
}

/// The body of a question to `auto`, with further fields.
pub fn body(more: &str) -> String {
    format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Why is the sky blue?"}}]{more}}}"#)
}
