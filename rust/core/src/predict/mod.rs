//! The microsecond tier: features become a model-independent prediction, which each model's profile turns into a forecast.
//!
//! - `onnx`: reads the initialisers of a predictor's one file.
//! - `graph`: what a tier-1 predictor must hold, checked once.
//! - `native`: runs it from the initialisers. ONNX Runtime is the other executor; it needs a library, hence lives in the gateway.
//! - `profile`, `forecast`: from a prediction to quality, tokens, money and time of one model.

mod forecast;
mod graph;
mod native;
mod onnx;
mod profile;
#[cfg(any(test, feature = "test-support"))]
mod tiny;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    forecast::{DEFAULT_BYTES_PER_TOKEN, Forecast, Forecasts},
    graph::{Dimensions, Graph, Parameters},
    native::Native,
    profile::{Calibration, Length, Profile},
};
use crate::{digest, error::Error, features::Features, live::Reading, parse::Facts, plan::Model};

/// What a predictor says of a prompt, before any model is looked at: difficulty heads, latent, token length, similarities.
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

    /// All values, in the order difficulty, latent, length, similarity.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The dimensions of the four parts.
    #[must_use]
    pub fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// One value per difficulty head; larger is harder.
    #[must_use]
    pub fn difficulty(&self) -> &[f32] {
        &self.values[..self.dimensions.heads]
    }

    /// The latent that tells models apart.
    #[must_use]
    pub fn latent(&self) -> &[f32] {
        let start = self.dimensions.heads;
        &self.values[start..start + self.dimensions.latent]
    }

    /// The latent of answer lengths.
    #[must_use]
    pub fn length(&self) -> &[f32] {
        let start = self.dimensions.heads + self.dimensions.latent;
        &self.values[start..start + self.dimensions.length]
    }

    /// Cosine similarity to each centroid of the training data.
    #[must_use]
    pub fn similarity(&self) -> &[f32] {
        &self.values[self.dimensions.outputs() - self.dimensions.clusters..]
    }

    /// The four parts, to write.
    pub fn parts_mut(&mut self) -> Parts<'_> {
        let (difficulty, rest) = self.values.split_at_mut(self.dimensions.heads);
        let (latent, rest) = rest.split_at_mut(self.dimensions.latent);
        let (length, similarity) = rest.split_at_mut(self.dimensions.length);
        Parts { difficulty, latent, length, similarity }
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
}

/// Runs a predictor's graph.
pub trait Executor: Send + Sync {
    /// The name shown to people: `native` or `onnxruntime`.
    fn name(&self) -> &'static str;

    /// Predicts from features.
    ///
    /// # Errors
    /// `invalid_predictor` where the graph cannot be run.
    fn run(&self, features: &Features) -> Result<Prediction, Error>;
}

/// A loaded predictor: its graph's parameters and an executor.
pub struct Predictor {
    digest: Arc<str>,
    dimensions: Dimensions,
    parameters: Parameters,
    executor: Box<dyn Executor>,
}

impl Predictor {
    /// Loads a predictor that runs natively.
    ///
    /// # Errors
    /// `invalid_predictor`, with what was found and what is accepted.
    pub fn native(bytes: &[u8]) -> Result<Self, Error> {
        let graph = Graph::read(bytes)?;
        let executor = Box::new(Native::new(&graph));
        Ok(Self::with_executor(bytes, &graph, executor))
    }

    /// Joins a checked graph and an executor for it.
    #[must_use]
    pub fn with_executor(bytes: &[u8], graph: &Graph<'_>, executor: Box<dyn Executor>) -> Self {
        Self { digest: digest::sha256(bytes).into(), dimensions: graph.dimensions, parameters: graph.parameters, executor }
    }

    /// `sha256:` of the file.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Sizes of the graph.
    #[must_use]
    pub fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// Radius, shrinkage and temperature of the graph.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Which executor runs it.
    #[must_use]
    pub fn executor(&self) -> &'static str {
        self.executor.name()
    }

    /// Predicts from features.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn predict(&self, features: &Features) -> Result<Prediction, Error> {
        self.executor.run(features)
    }

    /// What one model is expected to do with a call of which this prediction was made.
    #[must_use]
    pub fn forecast(&self, prediction: &Prediction, model: &Model, facts: &Facts, reading: Reading) -> Forecast {
        forecast::forecast(prediction, &self.parameters, model, facts, reading)
    }
}

#[cfg(any(test, feature = "test-support"))]
pub use self::tiny::tiny;
