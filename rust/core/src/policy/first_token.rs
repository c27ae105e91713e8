//! The first token comes before the deadline. An unknown latency does not violate it.

use super::{Case, Entry, Policy, excess};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "first_token",
    about: "the first token is expected before the deadline",
    soft: true,
    build: |constraints, _| Box::new(FirstToken { within_ms: constraints.first_token_ms }),
};

struct FirstToken {
    within_ms: Option<f32>,
}

impl Policy for FirstToken {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        excess(f64::from(case.forecast.first_token_ms?), f64::from(self.within_ms?))
    }
}
