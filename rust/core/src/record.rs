//! What an outcome keeps of a call, so that `replay` can decide again: by the recorded prediction, or from the text where that
//! was kept by explicit choice.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Call, Dials, Identity},
    decide::{Hints, Predicted, Question, choose, reconsider},
    decision::Decision,
    error::{Code, Error},
    live::{LiveView, Now, Reading},
    parse::{self, Facts, Request},
    plan::{self, Asked, Details, Fields, Plan, source::SecondTierUse},
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
    /// Namespace whose routes were addressed, where it is not the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What conditions have read beyond the rest; nothing where none was asked.
    #[serde(default, skip_serializing_if = "Read::is_empty")]
    pub read: Read,
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
    /// Bytes of the template that was left out before the text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub template_bytes: u32,
    /// Digest of the predictor.
    pub predictor: String,
    /// Its output's dimensions.
    pub dimensions: Dimensions,
    /// Its output: base64 of little-endian `f32`, so that it comes back bit by bit.
    pub prediction: String,
    /// What became of the question to the second tier, where one was to be asked inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_tier: Option<Asking>,
}

/// A question to a second tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// Digest of its graph.
    pub predictor: String,
    /// Its output, as [`Inputs::prediction`]; absent where there was no answer in time and the first tier decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<Dimensions>,
}

impl Asking {
    fn of(decision: &Decision) -> Option<Self> {
        if let Some(opinion) = &decision.opinion {
            let (answer, dimensions) = (Some(written(&opinion.prediction)), Some(opinion.prediction.dimensions()));
            return Some(Self { predictor: opinion.tier.predictor.digest().to_string(), answer, dimensions });
        }
        let tier = decision.doubt.as_ref().filter(|tier| tier.purpose == SecondTierUse::Inline)?;
        Some(Self { predictor: tier.predictor.digest().to_string(), answer: None, dimensions: None })
    }

    fn answer(&self) -> Result<Option<Prediction>, Error> {
        let Some((answer, dimensions)) = self.answer.as_ref().zip(self.dimensions) else { return Ok(None) };
        let unread = || Error::new(Code::InvalidRequest, "capture.inputs.second_tier", "the recorded prediction cannot be read");
        read(answer, dimensions).map(Some).ok_or_else(unread)
    }
}

/// Details that conditions have read of a call. What none has read is not kept: a name or a label is the caller's own business.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Read {
    /// The caller's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Names of the tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `metadata`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// How many messages there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
}

impl Read {
    /// Reads `fields` of a call once more: what was decided on is parsed by now.
    fn again(call: &Call<'_>, fields: Fields) -> Self {
        if fields.is_empty() {
            return Self::default();
        }
        let Ok(request) = parse::request(call) else { return Self::default() };
        // Beyond what conditions read, as much is kept as shows that it is beyond.
        let kept = |text: Cow<'_, str>| plan::cut(&text).to_owned();
        let entry = |(key, value): (Cow<'_, str>, Cow<'_, str>)| (kept(key), kept(value));
        Self {
            labels: fields.hold(Fields::LABELS).then(|| call.identity.labels.clone()),
            tools: fields.hold(Fields::TOOLS).then(|| request.tools().into_iter().map(kept).collect()),
            user: fields.hold(Fields::USER).then(|| kept(request.user())),
            metadata: fields.hold(Fields::METADATA).then(|| request.metadata().into_iter().map(entry).collect()),
            messages: fields.hold(Fields::MESSAGES).then(|| request.messages()),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Details for Read {
    fn known(&self) -> Fields {
        let known = [
            (self.labels.is_some(), Fields::LABELS),
            (self.tools.is_some(), Fields::TOOLS),
            (self.user.is_some(), Fields::USER),
            (self.metadata.is_some(), Fields::METADATA),
            (self.messages.is_some(), Fields::MESSAGES),
        ];
        known.iter().filter(|(known, _)| *known).fold(Fields::NONE, |all, (_, field)| all.and(*field))
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        self.tools.iter().flatten().map(Cow::from).collect()
    }

    fn user(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.user.as_deref().unwrap_or_default())
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        self.metadata.iter().flatten().map(|(key, value)| (Cow::from(key), Cow::from(value))).collect()
    }

    fn messages(&self) -> u32 {
        self.messages.unwrap_or(0)
    }
}

/// A recorded call whose text was kept: only the labels, which no body holds, may be missing.
struct Reread<'a> {
    request: &'a Request<'a>,
    read: &'a Read,
}

impl Details for Reread<'_> {
    fn known(&self) -> Fields {
        let body = Fields::TOOLS.and(Fields::USER).and(Fields::METADATA).and(Fields::MESSAGES);
        body.and(self.read.known())
    }

    fn tools(&self) -> Vec<Cow<'_, str>> {
        self.request.tools()
    }

    fn user(&self) -> Cow<'_, str> {
        self.request.user()
    }

    fn metadata(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        self.request.metadata()
    }

    fn messages(&self) -> u32 {
        self.request.messages()
    }
}

impl Capture {
    /// Keeps what `kind` allows of a decided call.
    #[must_use]
    pub fn of(kind: CaptureKind, call: &Call<'_>, decision: &Decision) -> Self {
        if kind == CaptureKind::None {
            return Self { kind, inputs: None, body: None };
        }
        let inputs = Inputs {
            tenant: call.identity.tenant.clone(),
            namespace: (call.namespace != call.identity.tenant).then(|| call.namespace.to_owned()),
            read: Read::again(call, decision.read),
            model: decision.model.to_string(),
            facts: decision.facts,
            dials: call.dials,
            now: decision.now,
            readings: decision.readings().into_iter().map(|(id, reading)| (id.to_owned(), reading)).collect(),
            template_bytes: decision.template_bytes,
            predictor: decision.predictor.to_string(),
            dimensions: decision.prediction.dimensions(),
            prediction: written(&decision.prediction),
            second_tier: Asking::of(decision),
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
    let identity = Identity { tenant: inputs.tenant.clone(), labels: inputs.read.labels.clone().unwrap_or_default() };
    let live = LiveView { models: &inputs.readings, ..LiveView::UNKNOWN };
    let body = capture.body.as_deref().unwrap_or_default().as_bytes();
    let namespace = inputs.namespace.as_deref().unwrap_or(&inputs.tenant);
    let call = Call { body, identity: &identity, namespace, dials: inputs.dials };
    let request = (capture.kind == CaptureKind::Text).then(|| parse::request(&call)).transpose()?;
    let reread = request.as_ref().map(|request| Reread { request, read: &inputs.read });
    let details: &dyn Details = reread.as_ref().map_or(&inputs.read, |reread| reread);
    let view = plan.find(&Asked { namespace, identity: &identity, model: &inputs.model, facts: &inputs.facts, details })?;
    let predicted = if **view.route.predictor.digest() == *inputs.predictor {
        let recorded = read(&inputs.prediction, inputs.dimensions);
        let unread = || Error::new(Code::InvalidRequest, "capture.inputs.prediction", "the recorded prediction cannot be read");
        let prediction = view.route.predictor.accept(recorded.ok_or_else(unread)?)?;
        Predicted { prediction, template_bytes: inputs.template_bytes }
    } else {
        let request = request.as_ref().ok_or_else(|| {
            let message = "the plan has another predictor, and the text of this call was not kept";
            Error::new(Code::InvalidPredictor, "capture.kind", message)
        })?;
        Predicted::of(&view, &request.text, inputs.template_bytes)?
    };
    let first = choose(plan, &view, &call, &inputs.model, inputs.facts, predicted, &Hints::default(), &live, inputs.now)?;
    // What was said then counts where this plan would ask, too.
    let Some(tier) = first.doubt.as_ref().filter(|tier| tier.purpose == SecondTierUse::Inline) else { return Ok(first) };
    let said = match &inputs.second_tier {
        Some(asked) if *asked.predictor == **tier.predictor.digest() => asked.answer()?,
        _ => ask(&first, request.as_ref())?,
    };
    match said {
        Some(said) => reconsider(plan, &view, &call, &first, &said),
        None => Ok(first),
    }
}

/// Asks a second tier that was not asked then: the plan is another one, or the predictor.
fn ask(first: &Decision, request: Option<&Request<'_>>) -> Result<Option<Prediction>, Error> {
    let request = request.ok_or_else(|| {
        let message = "the plan asks a second tier that was not asked then, and the text of this call was not kept";
        Error::new(Code::InvalidPredictor, "capture.kind", message)
    })?;
    Question::of(first, request).map(|question| question.answer()).transpose()
}

fn written(prediction: &Prediction) -> String {
    BASE64.encode(prediction.values().iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn read(text: &str, dimensions: Dimensions) -> Option<Prediction> {
    let bytes = BASE64.decode(text).ok()?;
    let values: Vec<f32> = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    Prediction::from_values(dimensions, &values)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
