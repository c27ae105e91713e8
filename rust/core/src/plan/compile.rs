//! From a plan source to a plan, or to all its problems at once, each with a path.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    CAPABILITIES, DIALECTS, Model, Plan, Route, When,
    source::{Constraints, From, ModelSource, PlanSource, RouteSource, SCHEMA, SecondTierSource},
    targets::{Conflict, Targets},
};
use crate::{
    digest,
    error::{excerpt, unknown},
    objective::ObjectiveSpec,
    policy,
    predict::{Predictor, Profile, SecondTier},
    strategy,
};

/// Loaded predictors by digest.
pub type Predictors = BTreeMap<String, Arc<Predictor>>;

/// The source's profiles by key.
type Profiles<'a> = HashMap<&'a str, Arc<Profile>>;

/// Whether a problem refuses the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plan is refused.
    Error,
    /// The plan is taken, without the part the problem names.
    Warning,
}

/// One thing that is wrong with a plan source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable snake_case name.
    pub code: &'static str,
    /// Whether it refuses the plan.
    pub severity: Severity,
    /// JSON path into the plan source.
    pub path: String,
    /// What is wrong, as a sentence.
    pub message: String,
    /// Accepted values, where they are a closed set.
    pub accepted: Vec<String>,
}

impl Problem {
    fn new(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, path: path.into(), message: message.into(), accepted: Vec::new() }
    }

    fn unknown(path: impl Into<String>, what: &str, found: &str, known: &[&str]) -> Self {
        Self {
            accepted: known.iter().map(|&name| name.to_owned()).collect(),
            ..Self::new("unknown_name", path, unknown(what, found, known))
        }
    }
}

/// A plan and what was left out of it.
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Problems of severity `Warning`.
    pub warnings: Vec<Problem>,
}

/// Compiles a plan source from its JSON.
///
/// # Errors
/// Every problem, of which at least one is of severity `Error`.
pub fn compile(json: &[u8], predictors: &Predictors) -> Result<Compiled, Vec<Problem>> {
    let source = read(json).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let profiles = source.profiles.iter().map(|(key, profile)| (key.as_str(), Arc::new(profile.clone()))).collect();
    let models = compile_models(&source.models, &profiles, &mut problems);
    let by_id: HashMap<&str, &Arc<Model>> = models.iter().map(|model| (&*model.id, model)).collect();
    let mut routes = Vec::new();
    let mut ids = BTreeSet::new();
    for (index, route) in source.routes.iter().enumerate() {
        let path = format!("routes[{index}]");
        if !ids.insert(&route.id) {
            problems.push(Problem::new("duplicate", format!("{path}.id"), format!("two routes are called `{}`", route.id)));
        }
        if let Some(route) = compile_route(route, &path, &by_id, &profiles, predictors, &mut problems) {
            routes.push(Arc::new(route));
        }
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    // Every route of the source is there, so the places in the conflicts are those of the source.
    let (targets, conflicts) = Targets::new(&routes);
    problems.extend(conflicts.into_iter().map(conflicted));
    Ok(Compiled { plan: Plan { id: id(&source).into(), models, routes, targets }, warnings: problems })
}

fn conflicted(Conflict { route, alias, message }: Conflict) -> Problem {
    Problem { severity: Severity::Warning, ..Problem::new("conflicted", format!("routes[{route}].aliases[{alias}]"), message) }
}

/// Reads a plan source of this core's schema from its JSON.
///
/// # Errors
/// `unknown_name` for another schema; `unreadable` with the place for anything else.
pub fn read(json: &[u8]) -> Result<PlanSource, Problem> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let parsed = serde_json::from_slice::<PlanSource>(json);
    // Of a plan of another schema, its number says more than its first strange field.
    let schema = match &parsed {
        Ok(source) => Some(source.schema.clone()),
        Err(_) => serde_json::from_slice(json).ok().map(|Head { schema }| schema),
    };
    match schema {
        Some(schema) if schema != SCHEMA => Err(Problem::unknown("schema", "schema", &schema, &[SCHEMA])),
        _ => parsed.map_err(|error| Problem::new("unreadable", "", format!("the plan source cannot be read: {error}"))),
    }
}

/// `sha256:` of a plan source, whether it compiles or not. Of its canonical JSON, hence independent of white space and of the order
/// of keys.
#[must_use]
pub fn id(source: &PlanSource) -> String {
    // Maps with keys of strings and finite or null numbers: nothing in a plan source fails to be written.
    digest::sha256(&serde_json::to_vec(source).unwrap_or_default())
}

fn compile_models(sources: &[ModelSource], profiles: &Profiles<'_>, problems: &mut Vec<Problem>) -> Vec<Arc<Model>> {
    let mut ids = BTreeSet::new();
    sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let path = format!("models[{index}]");
            if source.id.splitn(3, '/').filter(|part| !part.is_empty()).count() != 3 {
                problems.push(Problem::new("invalid_id", format!("{path}.id"), format!("`{}` is not `namespace/pool/name`", source.id)));
            }
            if !ids.insert(&source.id) {
                problems.push(Problem::new("duplicate", format!("{path}.id"), format!("two models are called `{}`", source.id)));
            }
            check_model(source, &path, problems);
            let profile = profile(&source.profile, || format!("{path}.profile"), profiles, problems);
            Arc::new(Model {
                id: source.id.as_str().into(),
                upstream: source.upstream.clone(),
                price: source.price,
                limits: source.limits,
                tools: source.capabilities.iter().any(|name| name == "tools"),
                json: source.capabilities.iter().any(|name| name == "json"),
                labels: source.labels.clone(),
                // The plan is refused already; an average profile lets the rest be checked.
                profile: profile.unwrap_or_else(|| Arc::new(Profile::prior(0.0))),
                first_token_ms: source.latency.first_token_ms,
                output_tokens_per_second: source.latency.output_tokens_per_second,
            })
        })
        .collect()
}

fn profile(key: &str, path: impl FnOnce() -> String, profiles: &Profiles<'_>, problems: &mut Vec<Problem>) -> Option<Arc<Profile>> {
    let found = profiles.get(key).cloned();
    if found.is_none() {
        problems.push(Problem::new("missing_profile", path(), format!("the plan has no profile `{}`", excerpt(key))));
    }
    found
}

fn check_model(source: &ModelSource, path: &str, problems: &mut Vec<Problem>) {
    let url = &source.upstream.url;
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).map(|rest| rest.split('/').next().unwrap_or(""));
    if host.is_none_or(str::is_empty) || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        problems.push(Problem::new(
            "invalid_url",
            format!("{path}.upstream.url"),
            format!("`{url}` is not an http or https URL with a host"),
        ));
    }
    if !DIALECTS.contains(&source.upstream.dialect.as_str()) {
        problems.push(Problem::unknown(format!("{path}.upstream.dialect"), "dialect", &source.upstream.dialect, DIALECTS));
    }
    for (at, name) in source.capabilities.iter().enumerate() {
        if !CAPABILITIES.contains(&name.as_str()) {
            problems.push(Problem::unknown(format!("{path}.capabilities[{at}]"), "capability", name, CAPABILITIES));
        }
    }
    let price = &source.price;
    for (field, value) in [
        ("input_nanousd_per_million", price.input_nanousd_per_million),
        ("output_nanousd_per_million", price.output_nanousd_per_million),
        ("cached_input_nanousd_per_million", price.cached_input_nanousd_per_million.unwrap_or(0)),
    ] {
        if value < 0 {
            problems.push(Problem::new("invalid_price", format!("{path}.price.{field}"), "a price is not negative"));
        }
    }
    for (field, value) in [
        ("context_tokens", source.limits.context_tokens),
        ("output_tokens", source.limits.output_tokens),
        ("concurrent_requests", source.limits.concurrent_requests.unwrap_or(1)),
    ] {
        if value == 0 {
            problems.push(Problem::new("invalid_limit", format!("{path}.limits.{field}"), "a limit is at least 1"));
        }
    }
    if source.latency.first_token_ms.is_some_and(|value| !(value.is_finite() && value >= 0.0)) {
        problems.push(Problem::new(
            "invalid_latency",
            format!("{path}.latency.first_token_ms"),
            "a latency is a number of milliseconds, at least 0",
        ));
    }
    if source.latency.output_tokens_per_second.is_some_and(|value| !(value.is_finite() && value > 0.0)) {
        problems.push(Problem::new(
            "invalid_latency",
            format!("{path}.latency.output_tokens_per_second"),
            "a speed is a positive number of tokens per second",
        ));
    }
}

fn compile_route(
    source: &RouteSource,
    path: &str,
    models: &HashMap<&str, &Arc<Model>>,
    profiles: &Profiles<'_>,
    predictors: &Predictors,
    problems: &mut Vec<Problem>,
) -> Option<Route> {
    if source.id.split('/').filter(|part| !part.is_empty()).count() != 2 {
        problems.push(Problem::new("invalid_id", format!("{path}.id"), format!("`{}` is not `namespace/policy`", source.id)));
    }
    let mut candidates = Vec::with_capacity(source.candidates.len());
    let mut seen = BTreeSet::new();
    for (index, id) in source.candidates.iter().enumerate() {
        match models.get(id.as_str()) {
            Some(_) if !seen.insert(id) => {
                problems.push(Problem::new("duplicate", format!("{path}.candidates[{index}]"), format!("`{id}` is a candidate twice")))
            }
            Some(model) => candidates.push(candidate(model, source, path, profiles, problems)),
            None => {
                let known: Vec<&str> = models.keys().copied().collect();
                problems.push(Problem::unknown(format!("{path}.candidates[{index}]"), "model", id, &known));
            }
        }
    }
    if source.candidates.is_empty() {
        problems.push(Problem::new("no_candidate", format!("{path}.candidates"), "a route needs at least one candidate"));
    }
    for id in source.profiles.keys().filter(|id| !source.candidates.contains(id)) {
        let known: Vec<&str> = source.candidates.iter().map(String::as_str).collect();
        problems.push(Problem::unknown(format!("{path}.profiles.{id}"), "candidate", id, &known));
    }
    if source.callers.from != From::Listed && !source.callers.namespaces.is_empty() {
        problems.push(Problem::new(
            "invalid_callers",
            format!("{path}.callers.namespaces"),
            "namespaces are listed only where `from` is `listed`",
        ));
    }
    for (index, alias) in source.aliases.iter().enumerate() {
        if alias.is_empty() {
            problems.push(Problem::new("invalid_alias", format!("{path}.aliases[{index}]"), "an alias is not empty"));
        }
    }
    let predictor = predictors.get(&source.predictor);
    match predictor {
        None => problems.push(Problem::new(
            "missing_predictor",
            format!("{path}.predictor"),
            format!("no predictor `{}` is loaded", source.predictor),
        )),
        Some(predictor) => {
            for model in &candidates {
                for (field, message) in model.profile.problems(predictor.dimensions()) {
                    problems.push(Problem::new(
                        "profile_mismatch",
                        format!("{path}.candidates"),
                        format!("the profile of `{}` does not fit the predictor: `{field}` {message}", model.id),
                    ));
                }
            }
        }
    }
    let second_tier = source.second_tier.as_ref().and_then(|tier| second_tier(tier, &source.candidates, path, predictors, problems));
    check_constraints(&source.constraints, path, problems);
    for (field, value) in [
        ("request_ms", source.timeouts.request_ms),
        ("first_token_ms", source.timeouts.first_token_ms),
        ("stream_idle_ms", source.timeouts.stream_idle_ms),
    ] {
        if value == 0 {
            problems.push(Problem::new("invalid_timeout", format!("{path}.timeouts.{field}"), "a timeout is at least 1 ms"));
        }
    }
    let when = source.when.as_deref().map(When::compile).transpose();
    let when = when.unwrap_or_else(|refusal| {
        problems
            .push(Problem { accepted: refusal.accepted, ..Problem::new("invalid_expression", format!("{path}.when"), refusal.message) });
        None
    });
    let strategy = strategy::build(&source.strategy, &candidates)
        .map_err(|refusal| {
            problems.push(Problem {
                accepted: refusal.accepted,
                ..Problem::new("invalid_strategy", format!("{path}.strategy{}", refusal.path), refusal.message)
            });
        })
        .ok()?;
    let predictor = Arc::clone(predictor?);
    Some(Route {
        id: source.id.as_str().into(),
        aliases: source.aliases.clone(),
        when,
        callers: source.callers.clone(),
        baseline: baseline(&candidates),
        candidates,
        predictor,
        second_tier: second_tier.map(Arc::new),
        policies: policy::build(&source.constraints, &source.timeouts),
        objective: ObjectiveSpec::new(&source.constraints, strategy.as_ref()),
        strategy,
        timeouts: source.timeouts,
        retry_attempts: source.retry_attempts,
    })
}

/// A model as one route sees it: with the profile that the route's predictor reads.
fn candidate(model: &Arc<Model>, route: &RouteSource, path: &str, profiles: &Profiles<'_>, problems: &mut Vec<Problem>) -> Arc<Model> {
    let Some(key) = route.profiles.get(&*model.id) else { return Arc::clone(model) };
    match profile(key, || format!("{path}.profiles.{}", model.id), profiles, problems) {
        Some(profile) => Arc::new(Model { profile, ..Model::clone(model) }),
        None => Arc::clone(model),
    }
}

fn second_tier(
    source: &SecondTierSource,
    candidates: &[String],
    route: &str,
    predictors: &Predictors,
    problems: &mut Vec<Problem>,
) -> Option<SecondTier> {
    let path = format!("{route}.second_tier");
    let invalid = |field: &str, message: String| Problem::new("invalid_second_tier", format!("{path}.{field}"), message);
    for (field, value) in [("ambiguity", source.ambiguity), ("weight", source.weight)] {
        if !(0.0..=1.0).contains(&value) {
            problems.push(invalid(field, format!("{value} does not lie in [0, 1]")));
        }
    }
    for id in source.columns.keys().filter(|id| !candidates.contains(id)) {
        let known: Vec<&str> = candidates.iter().map(String::as_str).collect();
        problems.push(Problem::unknown(format!("{path}.columns.{id}"), "candidate", id, &known));
    }
    let Some(predictor) = predictors.get(&source.predictor) else {
        let message = format!("no predictor `{}` is loaded", source.predictor);
        problems.push(Problem::new("missing_predictor", format!("{path}.predictor"), message));
        return None;
    };
    let width = predictor.dimensions().quality;
    if width == 0 {
        let message =
            format!("`{}` has no columns: a second tier is a graph of a user's own, with the quality of each model", source.predictor);
        problems.push(invalid("predictor", message));
    } else if source.columns.is_empty() {
        problems.push(invalid("columns", "no candidate has a column: it could say nothing of any call".to_owned()));
    }
    for (id, column) in source.columns.iter().filter(|(_, column)| width > 0 && **column >= width) {
        problems.push(invalid(&format!("columns.{id}"), format!("is {column}; the graph has columns 0 to {}", width - 1)));
    }
    Some(SecondTier {
        predictor: Arc::clone(predictor),
        ambiguity: source.ambiguity,
        weight: source.weight,
        purpose: source.purpose,
        columns: candidates.iter().map(|id| source.columns.get(id).copied()).collect(),
    })
}

fn baseline(candidates: &[Arc<Model>]) -> usize {
    let key = |model: &Model| (model.profile.logit(), model.price.output_nanousd_per_million);
    let best = |a: &(usize, &Arc<Model>), b: &(usize, &Arc<Model>)| {
        let ((a_logit, a_price), (b_logit, b_price)) = (key(a.1), key(b.1));
        a_logit.total_cmp(&b_logit).then(a_price.cmp(&b_price))
    };
    candidates.iter().enumerate().max_by(best).map_or(0, |(index, _)| index)
}

fn check_constraints(constraints: &Constraints, path: &str, problems: &mut Vec<Problem>) {
    let path = format!("{path}.constraints");
    if constraints.min_quality.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        problems.push(Problem::new("invalid_constraint", format!("{path}.min_quality"), "a quality lies in [0, 1]"));
    }
    if constraints.max_request_nanousd.is_some_and(|value| value < 0) {
        problems.push(Problem::new("invalid_constraint", format!("{path}.max_request_nanousd"), "a cap is not negative"));
    }
    if constraints.first_token_ms.is_some_and(|value| !(value.is_finite() && value > 0.0)) {
        problems.push(Problem::new(
            "invalid_constraint",
            format!("{path}.first_token_ms"),
            "a deadline is a positive number of milliseconds",
        ));
    }
}
