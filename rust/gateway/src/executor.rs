//! What runs a predictor's graph: the core itself, or ONNX Runtime. Both load the same file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tradewind_core::{
    Code, Error,
    error::unknown,
    predict::{self, Graph, Native, Predictor},
};

use crate::onnxruntime::OnnxRuntime;

/// What runs a predictor's graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Executor {
    /// The core itself, from the initialisers.
    #[default]
    Native,
    /// ONNX Runtime.
    OnnxRuntime,
}

impl Executor {
    /// The names, as settings and flags have them.
    pub const NAMES: &[&str] = &["native", "onnxruntime"];

    /// The executor of a name.
    ///
    /// # Errors
    /// `invalid_request` for another one.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "native" => Ok(Self::Native),
            "onnxruntime" => Ok(Self::OnnxRuntime),
            _ => Err(Error::new(Code::InvalidRequest, "executor", unknown("executor", name, Self::NAMES))),
        }
    }

    /// Loads a predictor. A graph of a user's own runs in ONNX Runtime whatever the executor; that needs the path of its library.
    ///
    /// # Errors
    /// `invalid_predictor`.
    pub fn load(self, onnx: &[u8], library: Option<&Path>) -> Result<Predictor, Error> {
        let graph = Graph::read(onnx)?;
        let executor: Box<dyn predict::Executor> = match (self, &graph) {
            (Self::Native, Graph::Tier1(tier1)) => Box::new(Native::new(tier1)),
            (Self::OnnxRuntime, _) | (_, Graph::Own(_)) => Box::new(OnnxRuntime::load(onnx, &graph, library)?),
        };
        Ok(Predictor::new(onnx, &graph, executor))
    }
}
