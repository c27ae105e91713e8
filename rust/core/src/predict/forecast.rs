//! From a prediction and a model's profile to quality, tokens, money and time.
//!
//! Difficulty is shared by all models and stays, shrunk, far from the training data; what tells models apart (regression and
//! cluster prior) fades to nothing between the inner and the outer radius.

use super::{Parameters, Prediction, Profile};
use crate::{live::Reading, money::NanoUsd, parse::Facts, plan::Model};

/// Bytes of a body per input token, until a model's usage has taught another ratio.
pub const DEFAULT_BYTES_PER_TOKEN: f32 = 4.0;

/// What one model is expected to do with one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Expected quality, 0 to 1.
    pub quality: f32,
    /// Its standard deviation.
    pub quality_sd: f32,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens, all choices together.
    pub output_tokens: u32,
    /// Cost of both at the model's prices.
    pub cost: NanoUsd,
    /// Milliseconds to the first token: observed, else declared, else unknown.
    pub first_token_ms: Option<f32>,
    /// The reading that was used.
    pub reading: Reading,
}

/// Forecasts of all candidates, in their order.
pub type Forecasts = Vec<Forecast>;

/// Forecasts one model.
#[must_use]
pub(crate) fn forecast(prediction: &Prediction, parameters: &Parameters, model: &Model, facts: &Facts, reading: Reading) -> Forecast {
    let near = nearness(prediction, parameters);
    let (quality, quality_sd) = quality(prediction, parameters, &model.profile, near);
    let input_tokens = input_tokens(facts, reading);
    let output_tokens = output_tokens(prediction, &model.profile, near, model, facts);
    let cost = model.price.cost(u64::from(input_tokens), 0, u64::from(output_tokens));
    Forecast {
        quality,
        quality_sd,
        input_tokens,
        output_tokens,
        cost,
        first_token_ms: reading.first_token_ms.or(model.first_token_ms),
        reading,
    }
}

/// 1 within the inner radius of the nearest centroid, 0 beyond the outer.
fn nearness(prediction: &Prediction, parameters: &Parameters) -> f32 {
    let nearest = prediction.similarity().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    ((parameters.outer_radius - (1.0 - nearest)) / (parameters.outer_radius - parameters.inner_radius)).clamp(0.0, 1.0)
}

fn quality(prediction: &Prediction, parameters: &Parameters, profile: &Profile, near: f32) -> (f32, f32) {
    let deviation = if near > 0.0 {
        let regression = dot(&profile.latent, prediction.latent());
        let prior = if profile.clusters.is_empty() {
            0.0
        } else {
            softmax_mean(prediction.similarity(), parameters.temperature, &profile.clusters)
        };
        near * (parameters.deviation_blend * regression + (1.0 - parameters.deviation_blend) * prior)
    } else {
        0.0
    };
    let kept = near + (1.0 - near) * parameters.difficulty_beyond;
    let heads = prediction.difficulty();
    let (mut sum, mut squares) = (0.0_f32, 0.0_f32);
    for &difficulty in heads {
        let logit = profile.bias - profile.slope * kept * difficulty + deviation;
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

/// Mean of `values` under the softmax of `similarity / temperature`.
fn softmax_mean(similarity: &[f32], temperature: f32, values: &[f32]) -> f32 {
    let largest = similarity.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut mean) = (0.0_f32, 0.0_f32);
    for (&near, &value) in similarity.iter().zip(values) {
        let weight = ((near - largest) / temperature).exp();
        total += weight;
        mean += weight * value;
    }
    mean / total
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, positive token counts")]
fn input_tokens(facts: &Facts, reading: Reading) -> u32 {
    let ratio = reading.bytes_per_token.filter(|ratio| ratio.is_finite() && *ratio > 0.1).unwrap_or(DEFAULT_BYTES_PER_TOKEN);
    (facts.input_bytes as f32 / ratio).ceil().max(1.0) as u32
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, positive token counts")]
fn output_tokens(prediction: &Prediction, profile: &Profile, near: f32, model: &Model, facts: &Facts) -> u32 {
    let expected = (profile.length.bias + near * dot(&profile.length.latent, prediction.length())).exp();
    let limit = facts.max_output_tokens.unwrap_or(u32::MAX).min(model.limits.output_tokens).max(1);
    let each = expected.round().clamp(1.0, limit as f32) as u32;
    each.saturating_mul(facts.choices)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
