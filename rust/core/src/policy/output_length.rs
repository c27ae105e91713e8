//! The model must be able to give as long an answer as the call explicitly allows.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "output_length",
    about: "the model can give as long an answer as the call asks for",
    soft: false,
    build: |_, _| Box::new(OutputLength),
};

struct OutputLength;

impl Policy for OutputLength {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        case.facts.max_output_tokens.is_some_and(|tokens| tokens > case.model.limits.output_tokens).then_some(1.0)
    }
}
