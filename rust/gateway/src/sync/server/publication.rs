//! A plan source under its lineage and serial, rendered once for each kind of data plane and shared by all of that kind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::OnceCell;
use tradewind_core::plan::{CURRENT, OLDEST, PlanSource, Scope, render};

/// What one kind of data plane gets.
#[derive(Debug)]
pub struct Rendering {
    /// The plan source.
    pub json: Bytes,
    /// Its id.
    pub id: String,
    /// Features of the plan that this kind has not.
    pub lacks: Vec<&'static str>,
}

type Kind = (u32, Scope);

/// A plan source under its lineage and serial.
pub struct Publication {
    /// Where serials count.
    pub lineage: String,
    /// Larger is newer.
    pub serial: u64,
    source: Arc<PlanSource>,
    whole: Arc<Rendering>,
    renderings: Mutex<HashMap<Kind, Arc<OnceCell<Arc<Rendering>>>>>,
}

impl Publication {
    /// Reads a plan source and renders it for gateways of this version.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(lineage: &str, serial: u64, plan: &[u8]) -> Result<Self, String> {
        let source: PlanSource = serde_json::from_slice(plan).map_err(|error| format!("the plan source cannot be read: {error}"))?;
        let whole = Arc::new(rendered(&source, CURRENT, &Scope::Gateway));
        Ok(Self { lineage: lineage.to_owned(), serial, source: Arc::new(source), whole, renderings: Mutex::default() })
    }

    /// Id for gateways of this version.
    pub fn id(&self) -> &str {
        &self.whole.id
    }

    /// The rendering for a kind of data plane; the first to ask has it made, the others wait.
    ///
    /// # Errors
    /// Where the runtime is stopping.
    pub async fn rendering(&self, schema: u32, scope: Scope) -> Result<Arc<Rendering>, tokio::task::JoinError> {
        let kind = (schema.clamp(OLDEST, CURRENT), scope);
        if kind == (CURRENT, Scope::Gateway) {
            return Ok(Arc::clone(&self.whole));
        }
        let cell = Arc::clone(self.renderings.lock().unwrap_or_else(PoisonError::into_inner).entry(kind.clone()).or_default());
        let source = Arc::clone(&self.source);
        let made = || async move { tokio::task::spawn_blocking(move || Arc::new(rendered(&source, kind.0, &kind.1))).await };
        cell.get_or_try_init(made).await.cloned()
    }
}

fn rendered(source: &PlanSource, schema: u32, scope: &Scope) -> Rendering {
    let rendered = render(source, schema, scope);
    Rendering { json: rendered.json.into(), id: rendered.id, lacks: rendered.lacks }
}
