//! The microsecond tier: what its file must hold, checked once when it is loaded, and how its outputs are read.
//!
//! The graph itself is fixed (`tradewind.graph = tier1/3`, see `training/export.py`), so the native executor needs the
//! initialisers only; ONNX Runtime runs the file as it is. Difficulty is shared by all models and stays, shrunk, far from the
//! training data, but for chat (the last topic), where it was learned too; what tells models apart (deviations by topic, and the
//! direct forecast of the models that training knew) fades to nothing between the inner and the outer radius.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Dimensions, Prediction, Profile,
    forecast::Expected,
    graph::{Input, refused},
    onnx::{Element, Model, Tensor},
};
use crate::{error::Error, features};

/// The name of this kind of graph.
pub const KIND: &str = "tier1/3";

/// What it is fed.
pub const INPUTS: &[Input] = &[Input::Ids, Input::Features];

/// The chance that a text is chat from which a direct forecast, learned on exams, has no say.
const DIRECT_ENDS: f32 = 0.25;

/// Operators of the graph, in any order; another one is a graph of another kind.
const OPERATORS: &[&str] = &[
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Gather",
    "MatMul",
    "Mul",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Unsqueeze",
];

/// How the core reads the graph's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Cosine distance to the nearest centroid up to which a prompt counts as known.
    pub inner_radius: f32,
    /// Distance from which the per-model deviation is gone.
    pub outer_radius: f32,
    /// Share of the difficulty that stays beyond the outer radius, where a text is no chat.
    pub difficulty_beyond: f32,
    /// Share of the direct forecast within the inner radius, where a profile has one and a text is surely no chat.
    pub direct_share: f32,
    /// Standard deviation of quality that distance adds.
    pub prior_sd: f32,
}

impl Parameters {
    fn problem(&self) -> Option<&'static str> {
        let unit = |value: f32| (0.0..=1.0).contains(&value);
        let radii = 0.0..=4.0;
        if !(radii.contains(&self.inner_radius) && radii.contains(&self.outer_radius) && self.inner_radius < self.outer_radius) {
            Some("`inner_radius` and `outer_radius` must satisfy 0 ≤ inner < outer ≤ 4")
        } else if !unit(self.difficulty_beyond) || !unit(self.direct_share) || !unit(self.prior_sd) {
            Some("`difficulty_beyond`, `direct_share` and `prior_sd` must lie in [0, 1]")
        } else {
            None
        }
    }
}

/// A checked graph, borrowing the file's bytes where it can.
pub struct Tier1<'a> {
    tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// Sizes of the outputs.
    pub dimensions: Dimensions,
    /// How the core reads the outputs.
    pub parameters: Parameters,
}

impl<'a> Tier1<'a> {
    /// Checks a file of this kind.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub(super) fn check(model: &Model<'a>) -> Result<Self, Error> {
        if let Some(operator) = model.operators.iter().find(|operator| !OPERATORS.contains(operator)) {
            return Err(refused(crate::error::unknown("operator", operator, OPERATORS)));
        }
        let text = model.metadata.get("tradewind.parameters").ok_or_else(|| refused("metadata `tradewind.parameters` is missing"))?;
        let parameters: Parameters =
            serde_json::from_str(text).map_err(|error| refused(format!("metadata `tradewind.parameters`: {error}")))?;
        if let Some(problem) = parameters.problem() {
            return Err(refused(format!("metadata `tradewind.parameters`: {problem}")));
        }
        let tensors = model.tensors().map_err(|what| refused(format!("the file is not a readable ONNX model: {what}")))?;
        let mut graph = Self { tensors, dimensions: Dimensions::default(), parameters };
        graph.dimensions = graph.measure()?;
        Ok(graph)
    }

    fn measure(&self) -> Result<Dimensions, Error> {
        let table = self.shape("table", Element::Int8, &[None, None])?;
        let (vocabulary, embedding) = (table[0], table[1]);
        if vocabulary != features::VOCABULARY_LEN {
            return Err(refused(format!("`table` has {vocabulary} rows; the vocabulary has {}", features::VOCABULARY_LEN)));
        }
        let float = Element::Float32;
        let surface = features::SURFACE_LEN;
        self.shape("table_scale", float, &[Some(vocabulary), Some(1)])?;
        self.shape("token_weight", float, &[Some(vocabulary)])?;
        self.shape("surface_mean", float, &[Some(surface)])?;
        self.shape("surface_inverse_sd", float, &[Some(surface)])?;
        let difficulty = self.shape("difficulty_hidden_weight", float, &[Some(embedding + surface), None])?[1];
        self.shape("difficulty_hidden_bias", float, &[Some(difficulty)])?;
        let heads = self.shape("difficulty_out_weight", float, &[Some(difficulty), None])?[1];
        self.shape("difficulty_out_bias", float, &[Some(heads)])?;
        let latent = self.shape("latent_weight", float, &[Some(embedding + surface), None])?[1];
        self.shape("latent_bias", float, &[Some(latent)])?;
        let hidden = self.shape("length_hidden_weight", float, &[Some(embedding), None])?[1];
        self.shape("length_hidden_bias", float, &[Some(hidden)])?;
        let length = self.shape("length_out_weight", float, &[Some(hidden), None])?[1];
        self.shape("length_out_bias", float, &[Some(length)])?;
        let clusters = self.shape("centroids", float, &[Some(embedding), None])?[1];
        let hidden = self.shape("topic_hidden_weight", float, &[Some(embedding + surface), None])?[1];
        self.shape("topic_hidden_bias", float, &[Some(hidden)])?;
        let topics = self.shape("topic_out_weight", float, &[Some(hidden), None])?[1];
        self.shape("topic_out_bias", float, &[Some(topics)])?;
        if heads == 0 || clusters == 0 || topics == 0 || embedding == 0 {
            return Err(refused("a graph needs at least one difficulty head, one centroid, one topic and one embedding dimension"));
        }
        Ok(Dimensions { heads, latent, length, clusters, topics, ..Dimensions::default() })
    }

    fn shape(&self, name: &str, element: Element, expected: &[Option<usize>]) -> Result<&[usize], Error> {
        let tensor = self.tensors.get(name).ok_or_else(|| refused(format!("initialiser `{name}` is missing")))?;
        let fits = tensor.dims.len() == expected.len()
            && tensor.dims.iter().zip(expected).all(|(found, expected)| expected.is_none_or(|size| size == *found));
        if tensor.element != element || !fits {
            let wanted: Vec<String> = expected.iter().map(|size| size.map_or("any".to_owned(), |size| size.to_string())).collect();
            return Err(refused(format!(
                "initialiser `{name}` is {:?} {:?}; expected {element:?} [{}]",
                tensor.element,
                tensor.dims,
                wanted.join(", ")
            )));
        }
        Ok(&tensor.dims)
    }

    pub(super) fn floats(&self, name: &str) -> Box<[f32]> {
        self.bytes(name).chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
    }

    pub(super) fn int8(&self, name: &str) -> Box<[i8]> {
        self.bytes(name).iter().map(|&byte| byte.cast_signed()).collect()
    }

    fn bytes(&self, name: &str) -> &[u8] {
        // `check` found every name that the executor asks for.
        self.tensors.get(name).map_or(&[], |tensor| &tensor.raw)
    }
}

/// A prediction with what all models' forecasts share.
pub struct Seen<'a> {
    prediction: &'a Prediction,
    parameters: &'a Parameters,
    /// The share of a direct forecast.
    direct: f32,
    /// 1 within the inner radius of the nearest centroid, 0 beyond the outer.
    near: f32,
    /// The share of the difficulty that holds.
    kept: f32,
}

impl<'a> Seen<'a> {
    /// Reads the graph's outputs.
    #[must_use]
    pub fn of(prediction: &'a Prediction, parameters: &'a Parameters) -> Self {
        let nearest = prediction.similarity().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let near = ((parameters.outer_radius - (1.0 - nearest)) / (parameters.outer_radius - parameters.inner_radius)).clamp(0.0, 1.0);
        let chat = prediction.topics().last().copied().unwrap_or(0.0);
        let kept = near + (1.0 - near) * (parameters.difficulty_beyond + (1.0 - parameters.difficulty_beyond) * chat);
        let direct = parameters.direct_share * near * (1.0 - chat / DIRECT_ENDS).max(0.0);
        Self { prediction, parameters, direct, near, kept }
    }

    /// What is expected of a model with this profile.
    #[must_use]
    pub fn expected(&self, profile: &Profile) -> Expected {
        let (quality, quality_sd) = self.quality(profile);
        let output_tokens = (profile.length.bias + self.near * dot(&profile.length.latent, self.prediction.length())).exp();
        Expected { quality, quality_sd, output_tokens }
    }

    fn quality(&self, profile: &Profile) -> (f32, f32) {
        let Self { prediction, parameters, direct, near, kept } = *self;
        let deviation = if near > 0.0 { near * dot(&profile.clusters, prediction.topics()) } else { 0.0 };
        let (share, straight) =
            if direct > 0.0 && !profile.latent.is_empty() { (direct, dot(&profile.latent, prediction.latent())) } else { (0.0, 0.0) };
        let heads = prediction.difficulty();
        let (mut sum, mut squares) = (0.0_f32, 0.0_f32);
        for &difficulty in heads {
            let logit = (1.0 - share) * (profile.bias - profile.slope * kept * difficulty + deviation) + share * straight;
            let quality = sigmoid(profile.calibration.slope * logit + profile.calibration.offset);
            sum += quality;
            squares += quality * quality;
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of heads")]
        let count = heads.len() as f32;
        let mean = sum / count;
        let spread = (squares / count - mean * mean).max(0.0);
        let far = (1.0 - near) * parameters.prior_sd;
        (mean, (spread + far * far).sqrt())
    }
}

/// In eight sums side by side: one alone would wait for each addition before the next.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
