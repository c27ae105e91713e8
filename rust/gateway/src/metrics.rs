//! All metrics, declared in one place. Labels are bounded: routes and models of the plan, codes of the list of errors.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Labels of a call.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    /// `namespace/policy`; empty where no route was found.
    pub route: String,
    /// Model that answered; empty where none did.
    pub model: String,
    /// `ok`, or the error's code.
    pub code: &'static str,
}

/// Labels of an attempt.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AttemptLabels {
    /// Model called.
    pub model: String,
    /// `ok`, or the error's code.
    pub code: &'static str,
}

/// Labels of what a model has used up.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ModelLabels {
    /// The model.
    pub model: String,
}

/// Labels of tokens.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TokenLabels {
    /// The model.
    pub model: String,
    /// `input`, `cached` or `output`.
    pub kind: &'static str,
}

/// Labels of a refused request that never became a call.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabels {
    /// The error's code.
    pub code: &'static str,
}

/// Labels of the plan in service.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PlanLabels {
    /// The plan's id.
    pub plan: String,
}

/// Labels of a poll.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PollLabels {
    /// `update`, `unchanged`, `refused` or `failed`.
    pub result: &'static str,
}

/// Labels of what a controller gave.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpdateLabels {
    /// `plan`, `keys`, `trust` or `predictor`.
    pub kind: &'static str,
}

/// Labels of a question to a second tier.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SecondTierLabels {
    /// `namespace/policy`.
    pub route: String,
    /// `changed`, `kept` or `labelled`; `queue_full`, `timeout`, `failed` or `no_text` where the first tier alone has decided.
    pub outcome: &'static str,
}

/// A counter of US dollars.
pub type Dollars = Counter<f64, AtomicU64>;

/// Every metric of the data plane.
pub struct Metrics {
    registry: Registry,
    /// Calls with an outcome.
    pub calls: Family<CallLabels, Counter>,
    /// Requests refused before they were calls.
    pub refused: Family<CodeLabels, Counter>,
    /// Upstream calls.
    pub attempts: Family<AttemptLabels, Counter>,
    /// Tokens.
    pub tokens: Family<TokenLabels, Counter>,
    /// Dollars spent.
    pub cost: Family<ModelLabels, Dollars>,
    /// Dollars that always calling the best forecast would have cost.
    pub baseline: Dollars,
    /// Seconds from body bytes to a decision.
    pub decide: Histogram,
    /// Calls on which the choice was close enough to ask a second tier.
    pub second_tier: Family<SecondTierLabels, Counter>,
    /// Seconds to the first byte of an answer.
    pub first_token: Family<ModelLabels, Histogram>,
    /// Calls in flight.
    pub in_flight: Gauge,
    /// 1 for the plan in service.
    pub plan: Family<PlanLabels, Gauge>,
    /// Plans taken.
    pub plans_loaded: Counter,
    /// Plans refused.
    pub plans_refused: Counter,
    /// Serial of the plan in service, within its lineage.
    pub plan_serial: Gauge,
    /// Replicas of the controller that answer.
    pub controllers_connected: Gauge,
    /// Polls of controllers.
    pub sync_polls: Family<PollLabels, Counter>,
    /// What controllers gave and was taken.
    pub sync_updates: Family<UpdateLabels, Counter>,
    /// Lines in the ledger.
    pub ledger_lines: Counter,
    /// Outcomes that could not be written.
    pub ledger_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tradewind");
        let first_token: Family<ModelLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 2.0, 13)));
        let metrics = Self {
            calls: Family::default(),
            refused: Family::default(),
            attempts: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            baseline: Counter::default(),
            decide: Histogram::new(exponential_buckets(1e-6, 2.0, 18)),
            second_tier: Family::default(),
            first_token,
            in_flight: Gauge::default(),
            plan: Family::default(),
            plans_loaded: Counter::default(),
            plans_refused: Counter::default(),
            plan_serial: Gauge::default(),
            controllers_connected: Gauge::default(),
            sync_polls: Family::default(),
            sync_updates: Family::default(),
            ledger_lines: Counter::default(),
            ledger_dropped: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls with an outcome, by route, answering model and code", metrics.calls.clone());
        registry.register("requests_refused", "Requests refused before they were calls, by code", metrics.refused.clone());
        registry.register("attempts", "Upstream calls, by model and code", metrics.attempts.clone());
        registry.register("tokens", "Tokens used, by model and kind; cached ones are part of input", metrics.tokens.clone());
        registry.register("cost_usd", "Dollars spent, by model", metrics.cost.clone());
        registry.register("baseline_cost_usd", "Dollars that always calling the best forecast would have cost", metrics.baseline.clone());
        registry.register("decide_seconds", "Seconds from body bytes to a decision", metrics.decide.clone());
        registry.register("second_tier_questions", "Close choices, by what asking a second tier came to", metrics.second_tier.clone());
        registry.register("first_token_seconds", "Seconds to the first byte of an answer, by model", metrics.first_token.clone());
        registry.register("calls_in_flight", "Calls in flight", metrics.in_flight.clone());
        registry.register("plan_info", "1 for the plan in service", metrics.plan.clone());
        registry.register("plans_loaded", "Plans taken", metrics.plans_loaded.clone());
        registry.register("plans_refused", "Plans refused", metrics.plans_refused.clone());
        registry.register("plan_serial", "Serial of the plan in service, within its lineage", metrics.plan_serial.clone());
        registry.register("controllers_connected", "Replicas of the controller that answer", metrics.controllers_connected.clone());
        registry.register("sync_polls", "Polls of controllers, by result", metrics.sync_polls.clone());
        registry.register("sync_updates", "What controllers gave and was taken, by kind", metrics.sync_updates.clone());
        registry.register("ledger_lines", "Outcomes written to the ledger", metrics.ledger_lines.clone());
        registry.register("ledger_dropped", "Outcomes that could not be written", metrics.ledger_dropped.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
