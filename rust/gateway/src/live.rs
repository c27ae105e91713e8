//! What is known of each model between requests. Survives plan swaps; a decision reads it and copies what it read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use tradewind_core::live::Reading;

/// Weight of a new observation in the moving averages.
const WEIGHT: f32 = 0.1;

/// State of one model. Atomics only: nothing waits for anything. A NaN average means "not observed yet".
#[derive(Debug)]
pub struct ModelState {
    resting_until_ns: AtomicU64,
    failures: AtomicU32,
    in_flight: AtomicU32,
    first_token_ms: AtomicU32,
    bytes_per_token: AtomicU32,
}

impl Default for ModelState {
    fn default() -> Self {
        let unknown = || AtomicU32::new(f32::NAN.to_bits());
        Self {
            resting_until_ns: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            first_token_ms: unknown(),
            bytes_per_token: unknown(),
        }
    }
}

/// A place among a model's calls in flight, given back on drop.
#[derive(Debug)]
pub struct Place(Arc<ModelState>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl ModelState {
    /// The reading of now.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading {
            resting_until_ns: self.resting_until_ns.load(Relaxed),
            first_token_ms: known(&self.first_token_ms),
            in_flight: self.in_flight.load(Relaxed),
            bytes_per_token: known(&self.bytes_per_token),
        }
    }

    /// Takes a place, unless `limit` are taken: two workers may have read the same free one.
    #[must_use]
    pub fn enter(self: &Arc<Self>, limit: Option<u32>) -> Option<Place> {
        let limit = limit.unwrap_or(u32::MAX);
        self.in_flight.try_update(Relaxed, Relaxed, |taken| (taken < limit).then_some(taken + 1)).ok()?;
        Some(Place(Arc::clone(self)))
    }

    /// The model answered.
    pub fn succeeded(&self) {
        self.failures.store(0, Relaxed);
    }

    /// The model failed: it rests as long as it asked for, else twice as long as after the failure before. Calls that fail
    /// together count as one failure.
    pub fn failed(&self, now_ns: u64, retry_after_ms: Option<u64>, rest_ms: u64, max_rest_ms: u64) {
        if retry_after_ms.is_none() && self.resting_until_ns.load(Relaxed) > now_ns {
            return;
        }
        let failures = self.failures.fetch_add(1, Relaxed);
        let rest_ms = retry_after_ms.unwrap_or_else(|| rest_ms.saturating_mul(1 << failures.min(20)).min(max_rest_ms));
        self.resting_until_ns.fetch_max(now_ns.saturating_add(rest_ms.saturating_mul(1_000_000)), Relaxed);
    }

    /// Learns from a stream's first token. Unary answers come whole, so they say nothing of it.
    pub fn observe_first_token(&self, milliseconds: f32) {
        observe(&self.first_token_ms, milliseconds);
    }

    /// Learns how many bytes of a body make a token, from the upstream's own count.
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^24 in effect")]
    pub fn observe_input(&self, body_bytes: usize, input_tokens: u64) {
        if input_tokens > 0 {
            observe(&self.bytes_per_token, (body_bytes as f32 / input_tokens as f32).clamp(0.2, 64.0));
        }
    }
}

fn known(average: &AtomicU32) -> Option<f32> {
    Some(f32::from_bits(average.load(Relaxed))).filter(|value| !value.is_nan())
}

/// Two observations at once may lose one; an average does not mind.
fn observe(average: &AtomicU32, value: f32) {
    let next = known(average).map_or(value, |old| old + WEIGHT * (value - old));
    average.store(next.to_bits(), Relaxed);
}

/// The states of all models ever served, by id.
#[derive(Debug, Default)]
pub struct Live {
    models: Mutex<HashMap<Arc<str>, Arc<ModelState>>>,
}

impl Live {
    /// The state of a model; the same one for every plan that names it.
    #[must_use]
    pub fn model(&self, id: &Arc<str>) -> Arc<ModelState> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(models.entry(Arc::clone(id)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_the_limit_and_calls_that_fail_together_count_once() {
        let state = ModelState::default();
        let mut now = 0;
        for expected_ms in [1000, 2000, 4000, 5000, 5000] {
            for _ in 0..3 {
                state.failed(now, None, 1000, 5000);
            }
            let until = state.reading().resting_until_ns;
            assert_eq!((until - now) / 1_000_000, expected_ms);
            now = until;
        }
        state.succeeded();
        state.failed(now, Some(7000), 1000, 5000);
        assert_eq!((state.reading().resting_until_ns - now) / 1_000_000, 7000);
    }

    #[test]
    fn places_are_limited_and_come_back() {
        let state = Arc::new(ModelState::default());
        let (first, second) = (state.enter(Some(2)), state.enter(Some(2)));
        assert!(first.is_some() && state.enter(Some(2)).is_none());
        drop(second);
        assert!(state.enter(Some(2)).is_some());
        assert_eq!(state.reading().in_flight, 1);
    }

    #[test]
    fn averages_start_unknown_and_move_slowly() {
        let state = ModelState::default();
        assert_eq!(state.reading().first_token_ms, None);
        state.observe_first_token(100.0);
        state.observe_first_token(200.0);
        assert_eq!(state.reading().first_token_ms, Some(110.0));
        state.observe_input(400, 100);
        assert_eq!(state.reading().bytes_per_token, Some(4.0));
    }
}
