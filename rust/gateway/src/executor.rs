//! What runs a predictor's graph: the core itself, or ONNX Runtime. Both load the same file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tradewind_core::{Code, Error, error::unknown, predict::Predictor};

use crate::onnxruntime;

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

    /// Loads a predictor; ONNX Runtime needs the path of its library.
    ///
    /// # Errors
    /// `invalid_predictor`.
    pub fn load(self, onnx: &[u8], library: Option<&Path>) -> Result<Predictor, Error> {
        match (self, library) {
            (Self::Native, _) => Predictor::native(onnx),
            (Self::OnnxRuntime, Some(library)) => onnxruntime::predictor(onnx, library),
            (Self::OnnxRuntime, None) => {
                Err(Error::new(Code::InvalidPredictor, "onnxruntime_library", "executor `onnxruntime` needs the path of its library"))
            }
        }
    }
}
