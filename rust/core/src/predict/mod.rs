//! The microsecond tier: features become a model-independent prediction, which each model's profile turns into a forecast.
//!
//! - `onnx`: reads a predictor's one file.
//! - `graph`: the kinds of graphs; `tier1` and `own`: what a file of each must hold, and how its outputs are read.
//! - `second_tier`: a graph that is asked about the ambiguous few.
//! - `native`: runs tier 1 from the initialisers. ONNX Runtime is the other executor; it needs a library, hence lives in the gateway.
//! - `profile`, `forecast`: from a prediction to quality, tokens, money and time of one model.

mod forecast;
mod graph;
mod native;
mod onnx;
mod own;
mod profile;
mod second_tier;
mod tier1;
#[cfg(any(test, feature = "test-support"))]
mod tiny;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    forecast::{DEFAULT_BYTES_PER_TOKEN, Expected, Forecast, Forecasts},
    graph::{Dimensions, Graph, Input, KINDS},
    native::Native,
    own::Own,
    profile::{Calibration, Length, Profile},
    second_tier::{Opinion, SecondTier},
    tier1::{Parameters, Tier1},
};
use crate::{
    digest,
    error::{Code, Error},
    features::Features,
    live::Reading,
    parse::Facts,
    plan::Model,
};

/// What a predictor says of a prompt, before any model's profile is looked at. Parts that its graph does not have are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    values: Box<[f32]>,
    dimensions: Dimensions,
}

impl Prediction {
    /// A prediction of zeros, to be filled by an executor.
    #[must_use]
    pub fn zeros(dimensions: Dimensions) -> Self {
        Self { values: vec![0.0; dimensions.outputs()].into(), dimensions }
    }

    /// A prediction from recorded values.
    #[must_use]
    pub fn from_values(dimensions: Dimensions, values: &[f32]) -> Option<Self> {
        (values.len() == dimensions.outputs()).then(|| Self { values: values.into(), dimensions })
    }

    /// All values, in the order of the outputs.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The dimensions of the parts.
    #[must_use]
    pub fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// One value per difficulty head; larger is harder.
    #[must_use]
    pub fn difficulty(&self) -> &[f32] {
        &self.values[..self.dimensions.heads]
    }

    /// What the direct forecasts weigh.
    #[must_use]
    pub fn latent(&self) -> &[f32] {
        self.part(self.dimensions.heads, self.dimensions.latent)
    }

    /// The latent of answer lengths.
    #[must_use]
    pub fn length(&self) -> &[f32] {
        self.part(self.dimensions.heads + self.dimensions.latent, self.dimensions.length)
    }

    /// Cosine similarity to each centroid of the training data.
    #[must_use]
    pub fn similarity(&self) -> &[f32] {
        self.part(self.dimensions.heads + self.dimensions.latent + self.dimensions.length, self.dimensions.clusters)
    }

    /// How likely the prompt is of each topic; they sum to 1. The last is chat.
    #[must_use]
    pub fn topics(&self) -> &[f32] {
        let Dimensions { topics, quality, output_tokens, .. } = self.dimensions;
        self.part(self.values.len() - output_tokens - quality - topics, topics)
    }

    /// Expected quality by column, of a graph of a user's own.
    #[must_use]
    pub fn quality(&self) -> &[f32] {
        self.part(self.values.len() - self.dimensions.output_tokens - self.dimensions.quality, self.dimensions.quality)
    }

    /// Expected output tokens by column, of a graph of a user's own that says them.
    #[must_use]
    pub fn output_tokens(&self) -> &[f32] {
        &self.values[self.values.len() - self.dimensions.output_tokens..]
    }

    fn part(&self, start: usize, length: usize) -> &[f32] {
        &self.values[start..start + length]
    }

    /// The parts, to write.
    pub fn parts_mut(&mut self) -> Parts<'_> {
        let (difficulty, rest) = self.values.split_at_mut(self.dimensions.heads);
        let (latent, rest) = rest.split_at_mut(self.dimensions.latent);
        let (length, rest) = rest.split_at_mut(self.dimensions.length);
        let (similarity, rest) = rest.split_at_mut(self.dimensions.clusters);
        let (topics, rest) = rest.split_at_mut(self.dimensions.topics);
        let (quality, output_tokens) = rest.split_at_mut(self.dimensions.quality);
        Parts { difficulty, latent, length, similarity, topics, quality, output_tokens }
    }
}

/// The parts of a prediction, to write.
pub struct Parts<'a> {
    /// Difficulty heads.
    pub difficulty: &'a mut [f32],
    /// Latent.
    pub latent: &'a mut [f32],
    /// Token length latent.
    pub length: &'a mut [f32],
    /// Similarities to the centroids.
    pub similarity: &'a mut [f32],
    /// Chances of the topics.
    pub topics: &'a mut [f32],
    /// Quality by column.
    pub quality: &'a mut [f32],
    /// Output tokens by column.
    pub output_tokens: &'a mut [f32],
}

impl<'a> Parts<'a> {
    /// Those that the graph has, by the names of its outputs.
    pub fn named(self) -> impl Iterator<Item = (&'static str, &'a mut [f32])> {
        let all = [
            ("difficulty", self.difficulty),
            ("latent", self.latent),
            ("length", self.length),
            ("similarity", self.similarity),
            ("topics", self.topics),
            ("quality", self.quality),
            ("output_tokens", self.output_tokens),
        ];
        all.into_iter().filter(|(_, values)| !values.is_empty())
    }
}

/// Runs a predictor's graph.
pub trait Executor: Send + Sync {
    /// The name shown to people: `native` or `onnxruntime`.
    fn name(&self) -> &'static str;

    /// Predicts from features.
    ///
    /// # Errors
    /// `predictor_failed` where the graph cannot be run.
    fn run(&self, features: &Features) -> Result<Prediction, Error>;
}

/// How a graph's outputs are read.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tier1(Parameters),
    Own,
}

/// A loaded predictor: what its graph gives and an executor.
pub struct Predictor {
    digest: Arc<str>,
    dimensions: Dimensions,
    kind: Kind,
    executor: Box<dyn Executor>,
}

impl Predictor {
    /// Loads a predictor that runs natively.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub fn native(bytes: &[u8]) -> Result<Self, Error> {
        let graph = Graph::read(bytes)?;
        match &graph {
            Graph::Tier1(tier1) => Ok(Self::new(bytes, &graph, Box::new(Native::new(tier1)))),
            Graph::Own(_) => Err(graph::refused("it is a graph of a user's own, which ONNX Runtime alone runs")),
        }
    }

    /// A predictor that is checked and runs nothing: enough to compile a plan.
    ///
    /// # Errors
    /// As [`Predictor::native`].
    pub fn checked(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self::new(bytes, &Graph::read(bytes)?, Box::new(Unrun)))
    }

    /// Joins a checked graph and an executor for it.
    #[must_use]
    pub fn new(bytes: &[u8], graph: &Graph<'_>, executor: Box<dyn Executor>) -> Self {
        let kind = match graph {
            Graph::Tier1(tier1) => Kind::Tier1(tier1.parameters),
            Graph::Own(_) => Kind::Own,
        };
        Self { digest: digest::sha256(bytes).into(), dimensions: graph.dimensions(), kind, executor }
    }

    /// `sha256:` of the file.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Sizes of the graph's outputs.
    #[must_use]
    pub fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// Which executor runs it.
    #[must_use]
    pub fn executor(&self) -> &'static str {
        self.executor.name()
    }

    /// Predicts from features.
    ///
    /// # Errors
    /// `predictor_failed` where the graph cannot be run, or gives what is no forecast.
    pub fn predict(&self, features: &Features) -> Result<Prediction, Error> {
        self.accept(self.executor.run(features)?)
    }

    /// Takes a prediction as one of this predictor's.
    ///
    /// # Errors
    /// `predictor_failed` where it has other dimensions, or what is no forecast.
    pub fn accept(&self, prediction: Prediction) -> Result<Prediction, Error> {
        if prediction.dimensions != self.dimensions {
            return Err(Error::new(Code::PredictorFailed, "predictor", "the prediction has other dimensions than the predictor"));
        }
        if let Kind::Own = self.kind {
            own::check(&prediction)?;
        }
        Ok(prediction)
    }

    /// What models are expected to do with a call of which this prediction was made.
    #[must_use]
    pub fn forecasts<'m>(&self, prediction: &Prediction, models: impl Iterator<Item = (&'m Model, Reading)>, facts: &Facts) -> Forecasts {
        let seen = match &self.kind {
            Kind::Tier1(parameters) => Some(tier1::Seen::of(prediction, parameters)),
            Kind::Own => None,
        };
        let expected = |profile: &Profile| seen.as_ref().map_or_else(|| own::expected(prediction, profile), |seen| seen.expected(profile));
        models.map(|(model, reading)| forecast::forecast(expected(&model.profile), model, facts, reading)).collect()
    }
}

/// Runs nothing.
struct Unrun;

impl Executor for Unrun {
    fn name(&self) -> &'static str {
        "none"
    }

    fn run(&self, _features: &Features) -> Result<Prediction, Error> {
        Err(Error::new(Code::PredictorFailed, "predictor", "the predictor was loaded to be checked, not to be run"))
    }
}

#[cfg(any(test, feature = "test-support"))]
pub use self::tiny::{tiny, tiny_own};
