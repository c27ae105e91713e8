//! A plan: compiled routing. In memory it is always valid.

mod asked;
mod compile;
mod render;
pub mod source;
mod targets;
mod when;

use std::{collections::BTreeMap, sync::Arc};

use self::targets::Targets;
pub use self::{
    asked::{Asked, Details, Fields, MAX_ENTRIES, MAX_TEXT, cut},
    compile::{Compiled, Predictors, Problem, Severity, compile, id, read},
    render::{CURRENT, OLDEST, POD, Rendered, Scope, render},
    source::{Callers, Limits, PlanSource, Timeouts, Upstream},
    when::{Variables, When},
};
use crate::{
    call::Call,
    error::Error,
    money::Price,
    objective::ObjectiveSpec,
    parse::Request,
    policy::Policy,
    predict::{Predictor, Profile, SecondTier},
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
    /// The calls it takes; `None` for all.
    pub when: Option<When>,
    /// Whose calls it takes.
    pub callers: Callers,
    /// Candidates, in the order of the source.
    pub candidates: Vec<Arc<Model>>,
    /// Index of the candidate that always-best would call: the best quality at difficulty 0, then the dearest.
    pub baseline: usize,
    /// Forecasts them.
    pub predictor: Arc<Predictor>,
    /// Asked about the ambiguous few.
    pub second_tier: Option<Arc<SecondTier>>,
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
    /// Details that conditions have read to find it.
    pub read: Fields,
}

impl RouteView<'_> {
    /// The second tier, where there is something to choose.
    pub(crate) fn second_tier(&self) -> Option<&Arc<SecondTier>> {
        self.route.second_tier.as_ref().filter(|_| !self.named)
    }
}

impl Route {
    /// The namespace of the route.
    #[must_use]
    pub fn namespace(&self) -> &str {
        namespace(&self.id)
    }

    /// Whether it takes calls of a tenant.
    #[must_use]
    pub fn admits(&self, tenant: &str) -> bool {
        self.namespace() == tenant || self.callers.admit(tenant)
    }
}

fn namespace(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

/// Compiled routing.
pub struct Plan {
    id: Arc<str>,
    models: Vec<Arc<Model>>,
    routes: Vec<Arc<Route>>,
    targets: Targets,
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
    /// As [`Plan::find`].
    pub fn route<'p>(&'p self, call: &Call<'_>, request: &Request<'_>) -> Result<RouteView<'p>, Error> {
        self.find(&Asked {
            namespace: call.namespace,
            identity: call.identity,
            model: &request.model,
            facts: &request.facts,
            details: request,
        })
    }

    /// [`Plan::route`] by what it looks at.
    ///
    /// # Errors
    /// `forbidden` where the namespace's routes do not admit the caller; `model_not_found`, listing what the caller may ask for;
    /// `no_route` where the conditions of all that are asked for decline.
    pub fn find<'p>(&'p self, asked: &Asked<'_>) -> Result<RouteView<'p>, Error> {
        self.targets.find(&self.routes, asked)
    }

    /// What a tenant may ask a namespace for, sorted: (name, owner), where the owner is the route of an alias or the pool of a model.
    ///
    /// # Errors
    /// `forbidden` where the namespace's routes do not admit the tenant.
    pub fn names(&self, namespace: &str, tenant: &str) -> Result<Vec<(String, String)>, Error> {
        self.targets.names(&self.routes, namespace, tenant)
    }
}

#[cfg(test)]
mod tests;
