//! A model takes as many calls at once from one gateway as its pool allows.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry =
    Entry { name: "concurrency", about: "the model has a free place in this gateway", soft: false, build: |_, _| Box::new(Concurrency) };

struct Concurrency;

impl Policy for Concurrency {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        case.model.limits.concurrent_requests.is_some_and(|limit| case.forecast.reading.in_flight >= limit).then_some(1.0)
    }
}
