//! State between requests, as a decision reads it. The readings used are copied into the decision, so that it replays.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::predict::Prediction;

/// What is known of one model now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// Unix nanoseconds until which the model rests after a failure; 0 if it does not.
    #[serde(skip_serializing_if = "is_zero")]
    pub resting_until_ns: u64,
    /// Observed milliseconds to the first token (EWMA).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f32>,
    /// Calls in flight from this gateway.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub in_flight: u32,
    /// Body bytes per input token, learned from the upstream's usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<f32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

/// Where readings come from: the gateway's live state, or a recorded decision.
pub trait Readings: Sync {
    /// The reading of a model, by its id.
    fn model(&self, id: &str) -> Reading;
}

impl Readings for BTreeMap<String, Reading> {
    fn model(&self, id: &str) -> Reading {
        self.get(id).copied().unwrap_or_default()
    }
}

/// Nothing is known yet: declared priors hold.
pub struct Unknown;

impl Readings for Unknown {
    fn model(&self, _id: &str) -> Reading {
        Reading::default()
    }
}

/// Where it is known that applications put the same template (instructions, examples) before every question of their users.
pub trait Templates: Sync {
    /// Bytes of the template with which a text of a tenant and route begins; 0 for none. What a model is asked comes after it.
    fn bytes(&self, tenant: &str, route: &str, text: &str) -> u32;
}

impl Templates for Unknown {
    fn bytes(&self, _tenant: &str, _route: &str, _text: &str) -> u32 {
        0
    }
}

/// A reading taken earlier, to decide once more.
pub struct Given(pub u32);

impl Templates for Given {
    fn bytes(&self, _tenant: &str, _route: &str, _text: &str) -> u32 {
        self.0
    }
}

/// What a predictor last said of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Last {
    /// The predictor's digest: another one would read its values as something else.
    pub predictor: Arc<str>,
    /// What it said.
    pub prediction: Prediction,
}

/// A cheap view of the live state for one call.
#[derive(Clone, Copy)]
pub struct LiveView<'a> {
    /// Per model.
    pub models: &'a dyn Readings,
    /// The session's last prediction, for a turn that brings no text of its own.
    pub last_prediction: Option<&'a Last>,
    /// Constant templates.
    pub templates: &'a dyn Templates,
}

impl LiveView<'_> {
    /// A view that knows nothing.
    pub const UNKNOWN: LiveView<'static> = LiveView { models: &Unknown, last_prediction: None, templates: &Unknown };
}

/// Time and randomness, given by the caller: the core has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Unix time in nanoseconds.
    pub unix_ns: u64,
    /// Draw for strategies that randomise.
    pub seed: u64,
}
