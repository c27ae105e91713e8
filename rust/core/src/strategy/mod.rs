//! Strategies only order the admitted. One file and one row each.

mod best;
mod cheapest;
mod pinned;
mod utility;
mod weighted;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::utility::utility;
use crate::{error::unknown, objective::Objective, plan::Model, policy::Admitted};

/// One row of the table of strategies.
pub struct Entry {
    /// snake_case name, `type` in a plan source.
    pub name: &'static str,
    /// For the documentation.
    pub about: &'static str,
    /// Whether a candidate that is worse and dearer than another can never come first.
    pub never_dominated: bool,
    /// Builds it from its parameters (the object under its own name) and the route's candidates.
    pub build: Build,
    /// Takes the models that are not left out of its parameters; whether anything is left to order by.
    pub narrow: Narrow,
}

/// Takes models out of parameters: those by whose names the question is answered with no.
pub type Narrow = fn(&mut Value, &dyn Fn(&str) -> bool) -> bool;

/// Builds a strategy from its parameters and the route's candidates.
pub type Build = fn(Value, &[Arc<Model>]) -> Result<Box<dyn Strategy>, Refusal>;

/// Every strategy.
pub const TABLE: &[&Entry] = &[&best::ENTRY, &cheapest::ENTRY, &pinned::ENTRY, &utility::ENTRY, &weighted::ENTRY];

/// An order over candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Indexes of the admitted, best first.
    pub order: Vec<usize>,
    /// Probability with which the strategy puts the first one first.
    pub propensity: f64,
}

impl Ranking {
    fn certain(order: Vec<usize>) -> Self {
        Self { order, propensity: 1.0 }
    }
}

/// Orders the admitted.
pub trait Strategy: Send + Sync {
    /// The row of this strategy.
    fn entry(&self) -> &'static Entry;

    /// The declared willingness to pay, if this strategy trades quality for money. Without it the dial is refused.
    fn willingness_to_pay_usd(&self) -> Option<f64> {
        None
    }

    /// A permutation of the admitted, best first.
    fn rank(&self, admitted: &Admitted<'_>, objective: &Objective, seed: u64) -> Ranking;
}

/// Why a strategy cannot be built.
#[derive(Debug)]
pub struct Refusal {
    /// Path below `strategy`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Accepted names, where they are a closed set.
    pub accepted: Vec<String>,
}

impl Refusal {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), accepted: Vec::new() }
    }
}

/// Builds a strategy from `{"type": name, name: {parameters}}`.
///
/// # Errors
/// An unknown name, a key that is neither `type` nor the name, or parameters that do not fit.
pub fn build(source: &Map<String, Value>, candidates: &[Arc<Model>]) -> Result<Box<dyn Strategy>, Refusal> {
    let names: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
    let name = source
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::new(".type", format!("`type` is missing; expected one of {}", names.join(", "))))?;
    let entry = TABLE.iter().find(|entry| entry.name == name).ok_or_else(|| Refusal {
        accepted: names.iter().map(|&name| name.to_owned()).collect(),
        ..Refusal::new(".type", unknown("strategy", name, &names))
    })?;
    if let Some(key) = source.keys().find(|key| *key != "type" && *key != name) {
        return Err(Refusal::new(format!(".{key}"), unknown("field", key, &["type", name])));
    }
    (entry.build)(source.get(name).cloned().unwrap_or_else(|| Value::Object(Map::new())), candidates)
        .map_err(|refusal| Refusal { path: format!(".{name}{}", refusal.path), ..refusal })
}

/// Takes the models that are not left out of a source that builds; whether it still builds.
pub fn narrow(source: &mut Map<String, Value>, left: &dyn Fn(&str) -> bool) -> bool {
    let Some(entry) = source.get("type").and_then(Value::as_str).and_then(|name| TABLE.iter().find(|entry| entry.name == name)) else {
        return false;
    };
    source.get_mut(entry.name).is_none_or(|parameters| (entry.narrow)(parameters, left))
}

/// Reads parameters; structs of parameters deny unknown fields.
fn parameters<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::new("", error.to_string()))
}

/// Index of the candidate called `name`, by id or by its last part.
fn find(name: &str, candidates: &[Arc<Model>], path: String) -> Result<usize, Refusal> {
    candidates.iter().position(|model| &*model.id == name || model.name() == name).ok_or_else(|| {
        let known: Vec<&str> = candidates.iter().map(|model| model.name()).collect();
        Refusal { accepted: known.iter().map(|&name| name.to_owned()).collect(), ..Refusal::new(path, unknown("model", name, &known)) }
    })
}

#[cfg(test)]
mod tests;
