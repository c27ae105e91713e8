//! A plan source for one reader: in a schema that it knows, and no more of it than it may see. Pure.
//!
//! Data planes live for months, so two schemas before this core's are still written. Their structs here are frozen: the bytes must
//! stay those whose digest an old data plane acknowledges. A condition that a schema cannot say takes its route along.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    namespace, short_name,
    source::{Constraints, From, Limits, ModelSource, PlanSource, RouteSource, Timeouts, Upstream},
    targets::covers,
};
use crate::{digest, money::Price, predict::Profile, strategy};

/// The oldest schema that is written.
pub const OLDEST: u32 = 1;
/// The schema of [`PlanSource`].
pub const CURRENT: u32 = 3;

/// Name of the credential that is the data plane's own token.
pub const POD: &str = "@pod";

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A gateway: everything.
    Gateway,
    /// A sidecar.
    Sidecar {
        /// The namespace whose routes it serves.
        namespace: String,
        /// Base URL of the gateway that calls other namespaces' models for it; without one it has none of them.
        hop: Option<String>,
    },
}

/// A plan source as one reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its canonical JSON.
    pub json: Vec<u8>,
    /// What the reader calls it once it serves it.
    pub id: String,
    /// Features of the plan that this reader goes without.
    pub lacks: Vec<&'static str>,
}

/// Renders a plan source that compiles. Of a schema beyond those that are written, the nearest is.
#[must_use]
pub fn render(source: &PlanSource, schema: u32, scope: &Scope) -> Rendered {
    let schema = schema.clamp(OLDEST, CURRENT);
    let everything = *scope == Scope::Gateway;
    if everything && schema == CURRENT {
        return rendered(source, BTreeSet::new());
    }
    let mut lacks = BTreeSet::new();
    // Where a route is left out, what it has does not fall to those that have lost it to that one.
    let lost = lost_aliases(source);
    let by_id: HashMap<&str, &ModelSource> = source.models.iter().map(|model| (model.id.as_str(), model)).collect();
    let routes: Vec<RouteSource> = source
        .routes
        .iter()
        .filter(|route| scope.serves(route))
        .filter_map(|route| {
            let route = reachable(without_lost(route, &lost)?, scope, &mut lacks)?;
            if schema == CURRENT {
                return Some(route);
            }
            let route = without_second_tier(without_own_graph(route, source, &by_id, &mut lacks)?, &mut lacks);
            without_conditions(route, schema, &by_id, &mut lacks)
        })
        .collect();
    let named: BTreeSet<&str> = routes.iter().flat_map(|route| &route.candidates).map(String::as_str).collect();
    let mut models: Vec<Cow<'_, ModelSource>> =
        source.models.iter().filter(|model| everything || named.contains(model.id.as_str())).map(|model| scope.sees(model)).collect();
    if schema < CURRENT && models.iter().any(|model| model.latency.output_tokens_per_second.is_some()) {
        lacks.insert("output_tokens_per_second");
        models.iter_mut().for_each(|model| model.to_mut().latency.output_tokens_per_second = None);
    }
    let known = if schema < CURRENT { Cow::Owned(without_columns(&source.profiles)) } else { Cow::Borrowed(&source.profiles) };
    write(&known, &models, routes, schema, lacks)
}

/// Profiles of models that other routes may have too; no route is left that reads a column.
fn without_columns(profiles: &BTreeMap<String, Profile>) -> BTreeMap<String, Profile> {
    profiles.iter().map(|(key, profile)| (key.clone(), Profile { column: None, ..profile.clone() })).collect()
}

/// The canonical JSON of a plan, whose digest is its id: of this core's schema, the one that `compile` gives.
fn rendered(plan: &impl Serialize, lacks: BTreeSet<&'static str>) -> Rendered {
    // Maps with keys of strings and finite or null numbers: nothing in a plan source fails to be written.
    let json = serde_json::to_vec(plan).unwrap_or_default();
    Rendered { id: digest::sha256(&json), json, lacks: lacks.into_iter().collect() }
}

impl Scope {
    fn serves(&self, route: &RouteSource) -> bool {
        match self {
            Self::Gateway => true,
            Self::Sidecar { namespace: own, .. } => namespace(&route.id) == own,
        }
    }

    /// Whether the reader can have a model called.
    fn reaches(&self, model: &str) -> bool {
        match self {
            Self::Gateway | Self::Sidecar { hop: Some(_), .. } => true,
            Self::Sidecar { namespace: own, hop: None } => namespace(model) == own,
        }
    }

    /// The model as the reader calls it: another namespace's through a gateway, which adds the key.
    fn sees<'m>(&self, model: &'m ModelSource) -> Cow<'m, ModelSource> {
        match self {
            Self::Sidecar { namespace: own, hop: Some(hop) } if namespace(&model.id) != own => Cow::Owned(ModelSource {
                upstream: Upstream {
                    url: hop.clone(),
                    dialect: "openai".to_owned(),
                    model: model.id.clone(),
                    credential: Some(POD.to_owned()),
                },
                ..model.clone()
            }),
            _ => Cow::Borrowed(model),
        }
    }
}

/// The route with the aliases that it has; `None` where it has lost them all, for then it takes no call.
fn without_lost(route: &RouteSource, lost: &HashMap<String, BTreeSet<String>>) -> Option<RouteSource> {
    let mut route = route.clone();
    let Some(lost) = lost.get(&route.id) else { return Some(route) };
    route.aliases.retain(|alias| !lost.contains(alias));
    (!route.aliases.is_empty()).then_some(route)
}

/// The route with the candidates that the reader reaches; `None` where nothing is left to choose from.
fn reachable(mut route: RouteSource, scope: &Scope, lacks: &mut BTreeSet<&'static str>) -> Option<RouteSource> {
    if route.candidates.iter().all(|id| scope.reaches(id)) {
        return Some(route);
    }
    lacks.insert("hop");
    // A strategy means the first candidate of a name, whether it can be reached or not.
    let reached = |name: &str| {
        let meant = route.candidates.iter().find(|id| *id == name || short_name(id) == name);
        meant.is_some_and(|id| scope.reaches(id))
    };
    strategy::narrow(&mut route.strategy, &reached).then_some(())?;
    route.candidates.retain(|id| scope.reaches(id));
    route.profiles.retain(|id, _| scope.reaches(id));
    route.second_tier = route.second_tier.and_then(|tier| tier.reduced(&|id| scope.reaches(id)));
    (!route.candidates.is_empty()).then_some(route)
}

/// The route where its predictor is one that an older data plane runs; else it takes no call.
fn without_own_graph(
    route: RouteSource,
    source: &PlanSource,
    models: &HashMap<&str, &ModelSource>,
    lacks: &mut BTreeSet<&'static str>,
) -> Option<RouteSource> {
    let key = |id: &String| route.profiles.get(id).or_else(|| models.get(id.as_str()).map(|model| &model.profile));
    let own = route.candidates.iter().filter_map(key).filter_map(|key| source.profiles.get(key)).any(|profile| profile.column.is_some());
    lacks.extend(own.then_some("own_graph"));
    (!own).then_some(route)
}

/// The route decided by its first tier alone, as an older data plane does.
fn without_second_tier(route: RouteSource, lacks: &mut BTreeSet<&'static str>) -> RouteSource {
    lacks.extend(route.second_tier.is_some().then_some("second_tier"));
    RouteSource { second_tier: None, ..route }
}

/// The route where an older schema can say all that it asks of a call; else it takes none.
fn without_conditions(
    mut route: RouteSource,
    schema: u32,
    models: &HashMap<&str, &ModelSource>,
    lacks: &mut BTreeSet<&'static str>,
) -> Option<RouteSource> {
    let (when, callers) = (route.when.is_some(), route.callers.from != From::Same);
    lacks.extend(when.then_some("when"));
    lacks.extend(callers.then_some("callers"));
    if when || callers {
        return None;
    }
    route.profiles.retain(|id, key| models.get(id.as_str()).is_some_and(|model| model.profile != *key));
    if schema == 1 && !route.profiles.is_empty() {
        lacks.insert("profiles");
        return None;
    }
    Some(route)
}

/// By route: the aliases that an earlier one takes every call of.
fn lost_aliases(source: &PlanSource) -> HashMap<String, BTreeSet<String>> {
    let mut holders: HashMap<(&str, &str), Vec<&RouteSource>> = HashMap::new();
    let mut lost: HashMap<String, BTreeSet<String>> = HashMap::new();
    for route in &source.routes {
        for alias in &route.aliases {
            let holders = holders.entry((namespace(&route.id), alias)).or_default();
            let conditions = (route.when.as_deref(), &route.callers);
            if holders.iter().any(|holder| covers((holder.when.as_deref(), &holder.callers), conditions)) {
                lost.entry(route.id.clone()).or_default().insert(alias.clone());
            } else {
                holders.push(route);
            }
        }
    }
    lost
}

/// With the profiles that are read.
fn write(
    profiles: &BTreeMap<String, Profile>,
    models: &[Cow<'_, ModelSource>],
    routes: Vec<RouteSource>,
    schema: u32,
    lacks: BTreeSet<&'static str>,
) -> Rendered {
    let overriding = routes.iter().flat_map(|route| route.profiles.values());
    let read: BTreeSet<&String> = models.iter().map(|model| &model.profile).chain(overriding).collect();
    let read = profiles.iter().filter(|(key, _)| read.contains(key));
    let schema_name = format!("tradewind.plan/v{schema}");
    if schema == CURRENT {
        let profiles = read.map(|(key, profile)| (key.clone(), profile.clone())).collect();
        let models = models.iter().map(|model| model.as_ref().clone()).collect();
        return rendered(&PlanSource { schema: schema_name, profiles, models, routes }, lacks);
    }
    let old = OldPlan {
        schema: &schema_name,
        profiles: (schema > 1).then(|| read.collect()),
        models: models.iter().filter_map(|model| OldModel::of(model, profiles, schema)).collect(),
        routes: routes.iter().map(OldRoute::of).collect(),
    };
    rendered(&old, lacks)
}

/// `tradewind.plan/v1` and `v2`, with the fields in the order of their structs: frozen.
#[derive(Serialize)]
struct OldPlan<'a> {
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<BTreeMap<&'a String, &'a Profile>>,
    models: Vec<OldModel<'a>>,
    routes: Vec<OldRoute<'a>>,
}

#[derive(Serialize)]
struct OldModel<'a> {
    id: &'a str,
    upstream: &'a Upstream,
    price: &'a Price,
    limits: &'a Limits,
    capabilities: &'a [String],
    labels: &'a BTreeMap<String, String>,
    profile: OldProfile<'a>,
    latency: OldLatency,
}

/// Version 1 has it inline, 2 its key.
#[derive(Serialize)]
#[serde(untagged)]
enum OldProfile<'a> {
    Inline(&'a Profile),
    Key(&'a str),
}

#[derive(Serialize)]
struct OldLatency {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f32>,
}

#[derive(Serialize)]
struct OldRoute<'a> {
    id: &'a str,
    aliases: &'a [String],
    predictor: &'a str,
    candidates: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    profiles: &'a BTreeMap<String, String>,
    strategy: &'a Map<String, Value>,
    constraints: &'a Constraints,
    timeouts: Timeouts,
    retry_attempts: u32,
}

impl<'a> OldModel<'a> {
    fn of(model: &'a ModelSource, profiles: &'a BTreeMap<String, Profile>, schema: u32) -> Option<Self> {
        let profile = match schema {
            1 => OldProfile::Inline(profiles.get(&model.profile)?),
            _ => OldProfile::Key(&model.profile),
        };
        Some(Self {
            id: &model.id,
            upstream: &model.upstream,
            price: &model.price,
            limits: &model.limits,
            capabilities: &model.capabilities,
            labels: &model.labels,
            profile,
            latency: OldLatency { first_token_ms: model.latency.first_token_ms },
        })
    }
}

impl<'a> OldRoute<'a> {
    fn of(route: &'a RouteSource) -> Self {
        Self {
            id: &route.id,
            aliases: &route.aliases,
            predictor: &route.predictor,
            candidates: &route.candidates,
            profiles: &route.profiles,
            strategy: &route.strategy,
            constraints: &route.constraints,
            timeouts: route.timeouts,
            retry_attempts: route.retry_attempts,
        }
    }
}

#[cfg(test)]
mod tests;
