//! The model must offer what the call needs: tools, JSON output.

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry =
    Entry { name: "capability", about: "the model offers what the call needs", soft: false, build: |_, _| Box::new(Capability) };

struct Capability;

impl Policy for Capability {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        let lacks = (case.facts.tools && !case.model.tools) || (case.facts.json && !case.model.json);
        lacks.then_some(1.0)
    }
}
