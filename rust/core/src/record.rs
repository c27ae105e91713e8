//! What an outcome keeps of a call, so that `replay` can decide again: by the recorded prediction, or from the text where that
//! was kept by explicit choice.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Call, Dials, Identity},
    decide::{Hints, choose, decide},
    decision::Decision,
    error::{Code, Error},
    live::{LiveView, Now, Reading},
    parse::Facts,
    plan::Plan,
    predict::{Dimensions, Prediction},
};

/// How much of a call an outcome keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureKind {
    /// Nothing: the call cannot be decided again.
    None,
    /// What the predictor said of it, no word of it.
    #[default]
    Features,
    /// The body too, hence the prompt.
    Text,
}

/// The kept part of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// How much is kept.
    pub kind: CaptureKind,
    /// What decided; absent for kind `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// The body; kind `text` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Everything that `decide` read, but for the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Namespace of the caller.
    pub tenant: String,
    /// What was asked for.
    pub model: String,
    /// What was asked of a model.
    pub facts: Facts,
    /// Dials turned.
    pub dials: Dials,
    /// Time and draw.
    pub now: Now,
    /// Readings used, by model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readings: BTreeMap<String, Reading>,
    /// Digest of the predictor.
    pub predictor: String,
    /// Its output's dimensions.
    pub dimensions: Dimensions,
    /// Its output: base64 of little-endian `f32`, so that it comes back bit by bit.
    pub prediction: String,
}

impl Capture {
    /// Keeps what `kind` allows of a decided call.
    #[must_use]
    pub fn of(kind: CaptureKind, call: &Call<'_>, decision: &Decision) -> Self {
        if kind == CaptureKind::None {
            return Self { kind, inputs: None, body: None };
        }
        let values: Vec<u8> = decision.prediction.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        let inputs = Inputs {
            tenant: call.identity.tenant.clone(),
            model: decision.model.to_string(),
            facts: decision.facts,
            dials: call.dials,
            now: decision.now,
            readings: decision.readings().into_iter().map(|(id, reading)| (id.to_owned(), reading)).collect(),
            predictor: decision.predictor.to_string(),
            dimensions: decision.prediction.dimensions(),
            prediction: BASE64.encode(values),
        };
        let body = (kind == CaptureKind::Text).then(|| String::from_utf8_lossy(call.body).into_owned());
        Self { kind, inputs: Some(inputs), body }
    }
}

/// Decides a recorded call again, by any plan.
///
/// # Errors
/// As `decide`; `invalid_predictor` where the plan's predictor is another one and the text was not kept.
pub fn decide_again(plan: &Plan, capture: &Capture) -> Result<Decision, Error> {
    let inputs =
        capture.inputs.as_ref().ok_or_else(|| Error::new(Code::InvalidRequest, "capture.kind", "nothing was captured of this call"))?;
    let identity = Identity { tenant: inputs.tenant.clone() };
    let live = LiveView { models: &inputs.readings, last_prediction: None };
    let body = capture.body.as_deref().unwrap_or_default().as_bytes();
    let call = Call { body, identity: &identity, dials: inputs.dials };
    let view = plan.find(&inputs.tenant, &inputs.model)?;
    if **view.route.predictor.digest() == *inputs.predictor {
        let prediction = inputs
            .prediction()
            .ok_or_else(|| Error::new(Code::InvalidRequest, "capture.inputs.prediction", "the recorded prediction cannot be read"))?;
        return choose(plan, &view, &call, &inputs.model, inputs.facts, prediction, &live, inputs.now);
    }
    if capture.kind != CaptureKind::Text {
        return Err(Error::new(
            Code::InvalidPredictor,
            "capture.kind",
            "the plan has another predictor, and the text of this call was not kept",
        ));
    }
    decide(plan, &call, &Hints {}, &live, inputs.now)
}

impl Inputs {
    fn prediction(&self) -> Option<Prediction> {
        let bytes = BASE64.decode(&self.prediction).ok()?;
        let values: Vec<f32> = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
        Prediction::from_values(self.dimensions, &values)
    }
}
