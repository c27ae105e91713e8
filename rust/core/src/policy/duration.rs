//! The whole answer comes within the route's time for a request. An unknown speed does not violate it.

use super::{Case, Entry, Policy, excess};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "duration",
    about: "the whole answer is expected within the time for a request",
    soft: true,
    build: |_, timeouts| Box::new(Duration { within_ms: timeouts.request_ms }),
};

struct Duration {
    within_ms: u64,
}

impl Policy for Duration {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    #[expect(clippy::cast_precision_loss, reason = "timeouts are far below 2^53 ms")]
    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        // Choices are written side by side.
        let tokens = f64::from(case.forecast.output_tokens) / f64::from(case.facts.choices.max(1));
        let first_ms = f64::from(case.forecast.first_token_ms.unwrap_or(0.0));
        let rest_ms = tokens / f64::from(case.model.output_tokens_per_second?) * 1e3;
        excess(first_ms + rest_ms, self.within_ms as f64)
    }
}
