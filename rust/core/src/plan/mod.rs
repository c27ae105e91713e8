//! A plan: compiled routing. In memory it is always valid.

mod compile;
pub mod source;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub use self::{
    compile::{Compiled, Predictors, Problem, Severity, compile, id, read},
    source::{Limits, PlanSource, Timeouts, Upstream},
};
use crate::{
    call::Call,
    error::{Code, Error},
    money::Price,
    objective::ObjectiveSpec,
    parse::Request,
    policy::Policy,
    predict::{Predictor, Profile},
    strategy::Strategy,
};

/// A capability that a call may need: a row of this table.
pub const CAPABILITIES: &[&str] = &["json", "tools"];

/// A dialect that an upstream may speak.
pub const DIALECTS: &[&str] = &["openai"];

/// One upstream with price, limits and profile.
#[derive(Clone)]
pub struct Model {
    /// `namespace/pool/name`.
    pub id: Arc<str>,
    /// Where it is served.
    pub upstream: Upstream,
    /// What it charges.
    pub price: Price,
    /// What it holds.
    pub limits: Limits,
    /// Offers tools.
    pub tools: bool,
    /// Offers JSON output.
    pub json: bool,
    /// For allow-lists.
    pub labels: BTreeMap<String, String>,
    /// What is known of its quality and answer lengths.
    pub profile: Arc<Profile>,
    /// Declared milliseconds to the first token.
    pub first_token_ms: Option<f32>,
    /// Declared tokens of an answer per second.
    pub output_tokens_per_second: Option<f32>,
}

impl Model {
    /// The last part of the id: what people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        short_name(&self.id)
    }
}

/// The name in `namespace/pool/name`; names may hold slashes themselves.
fn short_name(id: &str) -> &str {
    id.splitn(3, '/').nth(2).unwrap_or(id)
}

/// Which calls, which candidates, by which rules.
pub struct Route {
    /// `namespace/policy`.
    pub id: Arc<str>,
    /// Names that a caller may ask for.
    pub aliases: Vec<String>,
    /// Candidates, in the order of the source.
    pub candidates: Vec<Arc<Model>>,
    /// Index of the candidate that always-best would call: the best quality at difficulty 0, then the dearest.
    pub baseline: usize,
    /// Forecasts them.
    pub predictor: Arc<Predictor>,
    /// What must hold.
    pub policies: Vec<Box<dyn Policy>>,
    /// What quality, money and time are worth here.
    pub objective: ObjectiveSpec,
    /// Orders the admitted.
    pub strategy: Box<dyn Strategy>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Additional attempts after the first.
    pub retry_attempts: u32,
}

/// A route with the candidates a call may reach by it: all, or the one that was asked for by name.
pub struct RouteView<'p> {
    /// The route.
    pub route: &'p Route,
    /// The candidates.
    pub candidates: &'p [Arc<Model>],
    /// Whether the caller named the model: the strategy is bypassed, the policies are not.
    pub named: bool,
}

/// Compiled routing.
pub struct Plan {
    id: Arc<str>,
    models: Vec<Arc<Model>>,
    routes: Vec<Arc<Route>>,
    /// By tenant, then by what a caller may ask for.
    targets: HashMap<String, HashMap<String, Target>>,
}

#[derive(Clone, Copy)]
struct Target {
    route: usize,
    /// Index among the route's candidates; `None` for an alias.
    candidate: Option<usize>,
}

impl Plan {
    /// `sha256:` of the canonical plan source.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// All models.
    #[must_use]
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Finds the route of a call.
    ///
    /// # Errors
    /// `model_not_found`, listing what the caller may ask for.
    pub fn route<'p>(&'p self, call: &Call<'_>, request: &Request<'_>) -> Result<RouteView<'p>, Error> {
        self.find(&call.identity.tenant, &request.model)
    }

    /// [`Plan::route`] by the two names it looks at.
    ///
    /// # Errors
    /// As [`Plan::route`].
    pub fn find<'p>(&'p self, tenant: &str, model: &str) -> Result<RouteView<'p>, Error> {
        let targets = self.targets.get(tenant);
        let Some(&target) = targets.and_then(|targets| targets.get(model)) else {
            let known = self.names(tenant);
            let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).take(20).collect();
            return Err(Error::new(Code::ModelNotFound, "model", crate::error::unknown("model", model, &known)));
        };
        let route = &*self.routes[target.route];
        Ok(match target.candidate {
            None => RouteView { route, candidates: &route.candidates, named: false },
            Some(index) => RouteView { route, candidates: &route.candidates[index..=index], named: true },
        })
    }

    /// What a tenant may ask for, sorted: (name, owner), where the owner is the route of an alias or the pool of a model.
    #[must_use]
    pub fn names(&self, tenant: &str) -> Vec<(String, String)> {
        let Some(targets) = self.targets.get(tenant) else { return Vec::new() };
        let mut names: Vec<(String, String)> = targets
            .iter()
            .filter_map(|(name, target)| {
                let route = &self.routes[target.route];
                match target.candidate {
                    None => Some((name.clone(), route.id.to_string())),
                    // A model is listed by one name; its full id works too.
                    Some(index) if *name == *route.candidates[index].id => {
                        let model = &route.candidates[index];
                        let listed = if targets
                            .get(model.name())
                            .is_some_and(|other| other.route == target.route && other.candidate == target.candidate)
                        {
                            model.name()
                        } else {
                            &model.id
                        };
                        let pool = model.id.len() - model.name().len();
                        Some((listed.to_owned(), model.id[..pool].trim_end_matches('/').to_owned()))
                    }
                    Some(_) => None,
                }
            })
            .collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests;
