//! Which route takes a call: who may ask a namespace for what, in the order of the source.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Asked, Callers, Fields, Route, RouteView, Variables, When};
use crate::error::{Code, Error, excerpt, unknown};

/// Conditions that are tried for one call, at most: those of further routes do not hold.
pub const MAX_CONDITIONS: usize = 64;

/// By namespace.
#[derive(Default)]
pub struct Targets(HashMap<String, Namespace>);

#[derive(Default)]
struct Namespace {
    /// Indexes of its routes that take calls.
    routes: Vec<usize>,
    /// By what a caller may ask for.
    aliases: HashMap<String, Vec<Target>>,
    /// The same for models by name and by full id. A model's name never takes an alias.
    models: HashMap<String, Vec<Target>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Target {
    route: usize,
    /// Index among the route's candidates; `None` for an alias.
    candidate: Option<usize>,
}

/// An alias that a route has lost to an earlier one.
pub struct Conflict {
    /// Index of the route.
    pub route: usize,
    /// Index of the alias among the route's.
    pub alias: usize,
    /// Who has it.
    pub message: String,
}

impl Targets {
    /// Of routes in the order in which they are asked: assembly orders them by priority, age and name.
    pub fn new(routes: &[Arc<Route>]) -> (Self, Vec<Conflict>) {
        let (mut targets, mut conflicts) = (Self::default(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            let namespace = targets.0.entry(route.namespace().to_owned()).or_default();
            let lost = namespace.add_aliases(index, routes);
            // Whoever addresses it by its models' names would go round the route that has won.
            if route.aliases.is_empty() || lost.len() < route.aliases.len() {
                namespace.add_models(index, route);
            }
            conflicts.extend(lost);
        }
        (targets, conflicts)
    }

    /// Finds the route of a call.
    pub fn find<'p>(&self, routes: &'p [Arc<Route>], asked: &Asked<'_>) -> Result<RouteView<'p>, Error> {
        let namespace = self.namespace(routes, asked.namespace, &asked.identity.tenant)?;
        let mut search = Search { routes, asked, variables: Variables::new(asked), tried: 0, declined: Vec::new(), read: Fields::NONE };
        for names in namespace.iter().flat_map(|namespace| [&namespace.aliases, &namespace.models]) {
            if let Some(found) = search.first(names.get(asked.model).map_or(&[], Vec::as_slice))? {
                return Ok(found);
            }
            // Where an alias declines, a model of the same name is not what was asked for.
            if !search.declined.is_empty() {
                break;
            }
        }
        if search.declined.is_empty() {
            let known = namespace.map(|namespace| namespace.names(routes, &asked.identity.tenant)).unwrap_or_default();
            let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).take(20).collect();
            return Err(Error::new(Code::ModelNotFound, "model", unknown("model", asked.model, &known)));
        }
        Err(no_route(asked.model, &search.declined))
    }

    /// What a tenant may ask a namespace for.
    pub fn names(&self, routes: &[Arc<Route>], namespace: &str, tenant: &str) -> Result<Vec<(String, String)>, Error> {
        let namespace = self.namespace(routes, namespace, tenant)?;
        Ok(namespace.map(|namespace| namespace.names(routes, tenant)).unwrap_or_default())
    }

    /// The namespace, where it admits the tenant. Whether another one exists is not said.
    fn namespace(&self, routes: &[Arc<Route>], name: &str, tenant: &str) -> Result<Option<&Namespace>, Error> {
        let found = self.0.get(name);
        let admitted = name == tenant || found.is_some_and(|found| found.routes.iter().any(|&route| routes[route].admits(tenant)));
        match admitted {
            true => Ok(found),
            false => Err(Error::new(Code::Forbidden, "", format!("the policies of `{}` do not admit `{tenant}`", excerpt(name)))),
        }
    }
}

/// One call's way through the routes that may take it.
struct Search<'p, 'a> {
    routes: &'p [Arc<Route>],
    asked: &'a Asked<'a>,
    /// What conditions read, looked up once for all of them.
    variables: Variables<'a>,
    /// Conditions that were tried.
    tried: usize,
    /// Routes that admit the caller and whose conditions do not hold.
    declined: Vec<&'p str>,
    read: Fields,
}

impl<'p> Search<'p, '_> {
    fn first(&mut self, targets: &[Target]) -> Result<Option<RouteView<'p>>, Error> {
        for target in targets {
            let route: &'p Route = &self.routes[target.route];
            if !route.admits(&self.asked.identity.tenant) {
                continue;
            }
            if self.holds(route)? {
                let (candidates, named) = match target.candidate {
                    None => (&*route.candidates, false),
                    Some(index) => (&route.candidates[index..=index], true),
                };
                return Ok(Some(RouteView { route, candidates, named, read: self.read }));
            }
            self.declined.push(&route.id);
        }
        Ok(None)
    }

    fn holds(&mut self, route: &Route) -> Result<bool, Error> {
        let Some(when) = &route.when else { return Ok(true) };
        if self.tried == MAX_CONDITIONS {
            return Ok(false);
        }
        self.tried += 1;
        if !self.asked.details.known().hold(when.reads()) {
            let message = format!("the condition of `{}` reads what was not kept of this call", route.id);
            return Err(Error::new(Code::InvalidRequest, "capture.inputs", message));
        }
        self.read = self.read.and(when.reads());
        Ok(when.holds(&self.variables))
    }
}

impl Namespace {
    /// Adds the aliases that a route has; gives those it has lost.
    fn add_aliases(&mut self, index: usize, routes: &[Arc<Route>]) -> Vec<Conflict> {
        let route = &routes[index];
        let mut lost = Vec::new();
        for (place, alias) in route.aliases.iter().enumerate() {
            let holders = self.aliases.entry(alias.clone()).or_default();
            match holders.iter().find(|holder| covers(conditions(&routes[holder.route]), conditions(route))) {
                None => holders.push(Target { route: index, candidate: None }),
                Some(winner) => lost.push(Conflict {
                    route: index,
                    alias: place,
                    message: format!("alias `{alias}` of `{}` already belongs to `{}`", route.id, routes[winner.route].id),
                }),
            }
        }
        lost
    }

    fn add_models(&mut self, index: usize, route: &Route) {
        self.routes.push(index);
        for (candidate, model) in route.candidates.iter().enumerate() {
            let target = Target { route: index, candidate: Some(candidate) };
            for name in [&*model.id, model.name()] {
                self.models.entry(name.to_owned()).or_default().push(target);
            }
        }
    }

    /// Sorted: (name, owner), where the owner is the route of an alias or the pool of a model.
    fn names(&self, routes: &[Arc<Route>], tenant: &str) -> Vec<(String, String)> {
        let admitted = |targets: &[Target]| targets.iter().copied().find(|target| routes[target.route].admits(tenant));
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, targets) in &self.aliases {
            if let Some(target) = admitted(targets) {
                names.insert(name, &routes[target.route].id);
            }
        }
        for (name, targets) in &self.models {
            let Some(target) = admitted(targets) else { continue };
            let Some(model) = target.candidate.map(|index| &routes[target.route].candidates[index]) else { continue };
            // A model is listed by one name, the short one where that means it; its full id works too.
            if **name == *model.id {
                let short = self.models.get(model.name()).and_then(|targets| admitted(targets)) == Some(target);
                let listed = if short && !names.contains_key(model.name()) { model.name() } else { &model.id };
                let pool = &model.id[..model.id.len() - model.name().len()];
                names.entry(listed).or_insert(pool.trim_end_matches('/'));
            }
        }
        names.into_iter().map(|(name, owner)| (name.to_owned(), owner.to_owned())).collect()
    }
}

/// Whether an earlier route takes every call to an alias that a later one would take, by their conditions and callers.
pub fn covers(earlier: (Option<&str>, &Callers), later: (Option<&str>, &Callers)) -> bool {
    (earlier.0.is_none() || earlier.0 == later.0) && earlier.1.cover(later.1)
}

fn conditions(route: &Route) -> (Option<&str>, &Callers) {
    (route.when.as_ref().map(When::text), &route.callers)
}

fn no_route(model: &str, declined: &[&str]) -> Error {
    let policies = declined.iter().take(MAX_CONDITIONS).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let mut message = format!("no policy takes this call for `{}`: the conditions of {policies} do not hold", excerpt(model));
    if let more @ 1.. = declined.len().saturating_sub(MAX_CONDITIONS) {
        message += &format!(", and those of {more} more are not tried: a call tries {MAX_CONDITIONS}");
    }
    Error::new(Code::NoRoute, "model", message)
}
