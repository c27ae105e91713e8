//! A model that failed rests until its time is up.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry =
    Entry { name: "health", about: "the model does not rest after a failure", soft: false, build: |_, _| Box::new(Health) };

struct Health;

impl Policy for Health {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        (case.forecast.reading.resting_until_ns > case.now.unix_ns).then_some(1.0)
    }
}
