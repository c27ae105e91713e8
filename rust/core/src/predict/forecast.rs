//! From what is expected of a model to tokens, money and time of one call.

use crate::{live::Reading, money::NanoUsd, parse::Facts, plan::Model};

/// Bytes of a body per input token, until a model's usage has taught another ratio.
pub const DEFAULT_BYTES_PER_TOKEN: f32 = 4.0;

/// What one model is expected to do with one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Expected quality, 0 to 1.
    pub quality: f32,
    /// Its standard deviation; 0 where the predictor says nothing of it.
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

/// What a predictor expects of one model, whatever the call asks for beside its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Quality, 0 to 1.
    pub quality: f32,
    /// Its standard deviation; 0 where the predictor says nothing of it.
    pub quality_sd: f32,
    /// Tokens of one answer.
    pub output_tokens: f32,
}

/// Forecasts one model.
#[must_use]
pub(crate) fn forecast(expected: Expected, model: &Model, facts: &Facts, reading: Reading) -> Forecast {
    let input_tokens = input_tokens(facts, reading);
    let output_tokens = output_tokens(expected.output_tokens, model, facts);
    let cost = model.price.cost(u64::from(input_tokens), 0, u64::from(output_tokens));
    Forecast {
        quality: expected.quality,
        quality_sd: expected.quality_sd,
        input_tokens,
        output_tokens,
        cost,
        first_token_ms: reading.first_token_ms.or(model.first_token_ms),
        reading,
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, positive token counts")]
fn input_tokens(facts: &Facts, reading: Reading) -> u32 {
    let ratio = reading.bytes_per_token.filter(|ratio| ratio.is_finite() && *ratio > 0.1).unwrap_or(DEFAULT_BYTES_PER_TOKEN);
    (facts.input_bytes as f32 / ratio).ceil().max(1.0) as u32
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, positive token counts")]
fn output_tokens(expected: f32, model: &Model, facts: &Facts) -> u32 {
    let limit = facts.max_output_tokens.unwrap_or(u32::MAX).min(model.limits.output_tokens).max(1);
    let each = expected.round().clamp(1.0, limit as f32) as u32;
    each.saturating_mul(facts.choices)
}
