//! A plan source under its lineage and serial, rendered once for each kind of data plane and shared by all of that kind.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use tokio::sync::OnceCell;
use tradewind_core::{
    digest,
    plan::{CURRENT, OLDEST, PlanSource, Scope, render, source::RouteSource},
};

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
    /// Of the bytes that it was read from.
    digest: String,
    source: Arc<Mutex<Weak<PlanSource>>>,
    whole: Arc<Rendering>,
    predictors: HashSet<String>,
    renderings: Mutex<HashMap<Kind, Arc<OnceCell<Arc<Rendering>>>>>,
}

impl Publication {
    /// Reads a plan source and renders it for gateways of this version.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(lineage: &str, serial: u64, plan: &[u8]) -> Result<Self, String> {
        let source = read(plan)?;
        let whole = Arc::new(rendered(&source, CURRENT, &Scope::Gateway));
        let named = |route: RouteSource| route.second_tier.map(|tier| tier.predictor).into_iter().chain([route.predictor]);
        let predictors = source.routes.into_iter().flat_map(named).collect();
        let (lineage, digest) = (lineage.to_owned(), digest::sha256(plan));
        Ok(Self { lineage, serial, digest, source: Arc::default(), whole, predictors, renderings: Mutex::default() })
    }

    /// Whether it was made of these.
    pub fn is_of(&self, lineage: &str, serial: u64, plan: &[u8]) -> bool {
        self.lineage == lineage && self.serial == serial && self.digest == digest::sha256(plan)
    }

    /// Id for gateways of this version.
    pub fn id(&self) -> &str {
        &self.whole.id
    }

    /// Digests of the predictors that it names.
    pub fn predictors(&self) -> &HashSet<String> {
        &self.predictors
    }

    /// The rendering for a kind of data plane, at once. Blocks while it is made.
    ///
    /// # Errors
    /// A sentence.
    pub fn rendering_now(&self, schema: u32, scope: Scope) -> Result<Arc<Rendering>, String> {
        let kind = (schema.clamp(OLDEST, CURRENT), scope);
        if kind == (CURRENT, Scope::Gateway) {
            return Ok(Arc::clone(&self.whole));
        }
        let cell = Arc::clone(self.renderings.lock().unwrap_or_else(PoisonError::into_inner).entry(kind.clone()).or_default());
        if let Some(made) = cell.get() {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(rendered(&*shared(&self.source, &self.whole)?, kind.0, &kind.1));
        // Another may have made the same meanwhile.
        let _ = cell.set(Arc::clone(&made));
        Ok(made)
    }

    /// The rendering for a kind of data plane; the first to ask has it made, the others wait.
    ///
    /// # Errors
    /// A sentence, where the runtime is stopping.
    pub async fn rendering(&self, schema: u32, scope: Scope) -> Result<Arc<Rendering>, String> {
        let kind = (schema.clamp(OLDEST, CURRENT), scope);
        if kind == (CURRENT, Scope::Gateway) {
            return Ok(Arc::clone(&self.whole));
        }
        let cell = Arc::clone(self.renderings.lock().unwrap_or_else(PoisonError::into_inner).entry(kind.clone()).or_default());
        let (source, whole) = (Arc::clone(&self.source), Arc::clone(&self.whole));
        let render = move || Ok(Arc::new(rendered(&*shared(&source, &whole)?, kind.0, &kind.1)));
        let made = || async move { tokio::task::spawn_blocking(render).await.map_err(|error| error.to_string())? };
        cell.get_or_try_init(made).await.cloned()
    }
}

/// The source, as long as somebody renders it: at rest its text is enough, which is a third of it.
fn shared(source: &Mutex<Weak<PlanSource>>, whole: &Rendering) -> Result<Arc<PlanSource>, String> {
    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(read) = source.upgrade() {
        return Ok(read);
    }
    let again = Arc::new(read(&whole.json)?);
    *source = Arc::downgrade(&again);
    Ok(again)
}

fn read(plan: &[u8]) -> Result<PlanSource, String> {
    serde_json::from_slice(plan).map_err(|error| format!("the plan source cannot be read: {error}"))
}

fn rendered(source: &PlanSource, schema: u32, scope: &Scope) -> Rendering {
    let rendered = render(source, schema, scope);
    Rendering { json: rendered.json.into(), id: rendered.id, lacks: rendered.lacks }
}
