//! How a plan source looks to one kind of data plane.

use tradewind_core::{digest, plan::PlanSource};

/// What a data plane may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    Gateway,
    /// The routes of one namespace.
    Sidecar {
        /// The namespace.
        namespace: String,
        /// Base URL of the gateway that serves other namespaces' models.
        hop: Option<String>,
    },
}

/// A plan source for one scope and schema.
pub struct Rendered {
    /// The plan source.
    pub json: Vec<u8>,
    /// Its id, as its compiler gives it.
    pub id: String,
    /// Features of the plan that it has not.
    pub lacks: Vec<&'static str>,
}

/// Renders a plan source.
pub fn render(source: &PlanSource, _schema: u32, _scope: &Scope) -> Rendered {
    let json = serde_json::to_vec(source).unwrap_or_default();
    let id = digest::sha256(&json);
    Rendered { json, id, lacks: Vec::new() }
}
