//! What is not a call: models, health, metrics, the plan in service.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use tradewind_core::{Code, Error};

use crate::{
    account::rfc3339,
    answer::{self, AnswerBody},
    engine::Engine,
    keys::Addressed,
};

/// The last plan that was refused.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// When, RFC 3339.
    pub at: String,
    /// Everything that is wrong with it.
    pub problems: serde_json::Value,
}

/// `GET /v1/models`: what the caller may ask for.
pub(crate) fn models(engine: &Engine, from: &Addressed<'_>) -> Response<AnswerBody> {
    let named = || {
        let routing = engine.routing()?;
        let names = routing.plan.names(from.namespace(), &from.caller.identity.tenant)?;
        Ok::<_, Error>((routing, names))
    };
    let (routing, names) = match named() {
        Ok(named) => named,
        Err(error) => return engine.refuse(&error),
    };
    let created = routing.loaded_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let data: Vec<_> =
        names.iter().map(|(id, owner)| json!({"id": id, "object": "model", "created": created, "owned_by": owner})).collect();
    document(&json!({"object": "list", "data": data}))
}

/// `GET /healthz`: the process is alive.
pub(crate) fn alive() -> Response<AnswerBody> {
    document(&json!({"status": "ok"}))
}

/// `GET /readyz`: a plan is loaded, callers can be known, and calls are accepted.
pub(crate) fn ready(engine: &Engine) -> Response<AnswerBody> {
    if engine.is_ending() {
        return answer::error(&Error::new(Code::Draining, "", "the gateway is shutting down"));
    }
    match engine.routing().and_then(|routing| engine.callers_known().map(|()| routing)) {
        Ok(routing) => document(&json!({"status": "ready", "plan": &**routing.plan.id()})),
        Err(error) => answer::error(&error),
    }
}

/// `GET /startupz`: a plan is loaded, or it was waited for long enough. Once 200, whoever waits for us may start.
pub(crate) fn started(engine: &Engine) -> Response<AnswerBody> {
    let waited = engine.age() >= Duration::from_secs(engine.settings().startup_wait_s);
    match engine.routing() {
        Ok(routing) => document(&json!({"status": "started", "plan": &**routing.plan.id()})),
        Err(_) if waited => document(&json!({"status": "started", "plan": null})),
        Err(error) => answer::error(&error),
    }
}

/// `GET /metrics`.
pub(crate) fn metrics(engine: &Engine) -> Response<AnswerBody> {
    let mut response = answer::json(StatusCode::OK, engine.metrics().text());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `GET /plan`: what is served, since when, and the last refusal.
pub(crate) fn plan(engine: &Engine) -> Response<AnswerBody> {
    let refusal = engine.refusal();
    let refusal = refusal.as_deref();
    let sync = engine.controllers().map(|controllers| controllers.0.document());
    let Ok(routing) = engine.routing() else {
        let nothing: [&str; 0] = [];
        let executor = engine.settings().executor;
        return document(
            &json!({"plan": null, "source": null, "loaded_at": null, "models": nothing, "routes": nothing, "predictors": nothing,
            "executor": executor, "warnings": nothing, "refusal": refusal, "sync": sync}),
        );
    };
    let predictors = routing.predictors();
    let executor = routing.plan.routes().first().map_or("native", |route| route.predictor.executor());
    document(&json!({
        "plan": &**routing.plan.id(),
        "source": routing.source,
        "loaded_at": rfc3339(routing.loaded_at),
        "models": routing.plan.models().iter().map(|model| &*model.id).collect::<Vec<_>>(),
        "routes": routing.plan.routes().iter().map(|route| &*route.id).collect::<Vec<_>>(),
        "predictors": predictors.iter().map(|(digest, _)| digest).collect::<Vec<_>>(),
        "executor": executor,
        "warnings": routing.warnings,
        "refusal": refusal,
        "sync": sync,
    }))
}

/// A refusal of now.
pub(crate) fn refusal(problems: serde_json::Value) -> Arc<Refusal> {
    Arc::new(Refusal { at: rfc3339(SystemTime::now()), problems })
}

fn document(value: &serde_json::Value) -> Response<AnswerBody> {
    answer::json(StatusCode::OK, value.to_string())
}
