//! A plan with what the gateway needs to serve it: addresses, live states, the price table. Swapped whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::SystemTime,
};

use tradewind_core::{
    Plan, digest,
    live::{Last, LiveView, Reading, Readings, Templates},
    money::Price,
    plan::{Compiled, Model, Problem, Severity},
};

use crate::{
    live::{Live, ModelState},
    upstream::Endpoint,
};

/// A plan that is served.
pub struct Routing {
    /// The plan.
    pub plan: Plan,
    /// What the compiler left out.
    pub warnings: Vec<Problem>,
    /// When it was swapped in.
    pub loaded_at: SystemTime,
    /// Where it came from, for people.
    pub source: String,
    /// `sha256:` of the prices, so that an outcome says by which prices it was counted.
    pub price_table: Arc<str>,
    targets: HashMap<Arc<str>, Target>,
}

/// A model as the gateway sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is served.
    pub endpoint: Arc<Endpoint>,
    /// Its live state.
    pub state: Arc<ModelState>,
}

impl Routing {
    /// Prepares a compiled plan.
    ///
    /// # Errors
    /// A problem for each address that cannot be called.
    pub fn new(compiled: Compiled, live: &Live, source: String, loaded_at: SystemTime) -> Result<Self, Vec<Problem>> {
        let Compiled { plan, warnings } = compiled;
        let (mut targets, mut problems) = (HashMap::new(), Vec::new());
        for (index, model) in plan.models().iter().enumerate() {
            match Endpoint::new(&model.upstream) {
                Ok(endpoint) => {
                    targets.insert(Arc::clone(&model.id), Target { endpoint: Arc::new(endpoint), state: live.model(&model.id) });
                }
                Err(message) => problems.push(Problem {
                    code: "invalid_url",
                    severity: Severity::Error,
                    path: format!("models[{index}].upstream.url"),
                    message,
                    accepted: Vec::new(),
                }),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let price_table = price_table(plan.models()).into();
        Ok(Self { plan, warnings, loaded_at, source, price_table, targets })
    }

    /// Address and state of a model of this plan.
    #[must_use]
    pub fn target(&self, id: &str) -> Option<&Target> {
        self.targets.get(id)
    }

    /// The live state as the core reads it.
    #[must_use]
    pub fn live<'a>(&'a self, last_prediction: Option<&'a Last>, templates: &'a dyn Templates) -> LiveView<'a> {
        LiveView { models: self, last_prediction, templates }
    }

    /// Digests of the predictors in use, each with its executor.
    #[must_use]
    pub fn predictors(&self) -> BTreeSet<(&str, &'static str)> {
        let named = self.plan.routes().iter().flat_map(|route| {
            let second = route.second_tier.as_ref().map(|tier| &tier.predictor);
            second.into_iter().chain([&route.predictor])
        });
        named.map(|predictor| (&**predictor.digest(), predictor.executor())).collect()
    }
}

impl Readings for Routing {
    fn model(&self, id: &str) -> Reading {
        self.targets.get(id).map(|target| target.state.reading()).unwrap_or_default()
    }
}

/// Digest of the canonical JSON of all prices, by model id.
fn price_table(models: &[Arc<Model>]) -> String {
    let prices: BTreeMap<&str, &Price> = models.iter().map(|model| (&*model.id, &model.price)).collect();
    digest::sha256(&serde_json::to_vec(&prices).unwrap_or_default())
}
