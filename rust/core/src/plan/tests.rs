//! Compiling: all problems at once, each with a path; and who may ask for what.

use serde_json::{Value, json};

use super::{Asked, Plan};
use crate::{Call, Code, Dials, Error, Identity, fixture, parse};

/// The route, how many candidates it has, and whether a model was named.
fn find(plan: &Plan, namespace: &str, identity: &Identity, model: &str) -> Result<(String, usize, bool), Error> {
    let body = fixture::body("");
    let request = parse::request(&Call::new(body.as_bytes(), identity, Dials::default())).unwrap();
    let asked = Asked { namespace, identity, model, facts: &request.facts, details: &request };
    plan.find(&asked).map(|view| (view.route.id.to_string(), view.candidates.len(), view.named))
}

#[test]
fn all_problems_come_at_once_with_their_paths() {
    let mut source = fixture::source();
    source["models"][0]["upstream"]["url"] = json!("ftp://x");
    source["models"][1]["upstream"]["dialect"] = json!("klingon");
    source["models"][1]["id"] = json!("a/pool/cheap");
    source["models"][2]["capabilities"] = json!(["telepathy"]);
    source["models"][2]["price"]["input_nanousd_per_million"] = json!(-1);
    source["routes"][0]["candidates"] = json!(["a/pool/cheap", "a/pool/none"]);
    source["routes"][0]["constraints"] = json!({"min_quality": 1.5});
    source["routes"][0]["predictor"] = json!("sha256:0");
    let problems = fixture::compile(&source).err().unwrap();
    let found: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "models[0].upstream.url",
        "models[1].upstream.dialect",
        "models[1].id",
        "models[2].capabilities[0]",
        "models[2].price.input_nanousd_per_million",
        "routes[0].candidates[1]",
        "routes[0].constraints.min_quality",
        "routes[0].predictor",
    ] {
        assert!(found.contains(&path), "{path} not in {found:?}");
    }
}

#[test]
fn unknown_fields_and_other_schemas_are_refused() {
    for change in [
        (|s| s["routes"][0]["colour"] = json!("red")) as fn(&mut Value),
        |s| s["profiles"]["cheap"]["mood"] = json!(1),
        |s| s["schema"] = json!("tradewind.plan/v2"),
        |s| s["models"][0].as_object_mut().unwrap().remove("price").map_or((), drop),
    ] {
        let mut source = fixture::source();
        change(&mut source);
        assert!(fixture::compile(&source).is_err());
    }
}

#[test]
fn a_profile_of_another_predictor_is_refused() {
    let mut source = fixture::source();
    source["profiles"]["cheap"] = json!({"bias": 0.0, "latent": [1.0, 2.0, 3.0]});
    let problems = fixture::compile(&source).err().unwrap();
    assert_eq!(problems[0].code, "profile_mismatch");
}

#[test]
fn a_route_may_read_another_profile_of_a_model() {
    let mut source = fixture::source();
    source["routes"][0]["profiles"] = json!({"a/pool/cheap": "dear"});
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let logits: Vec<f32> = plan.routes()[0].candidates.iter().map(|model| model.profile.logit()).collect();
    assert_eq!((logits[0], plan.models()[0].profile.logit()), (logits[2], 0.0));
    source["routes"][0]["profiles"] = json!({"a/pool/cheap": "none", "a/pool/stranger": "dear"});
    source["models"][1]["profile"] = json!("nobody");
    let problems = fixture::compile(&source).err().unwrap();
    let found: Vec<(&str, &str)> = problems.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("missing_profile", "models[1].profile"),
            ("missing_profile", "routes[0].profiles.a/pool/cheap"),
            ("unknown_name", "routes[0].profiles.a/pool/stranger"),
        ]
    );
}

#[test]
fn the_id_names_the_content_and_not_its_spelling() {
    let source = fixture::source();
    let id = |json: &str| {
        let predictor = fixture::predictor();
        let predictors = super::Predictors::from([(predictor.digest().to_string(), predictor)]);
        super::compile(json.as_bytes(), &predictors).map_err(|problems| panic!("{problems:?}")).unwrap().plan.id().to_string()
    };
    assert_eq!(id(&source.to_string()), id(&serde_json::to_string_pretty(&source).unwrap()));
    let mut other = source.clone();
    other["models"][0]["price"]["input_nanousd_per_million"] = json!(1);
    assert_ne!(id(&source.to_string()), id(&other.to_string()));
}

#[test]
fn names_resolve_inside_the_callers_namespace_only() {
    let mut source = fixture::source();
    let mut other = source["routes"][0].clone();
    other["id"] = json!("b/other");
    other["candidates"] = json!(["a/pool/dear"]);
    source["routes"].as_array_mut().unwrap().push(other);
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let chosen = |tenant: &str, model: &str| find(&plan, tenant, &Identity::of(tenant), model);
    assert_eq!(chosen("a", "auto").unwrap(), ("a/default".to_owned(), 3, false));
    assert_eq!(chosen("b", "auto").unwrap(), ("b/other".to_owned(), 1, false));
    assert_eq!(chosen("a", "cheap").unwrap(), ("a/default".to_owned(), 1, true));
    assert_eq!(chosen("b", "a/pool/dear").unwrap(), ("b/other".to_owned(), 1, true));
    for (tenant, model) in [("b", "cheap"), ("c", "auto"), ("a", "nothing")] {
        assert_eq!(chosen(tenant, model).unwrap_err().code, Code::ModelNotFound);
    }
    let names: Vec<String> = plan.names("a", "a").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["auto", "cheap", "dear", "middle"]);
}

/// Compiles routes that are copies of the fixture's, each with an id and changes; gives the plan and its warnings.
fn routes(changes: &[(&str, Value)]) -> super::Compiled {
    let mut source = fixture::source();
    let route = source["routes"][0].clone();
    source["routes"] = changes
        .iter()
        .map(|(id, change)| {
            let mut route = route.clone();
            route["id"] = json!(id);
            change.as_object().unwrap().iter().for_each(|(key, value)| route[key] = value.clone());
            route
        })
        .collect();
    fixture::compile(&source).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn a_namespace_is_open_to_those_whom_one_of_its_routes_admits() {
    let plan = routes(&[
        ("a/own", json!({"candidates": ["a/pool/cheap"]})),
        ("a/listed", json!({"aliases": ["auto", "shared"], "callers": {"from": "listed", "namespaces": ["b"]}})),
        ("a/open", json!({"aliases": ["open"], "callers": {"from": "all"}, "candidates": ["a/pool/dear"]})),
        ("p/own", json!({})),
    ])
    .plan;
    let found = |namespace: &str, tenant: &str, model: &str| {
        find(&plan, namespace, &Identity::of(tenant), model).map(|found| found.0).map_err(|error| error.code)
    };
    for (namespace, tenant, model, expected) in [
        ("a", "a", "auto", Ok("a/own")),
        ("a", "b", "auto", Ok("a/listed")),
        ("a", "b", "shared", Ok("a/listed")),
        ("a", "a", "shared", Ok("a/listed")),
        ("a", "c", "open", Ok("a/open")),
        ("a", "a", "cheap", Ok("a/own")),
        ("a", "b", "cheap", Ok("a/listed")),
        ("a", "c", "a/pool/dear", Ok("a/open")),
        ("a", "c", "auto", Err(Code::ModelNotFound)),
        ("a", "c", "cheap", Err(Code::ModelNotFound)),
        ("p", "a", "auto", Err(Code::Forbidden)),
        ("none", "a", "auto", Err(Code::Forbidden)),
        ("none", "none", "auto", Err(Code::ModelNotFound)),
    ] {
        assert_eq!(found(namespace, tenant, model), expected.map(str::to_owned), "{tenant} asks {namespace} for {model}");
    }
    let names = |namespace, tenant| -> Vec<String> { plan.names(namespace, tenant).unwrap().into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names("a", "c"), ["dear", "open"]);
    assert_eq!(names("a", "b"), ["auto", "cheap", "dear", "middle", "open", "shared"]);
    assert_eq!(plan.names("p", "b").unwrap_err().code, Code::Forbidden);
}

#[test]
fn of_routes_with_one_alias_the_first_whose_condition_holds_takes_the_call() {
    let plan = routes(&[
        ("a/gold", json!({"when": "caller.labels.tier == \"gold\"", "candidates": ["a/pool/dear"]})),
        ("a/tools", json!({"when": "size(request.tools) > 0", "candidates": ["a/pool/middle"]})),
        ("a/stream", json!({"when": "request.stream", "aliases": ["live"]})),
    ])
    .plan;
    let mut gold = Identity::of("a");
    gold.labels.insert("tier".to_owned(), "gold".to_owned());
    assert_eq!(find(&plan, "a", &gold, "auto").unwrap().0, "a/gold");
    assert_eq!(find(&plan, "a", &gold, "dear").unwrap(), ("a/gold".to_owned(), 1, true));
    let error = find(&plan, "a", &Identity::of("a"), "auto").unwrap_err();
    assert_eq!((error.code, &*error.path), (Code::NoRoute, "model"));
    assert_eq!(error.message, "no policy takes this call for `auto`: the conditions of `a/gold`, `a/tools` do not hold");
    let named = find(&plan, "a", &Identity::of("a"), "middle").unwrap_err();
    assert!(named.code == Code::NoRoute && named.message.contains("`a/tools`, `a/stream` do"), "{named}");
}

#[test]
fn a_condition_that_is_wrong_refuses_the_plan_at_its_place() {
    let mut source = fixture::source();
    source["routes"][0]["when"] = json!("request.colour == \"red\"");
    let problems = fixture::compile(&source).err().unwrap();
    assert_eq!((problems[0].code, problems[0].path.as_str()), ("invalid_expression", "routes[0].when"));
    assert!(problems[0].accepted.contains(&"request.model".to_owned()));
}

#[test]
fn an_alias_is_lost_to_an_earlier_route_that_takes_every_call_of_the_later() {
    let holds = json!({"when": "request.stream"});
    let all = json!({"callers": {"from": "all"}});
    let listed = |names: &[&str]| json!({"callers": {"from": "listed", "namespaces": names}});
    for (earlier, later, lost) in [
        (json!({}), json!({}), true),
        (json!({}), holds.clone(), true),
        (holds.clone(), holds.clone(), true),
        (holds.clone(), json!({}), false),
        (holds.clone(), json!({"when": "request.json"}), false),
        (json!({}), all.clone(), false),
        (all.clone(), json!({}), true),
        (all.clone(), listed(&["b"]), true),
        (listed(&["b", "c"]), listed(&["b"]), true),
        (listed(&["b"]), listed(&["b", "c"]), false),
        (listed(&[]), json!({}), true),
    ] {
        let compiled = routes(&[("a/early", earlier.clone()), ("a/late", later.clone())]);
        let warnings: Vec<(&str, &str)> = compiled.warnings.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
        assert_eq!(warnings, if lost { vec![("conflicted", "routes[1].aliases[0]")] } else { vec![] }, "{earlier} {later}");
    }
    let compiled = routes(&[("a/early", json!({})), ("a/late", json!({})), ("b/other", json!({}))]);
    assert_eq!(compiled.warnings.len(), 1, "namespaces do not conflict");
    assert!(compiled.warnings[0].message.contains("already belongs to `a/early`"));
}

#[test]
fn a_route_that_lost_all_its_aliases_takes_no_call_by_name_either() {
    let late = |aliases: &[&str]| json!({"aliases": aliases, "candidates": ["a/pool/dear"]});
    let early = json!({"candidates": ["a/pool/cheap"]});
    let asks = |aliases: &[&str]| {
        let plan = routes(&[("a/early", early.clone()), ("a/late", late(aliases))]).plan;
        find(&plan, "a", &Identity::of("a"), "dear").map_err(|error| error.code).map(|found| found.0)
    };
    assert_eq!(asks(&["auto"]), Err(Code::ModelNotFound));
    assert_eq!(asks(&["auto", "late"]), Ok("a/late".to_owned()));
    assert_eq!(asks(&[]), Ok("a/late".to_owned()), "a route without aliases is there for its models' names");
}

#[test]
fn a_call_tries_so_many_conditions_and_no_more() {
    let source = fixture::source();
    let base = source["routes"][0].clone();
    let route = |index: usize, when: Option<&str>| {
        let mut route = base.clone();
        (route["id"], route["aliases"]) = (json!(format!("a/r{index}")), json!(["auto"]));
        if let Some(when) = when {
            route["when"] = json!(when);
        }
        route
    };
    let conditions = |holding: usize| {
        (0..100)
            .map(|index| route(index, Some(&format!("request.messages == {}", if index == holding { 1 } else { 100 + index }))))
            .collect()
    };
    let find_in = |routes: Vec<Value>| {
        let mut source = source.clone();
        source["routes"] = json!(routes);
        let plan = fixture::compile(&source).unwrap_or_else(|problems| panic!("{problems:?}")).plan;
        find(&plan, "a", &Identity::of("a"), "auto").map(|found| found.0)
    };
    assert_eq!(find_in(conditions(63)).unwrap(), "a/r63");
    let refused = find_in(conditions(64)).unwrap_err();
    assert!(refused.code == Code::NoRoute && refused.message.contains("of 36 more are not tried"), "{}", refused.message);
    // One without a condition takes the call all the same.
    let mut routes: Vec<Value> = conditions(64);
    routes.push(route(100, None));
    assert_eq!(find_in(routes).unwrap(), "a/r100");
}
