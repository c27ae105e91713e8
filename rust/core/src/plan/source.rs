//! The plan source: assembled routing, as JSON, before it is compiled. The only thing a gateway reads.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{money::Price, predict::Profile};

/// The schema this core compiles.
pub const SCHEMA: &str = "tradewind.plan/v3";

/// Profiles, models and routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSource {
    /// [`SCHEMA`].
    pub schema: String,
    /// Every profile that a model or a route names, by its key.
    pub profiles: BTreeMap<String, Profile>,
    /// Every model that a route may name.
    pub models: Vec<ModelSource>,
    /// Every route.
    pub routes: Vec<RouteSource>,
}

/// One upstream with price, limits and the key of its profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// `namespace/pool/name`.
    pub id: String,
    /// Where it is served.
    pub upstream: Upstream,
    /// What it charges.
    pub price: Price,
    /// What it holds.
    pub limits: Limits,
    /// Rows of the capability table.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// For allow-lists.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Key of what is known of its quality and answer lengths.
    pub profile: String,
    /// Declared priors.
    #[serde(default)]
    pub latency: Latency,
}

/// Where a model is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Base URL up to and without `/chat/completions`, `http` or `https`.
    pub url: String,
    /// A row of the dialect table.
    pub dialect: String,
    /// What the upstream calls it.
    pub model: String,
    /// `namespace/secret/key` of the credential; the secret itself is never in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What a model holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Tokens of prompt and answer together.
    pub context_tokens: u32,
    /// Tokens of an answer.
    pub output_tokens: u32,
    /// Calls in flight from one gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u32>,
}

/// Declared latency, until it is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Milliseconds to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f32>,
    /// Tokens of an answer per second, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_second: Option<f32>,
}

/// Which calls, which candidates, by which rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSource {
    /// `namespace/policy`.
    pub id: String,
    /// Names that a caller of this namespace may ask for.
    pub aliases: Vec<String>,
    /// CEL over `request` and `caller`: the route takes no call for which it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whose calls it takes.
    #[serde(default, skip_serializing_if = "Callers::is_same")]
    pub callers: Callers,
    /// `sha256:` of the predictor.
    pub predictor: String,
    /// Who is asked about the ambiguous few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_tier: Option<SecondTierSource>,
    /// Ids of models.
    pub candidates: Vec<String>,
    /// By candidate: the key of the profile that this route's predictor reads instead of the model's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
    /// `{"type": "utility", "utility": {…}}`: a row of the strategy table with its parameters.
    pub strategy: Map<String, Value>,
    /// What must hold.
    #[serde(default)]
    pub constraints: Constraints,
    /// How long to wait.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Additional attempts after the first; 0 for none.
    #[serde(default = "two")]
    pub retry_attempts: u32,
}

const fn two() -> u32 {
    2
}

/// A graph that is asked about the calls on which the first tier's choice is close.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondTierSource {
    /// `sha256:` of the graph, one of a user's own.
    pub predictor: String,
    /// It is asked where the margin of the first tier's choice is below this; in units of quality, 0 to 1.
    pub ambiguity: f32,
    /// Its share in the logit of quality, 0 to 1.
    #[serde(default = "half")]
    pub weight: f32,
    /// What it is asked for.
    #[serde(default, rename = "use")]
    pub purpose: SecondTierUse,
    /// By candidate: whose quality the graph gives in which column. The others keep what the first tier says.
    pub columns: BTreeMap<String, usize>,
}

impl SecondTierSource {
    /// With the columns of the candidates that are left; `None` where it would know none of them.
    #[must_use]
    pub fn reduced(mut self, left: &dyn Fn(&str) -> bool) -> Option<Self> {
        self.columns.retain(|id, _| left(id));
        (!self.columns.is_empty()).then_some(self)
    }
}

const fn half() -> f32 {
    0.5
}

/// What a second tier is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondTierUse {
    /// Its forecasts go into the outcome of the call, which does not wait for them.
    #[default]
    Labels,
    /// The call waits, and is decided again with what it says.
    Inline,
}

/// Whose calls a route takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callers {
    /// Which rule.
    #[serde(default)]
    pub from: From,
    /// Namespaces beside the route's own; with [`From::Listed`] only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<String>,
}

impl Callers {
    /// Whether only the route's own namespace may call.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.from == From::Same && self.namespaces.is_empty()
    }

    /// Whether another namespace may call.
    #[must_use]
    pub fn admit(&self, tenant: &str) -> bool {
        match self.from {
            From::Same => false,
            From::All => true,
            From::Listed => self.namespaces.contains(tenant),
        }
    }

    /// Whether every namespace that `others` admit may call, of two routes of one namespace.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        match (self.from, others.from) {
            (From::All, _) | (_, From::Same) => true,
            (_, From::All) => false,
            (_, From::Listed) => others.namespaces.iter().all(|tenant| self.admit(tenant)),
        }
    }
}

/// By which rule a route knows its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The route's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// The route's own namespace and those that are listed.
    Listed,
}

/// What must hold for a candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Least forecast quality, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_quality: Option<f32>,
    /// Largest forecast cost in nano-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_nanousd: Option<i64>,
    /// Latest first token, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f32>,
    /// Labels that a candidate must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What to do when floor, cap or deadline leave no candidate.
    #[serde(default)]
    pub when_unsatisfied: WhenUnsatisfied,
}

/// What to do when floor, cap or deadline leave no candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnsatisfied {
    /// The call is an error.
    #[default]
    Reject,
    /// They order candidates: feasible first, then the smallest violation.
    BestEffort,
}

/// How long to wait, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Whole request, all attempts.
    pub request_ms: u64,
    /// First byte of a stream of one attempt.
    pub first_token_ms: u64,
    /// Silence within a stream. An answer that is no stream is generated before its first byte, which may take `first_token_ms` and
    /// this together.
    pub stream_idle_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request_ms: 60_000, first_token_ms: 15_000, stream_idle_ms: 30_000 }
    }
}
