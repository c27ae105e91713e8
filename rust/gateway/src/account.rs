//! The account of one call: opened once it is authenticated and parsed, closed exactly once, however the call ends.
//!
//! Closing is its drop: whoever holds it (the call on its way, then the body of its answer) may vanish at any moment, because the
//! client may. What is open then was left by the client, or cut because the time to drain was over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use serde::Serialize;
use tradewind_core::{
    Call, Code, Decision, Dials,
    decision::SecondTierDocument,
    money::NanoUsd,
    plan::Model,
    predict::Opinion,
    record::{Capture, CaptureKind},
};

use crate::{
    engine::{Engine, Slot},
    keys::{Addressed, Caller},
    ledger::{Line, Reserved},
    metrics::{AttemptLabels, CallLabels, ModelLabels, TokenLabels},
    routing::Routing,
    usage::Usage,
};

/// One upstream call, as far as it went.
pub(crate) struct Attempt {
    model: Arc<Model>,
    propensity: f64,
    at: SystemTime,
    started: Instant,
    /// Milliseconds to the first byte of the answer.
    first_token_ms: Option<f64>,
    total_ms: Option<f64>,
    status: Option<u16>,
    error: Option<Code>,
    /// What the upstream has counted.
    reported: Option<Usage>,
    /// What it may have used up, where it has not counted.
    estimated: Usage,
    open: bool,
}

impl Attempt {
    fn usage(&self) -> Usage {
        self.reported.unwrap_or(self.estimated)
    }

    fn cost(&self) -> NanoUsd {
        let usage = self.usage();
        self.model.price.cost(usage.input, usage.cached, usage.output)
    }
}

/// What happened to a call.
struct Record {
    id: String,
    at: SystemTime,
    caller: Arc<Caller>,
    /// Namespace whose routes it addressed, where it is not the caller's own.
    namespace: Option<Box<str>>,
    dials: Dials,
    body: Bytes,
    capture: CaptureKind,
    routing: Arc<Routing>,
    decision: Option<Arc<Decision>>,
    /// What the second tier has said since.
    label: Option<Opinion>,
    attempts: Vec<Attempt>,
    answered_by: Option<Arc<Model>>,
    error: Option<Code>,
    open: bool,
}

/// The open account of a call.
pub(crate) struct Account {
    engine: Arc<Engine>,
    line: Option<Reserved>,
    record: Option<Box<Record>>,
    label: Option<Arc<Labelled>>,
    // Given back when the account is closed.
    _slot: Slot,
}

/// How an attempt ended.
pub(crate) struct End {
    /// The error, if it failed.
    pub error: Option<Code>,
    /// What the upstream has counted.
    pub reported: Option<Usage>,
    /// What to assume where it has not.
    pub estimated: Usage,
}

impl Account {
    /// Opens the account of a parsed call of a known caller. `line` is its place in the ledger, where there is one.
    pub fn open(engine: Arc<Engine>, slot: Slot, line: Option<Reserved>, routing: Arc<Routing>, from: Addressed<'_>, body: Bytes) -> Self {
        let capture = engine.settings().capture;
        let namespace = from.namespace.filter(|namespace| **namespace != from.caller.identity.tenant).map(Box::from);
        let record = Record {
            id: engine.next_id(),
            at: SystemTime::now(),
            caller: from.caller,
            namespace,
            dials: Dials::default(),
            body,
            capture,
            routing,
            decision: None,
            label: None,
            attempts: Vec::new(),
            answered_by: None,
            error: None,
            open: true,
        };
        Self { engine, line, record: Some(Box::new(record)), label: None, _slot: slot }
    }

    /// Id of the call, of its decision and of its outcome.
    pub fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    /// What was decided, and by which dials.
    pub fn decided(&mut self, decision: Arc<Decision>, dials: Dials) {
        if let Some(record) = &mut self.record {
            record.decision = Some(decision);
            record.dials = dials;
        }
    }

    /// Lets the outcome have what a second tier says, and wait for it; none where there is no ledger.
    pub fn labeller(&mut self) -> Option<Labeller> {
        self.line.as_ref()?;
        let of = Arc::clone(self.label.insert(Arc::default()));
        Some(Labeller { of, label: None })
    }

    /// An upstream call begins. Until more is known, the client's leaving costs the prompt.
    pub fn begin(&mut self, model: Arc<Model>, input_tokens: u32) {
        let Some(record) = &mut self.record else { return };
        // The strategy draws only the first; who follows a failure is settled.
        let propensity =
            if record.attempts.is_empty() { record.decision.as_ref().map_or(1.0, |decision| decision.propensity) } else { 1.0 };
        record.attempts.push(Attempt {
            model,
            propensity,
            at: SystemTime::now(),
            started: Instant::now(),
            first_token_ms: None,
            total_ms: None,
            status: None,
            error: None,
            reported: None,
            estimated: Usage { input: input_tokens.into(), ..Usage::default() },
            open: true,
        });
    }

    fn last(&mut self) -> Option<&mut Attempt> {
        self.record.as_mut()?.attempts.last_mut().filter(|attempt| attempt.open)
    }

    /// The head of the answer came.
    pub fn status(&mut self, status: u16) {
        if let Some(attempt) = self.last() {
            attempt.status = Some(status);
        }
    }

    /// The first bytes of the answer came; gives the milliseconds that took.
    pub fn first_byte(&mut self) -> f64 {
        self.last().map_or(0.0, |attempt| *attempt.first_token_ms.insert(milliseconds(attempt.started)))
    }

    /// The upstream call ended.
    pub fn end(&mut self, end: End) {
        let Some(attempt) = self.last() else { return };
        attempt.open = false;
        attempt.total_ms = Some(milliseconds(attempt.started));
        attempt.error = end.error;
        attempt.reported = end.reported;
        attempt.estimated = end.estimated;
    }

    /// The last attempt's answer goes to the client.
    pub fn answered(&mut self) {
        if let Some(record) = &mut self.record {
            record.answered_by = record.attempts.last().map(|attempt| Arc::clone(&attempt.model));
        }
    }

    /// Id of the model that answers.
    pub fn answerer(&self) -> Option<&str> {
        self.record.as_ref()?.answered_by.as_ref().map(|model| &*model.id)
    }

    /// The call ended: with an error for the client, or well.
    pub fn close(&mut self, error: Option<Code>) {
        if let Some(record) = &mut self.record {
            record.error = error;
            record.open = false;
        }
    }

    /// Why a call ends that nobody has closed.
    pub fn left(&self) -> Code {
        if self.engine.is_cut() { Code::DrainTimeout } else { Code::ClientGone }
    }

    /// What the attempts have cost so far.
    pub fn cost(&self) -> NanoUsd {
        self.record.as_ref().map_or(NanoUsd(0), |record| record.cost())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let left = self.left();
        let Some(mut record) = self.record.take() else { return };
        if record.open {
            record.error = Some(left);
        }
        for attempt in record.attempts.iter_mut().filter(|attempt| attempt.open) {
            attempt.total_ms = Some(milliseconds(attempt.started));
            attempt.error = Some(left);
        }
        record.count(&self.engine);
        let Some(line) = self.line.take() else { return };
        match self.label.take() {
            Some(label) => label.closed(line, record),
            None => line.fill(record),
        }
    }
}

/// An outcome and its label: whoever comes last, the end of the call or the label, fills the line.
#[derive(Default)]
struct Labelled(Mutex<Half>);

#[derive(Default)]
enum Half {
    /// Neither has come.
    #[default]
    None,
    /// The label has, or it is known that there is none.
    Said(Option<Opinion>),
    /// The call has ended.
    Closed(Reserved, Box<Record>),
}

impl Labelled {
    fn closed(&self, line: Reserved, mut record: Box<Record>) {
        let mut half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *half) {
            Half::Said(label) => {
                record.label = label;
                line.fill(record);
            }
            _ => *half = Half::Closed(line, record),
        }
    }

    fn said(&self, label: Option<Opinion>) {
        let mut half = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *half) {
            Half::Closed(line, mut record) => {
                record.label = label;
                line.fill(record);
            }
            _ => *half = Half::Said(label),
        }
    }
}

/// Gives an outcome its label. Dropped, there is none.
pub(crate) struct Labeller {
    of: Arc<Labelled>,
    label: Option<Opinion>,
}

impl Labeller {
    /// What the second tier says.
    pub fn said(mut self, label: Opinion) {
        self.label = Some(label);
    }
}

impl Drop for Labeller {
    fn drop(&mut self) {
        self.of.said(self.label.take());
    }
}

impl Record {
    fn cost(&self) -> NanoUsd {
        NanoUsd(self.attempts.iter().map(|attempt| attempt.cost().0).sum())
    }

    /// What always calling the best forecast would have cost: the model of the best forecast quality, at its price, for the
    /// tokens of this very answer, its length scaled by the two models' forecast lengths. What answered itself costs what it cost.
    /// Where nothing answered, the forecast's cost.
    fn baseline(&self) -> Option<(&Arc<Model>, NanoUsd)> {
        let decision = self.decision.as_ref()?;
        let best = decision.baseline();
        let model = &best.model.0;
        let answered = self.answered_by.as_ref().and_then(|by| {
            let attempt = self.attempts.iter().rev().find(|attempt| Arc::ptr_eq(&attempt.model, by))?;
            let candidate = decision.candidates.iter().find(|candidate| Arc::ptr_eq(&candidate.model.0, by))?;
            Some((attempt, candidate))
        });
        let Some((attempt, candidate)) = answered else { return Some((model, best.forecast.cost)) };
        if Arc::ptr_eq(model, &attempt.model) {
            return Some((model, attempt.cost()));
        }
        let usage = attempt.usage();
        let output = usage.output.saturating_mul(best.forecast.output_tokens.into()) / u64::from(candidate.forecast.output_tokens.max(1));
        Some((model, model.price.cost(usage.input, 0, output)))
    }

    fn count(&self, engine: &Engine) {
        let metrics = engine.metrics();
        let code = self.error.map_or("ok", |error| error.row().code);
        let route = self.decision.as_ref().map(|decision| decision.route.to_string()).unwrap_or_default();
        let model = self.answered_by.as_ref().map(|model| model.id.to_string()).unwrap_or_default();
        metrics.calls.get_or_create(&CallLabels { route, model, code }).inc();
        for attempt in &self.attempts {
            let model = attempt.model.id.to_string();
            let usage = attempt.usage();
            for (kind, tokens) in [("input", usage.input), ("cached", usage.cached), ("output", usage.output)] {
                if tokens > 0 {
                    metrics.tokens.get_or_create(&TokenLabels { model: model.clone(), kind }).inc_by(tokens);
                }
            }
            let labels = ModelLabels { model: model.clone() };
            metrics.cost.get_or_create(&labels).inc_by(attempt.cost().usd());
            if let Some(first) = attempt.first_token_ms {
                metrics.first_token.get_or_create(&labels).observe(first / 1e3);
            }
            metrics.attempts.get_or_create(&AttemptLabels { model, code: attempt.error.map_or("ok", |error| error.row().code) }).inc();
        }
        if let Some((_, cost)) = self.baseline() {
            metrics.baseline.inc_by(cost.usd());
        }
    }
}

impl Line for Record {
    fn write(&self, out: &mut Vec<u8>) {
        let decision = self.decision.as_deref();
        let capture = match decision {
            Some(decision) => {
                let identity = &self.caller.identity;
                let namespace = self.namespace.as_deref().unwrap_or(&identity.tenant);
                let call = Call { body: &self.body, identity, namespace, dials: self.dials };
                Capture::of(self.capture, &call, decision)
            }
            // Nothing was decided, so there is nothing to decide again.
            None => Capture { kind: CaptureKind::None, inputs: None, body: None },
        };
        let baseline = self.baseline();
        let second = self.label.as_ref().or_else(|| decision.and_then(|decision| decision.opinion.as_deref()));
        let outcome = OutcomeLine {
            id: &self.id,
            decision: decision.map(|_| &*self.id),
            time: rfc3339(self.at),
            tenant: &self.caller.identity.tenant,
            key: &self.caller.name,
            labels: &self.caller.identity.labels,
            plan: self.routing.plan.id(),
            predictor: decision.map(|decision| &*decision.predictor),
            price_table: &self.routing.price_table,
            route: decision.map(|decision| &*decision.route),
            model: decision.map(|decision| &*decision.model),
            chosen: decision.map(|decision| &*decision.chosen().model.0.id),
            attempts: self.attempts.iter().map(AttemptLine::of).collect(),
            answered_by: self.answered_by.as_ref().map(|model| &*model.id),
            error: self.error.map(|error| error.row().code),
            cost_nanousd: self.cost(),
            baseline_model: baseline.map(|(model, _)| &*model.id),
            baseline_cost_nanousd: baseline.map(|(_, cost)| cost),
            second_tier: decision.zip(second).map(|(decision, opinion)| decision.second_tier_document(opinion)),
            capture,
        };
        if let Err(error) = serde_json::to_writer(out, &outcome) {
            tracing::error!(%error, "an outcome could not be written as JSON");
        }
    }
}

/// One line of the ledger.
#[derive(Serialize)]
struct OutcomeLine<'a> {
    id: &'a str,
    decision: Option<&'a str>,
    time: String,
    tenant: &'a str,
    key: &'a str,
    labels: &'a std::collections::BTreeMap<String, String>,
    plan: &'a str,
    predictor: Option<&'a str>,
    price_table: &'a str,
    route: Option<&'a str>,
    model: Option<&'a str>,
    chosen: Option<&'a str>,
    attempts: Vec<AttemptLine<'a>>,
    answered_by: Option<&'a str>,
    error: Option<&'static str>,
    cost_nanousd: NanoUsd,
    baseline_model: Option<&'a str>,
    baseline_cost_nanousd: Option<NanoUsd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_tier: Option<SecondTierDocument<'a>>,
    capture: Capture,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    model: &'a str,
    propensity: f64,
    started: String,
    first_token_ms: Option<f64>,
    total_ms: Option<f64>,
    status: Option<u16>,
    error: Option<&'static str>,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    usage: &'static str,
    cost_nanousd: NanoUsd,
}

impl<'a> AttemptLine<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let usage = attempt.usage();
        Self {
            model: &attempt.model.id,
            propensity: attempt.propensity,
            started: rfc3339(attempt.at),
            first_token_ms: attempt.first_token_ms,
            total_ms: attempt.total_ms,
            status: attempt.status,
            error: attempt.error.map(|error| error.row().code),
            input_tokens: usage.input,
            cached_tokens: usage.cached,
            output_tokens: usage.output,
            usage: if attempt.reported.is_some() { "reported" } else { "estimated" },
            cost_nanousd: attempt.cost(),
        }
    }
}

/// RFC 3339 in UTC, to the microsecond.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// Milliseconds since then, to the microsecond.
fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
