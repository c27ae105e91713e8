//! A model's learned capability vector: data of the plan, not code.

use serde::{Deserialize, Serialize};

use super::graph::Dimensions;

/// What training, anchors or a declared prior say of one model. All weights act in logit space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Logit of the quality at difficulty 0.
    pub bias: f32,
    /// How much difficulty costs this model.
    #[serde(default = "one")]
    pub slope: f32,
    /// Weights on the latent: they give the logit of the direct forecast; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latent: Vec<f32>,
    /// Shrunk deviation per topic, a learned cluster of questions; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<f32>,
    /// Last step in logit space.
    #[serde(default)]
    pub calibration: Calibration,
    /// Answer length.
    #[serde(default)]
    pub length: Length,
    /// Answers it was fitted from; 0 for a declared prior.
    #[serde(default)]
    pub answers: u64,
    /// Whose quality a graph of a user's own gives in this column; such a graph reads no weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

const fn one() -> f32 {
    1.0
}

/// Platt scaling: `logit → slope × logit + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor.
    pub slope: f32,
    /// Summand.
    pub offset: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { slope: 1.0, offset: 0.0 }
    }
}

/// Answer length: `exp(bias + latent · t)` tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Length {
    /// Natural logarithm of tokens.
    pub bias: f32,
    /// Weights on the length latent; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latent: Vec<f32>,
}

impl Default for Length {
    fn default() -> Self {
        Self { bias: 5.5, latent: Vec::new() }
    }
}

impl Profile {
    /// A declared prior: this logit at difficulty 0, and nothing learned.
    #[must_use]
    pub fn prior(bias: f32) -> Self {
        Self {
            bias,
            slope: 1.0,
            latent: Vec::new(),
            clusters: Vec::new(),
            calibration: Calibration::default(),
            length: Length::default(),
            answers: 0,
            column: None,
        }
    }

    /// Logit of the quality at difficulty 0, without any deviation.
    #[must_use]
    pub fn logit(&self) -> f32 {
        self.calibration.slope * self.bias + self.calibration.offset
    }

    /// Each place where the profile does not fit a predictor: (field, what is wrong).
    #[must_use]
    pub fn problems(&self, dimensions: Dimensions) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (field, values, expected) in [
            ("latent", &self.latent, dimensions.latent),
            ("clusters", &self.clusters, dimensions.topics),
            ("length.latent", &self.length.latent, dimensions.length),
        ] {
            if !values.is_empty() && values.len() != expected {
                problems.push((field, format!("has {} values; the predictor has {expected}", values.len())));
            }
            if values.iter().any(|value| !value.is_finite()) {
                problems.push((field, "has a value that is not finite".to_owned()));
            }
        }
        for (field, value) in [
            ("bias", self.bias),
            ("slope", self.slope),
            ("calibration.slope", self.calibration.slope),
            ("calibration.offset", self.calibration.offset),
            ("length.bias", self.length.bias),
        ] {
            if !value.is_finite() {
                problems.push((field, "is not finite".to_owned()));
            }
        }
        match (self.column, dimensions.quality) {
            (None, 1..) => problems.push(("column", "is missing: the predictor is a graph of a user's own".to_owned())),
            (Some(_), 0) => problems.push(("column", "is of a graph of a user's own, which the predictor is not".to_owned())),
            (Some(column), columns @ 1..) if column >= columns => {
                problems.push(("column", format!("is {column}; the predictor has columns 0 to {}", columns - 1)));
            }
            _ => {}
        }
        problems
    }
}
