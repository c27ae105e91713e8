//! The route's allow-list: a candidate carries every label it asks for.

use std::collections::BTreeMap;

use super::{Case, Entry, Policy};

/// The row.
pub const ENTRY: Entry = Entry {
    name: "labels",
    about: "the model carries the labels the route asks for",
    soft: false,
    build: |constraints, _| Box::new(Labels { required: constraints.match_labels.clone() }),
};

struct Labels {
    required: BTreeMap<String, String>,
}

impl Policy for Labels {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn violation(&self, case: &Case<'_>) -> Option<f64> {
        self.required.iter().any(|(key, value)| case.model.labels.get(key) != Some(value)).then_some(1.0)
    }
}
