//! Prompt and requested answer together must fit into the model's context.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "context_length",
    about: "prompt and requested answer fit into the model's context",
    soft: false,
    build: |_, _| Box::new(ContextLength),
};

struct ContextLength;

impl Policy for ContextLength {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        let needed = u64::from(case.forecast.input_tokens) + u64::from(case.facts.max_output_tokens.unwrap_or(1));
        (needed > u64::from(case.model.limits.context_tokens)).then_some(1.0)
    }
}
