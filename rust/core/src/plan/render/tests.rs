//! What each reader gets: golden renderings, byte for byte, and laws over any plan.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    Call, Dials, Identity, fixture, parse,
    plan::{self, Asked, Variables, When},
};

const SOURCE: &str = include_str!("golden/source.json");

fn source() -> PlanSource {
    plan::read(SOURCE.as_bytes()).unwrap_or_else(|problem| panic!("{problem:?}"))
}

fn sidecar(hop: Option<&str>) -> Scope {
    Scope::Sidecar { namespace: "a".to_owned(), hop: hop.map(str::to_owned) }
}

fn check(schema: u32, scope: &Scope, golden: &str, lacks: &[&str]) {
    let rendered = render(&source(), schema, scope);
    let found: Value = serde_json::from_slice(&rendered.json).unwrap();
    let golden: Value = serde_json::from_str(golden).unwrap();
    assert_eq!(found, golden["plan"], "version {schema}");
    // The id is over the bytes, so it holds their order and spelling too.
    assert_eq!(json!(rendered.id), golden["id"], "version {schema}");
    assert_eq!(rendered.lacks, lacks, "version {schema}");
}

#[test]
fn renderings_are_the_golden_ones_byte_for_byte() {
    let gateway = Scope::Gateway;
    check(1, &gateway, include_str!("golden/v1.json"), &["callers", "output_tokens_per_second", "profiles", "when"]);
    check(2, &gateway, include_str!("golden/v2.json"), &["callers", "output_tokens_per_second", "when"]);
    check(3, &gateway, include_str!("golden/v3.json"), &[]);
    check(3, &sidecar(Some("https://gateway.tradewind.svc:4000/v1")), include_str!("golden/sidecar.json"), &[]);
    check(3, &sidecar(None), include_str!("golden/alone.json"), &["hop"]);
}

#[test]
fn a_schema_beyond_those_that_are_written_gets_the_nearest() {
    let name = |schema| serde_json::from_slice::<Value>(&render(&source(), schema, &Scope::Gateway).json).unwrap()["schema"].clone();
    assert_eq!([name(0), name(9)], ["tradewind.plan/v1", "tradewind.plan/v3"]);
    assert_eq!(plan::source::SCHEMA, format!("tradewind.plan/v{CURRENT}"));
}

#[test]
fn an_older_reader_gets_no_route_of_a_users_own_graph() {
    let mut plan = fixture::source();
    plan["profiles"]["dear"]["column"] = json!(1);
    let source: PlanSource = serde_json::from_value(plan).unwrap();
    for schema in OLDEST..=CURRENT {
        let rendered = render(&source, schema, &Scope::Gateway);
        let json: Value = serde_json::from_slice(&rendered.json).unwrap();
        let (routes, models) = (json["routes"].as_array().unwrap().len(), json["models"].as_array().unwrap().len());
        let whole = schema == CURRENT;
        assert_eq!((routes, models), (usize::from(whole), 3), "version {schema}");
        assert_eq!(rendered.lacks.contains(&"own_graph"), !whole);
        assert_eq!(String::from_utf8(rendered.json).unwrap().contains("column"), whole);
    }
}

#[test]
fn a_sidecar_gets_no_other_namespaces_route_address_or_credential() {
    for schema in OLDEST..=CURRENT {
        for hop in [None, Some("https://gateway/v1")] {
            let json = String::from_utf8(render(&source(), schema, &sidecar(hop)).json).unwrap();
            for foreign in ["p/shared", "p/own", "dear.example.com", "p/keys", "p/chat/idle"] {
                assert!(!json.contains(foreign), "version {schema}, {hop:?}: {foreign}");
            }
            assert_eq!(json.contains(POD), hop.is_some(), "version {schema}");
        }
    }
}

#[test]
fn the_id_of_the_current_rendering_is_the_one_that_compiling_gives() {
    let source: PlanSource = serde_json::from_value(fixture::source()).unwrap();
    let rendered = render(&source, CURRENT, &Scope::Gateway);
    let compiled = fixture::compile(&serde_json::from_slice(&rendered.json).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(**compiled.plan.id(), *rendered.id);
    assert_eq!(plan::id(&source), rendered.id);
    let unused = self::source();
    assert_eq!(plan::id(&unused), render(&unused, CURRENT, &Scope::Gateway).id);
}

const WHENS: [Option<&str>; 3] = [None, Some("request.stream"), Some("request.json || caller.namespace == \"b\"")];

/// A plan of up to eight routes of two namespaces over the fixture's models, one of which belongs to another namespace.
fn plans() -> impl Strategy<Value = Value> {
    let callers = prop_oneof![
        Just(json!({})),
        Just(json!({"from": "all"})),
        Just(json!({"from": "listed", "namespaces": ["b"]})),
        Just(json!({"from": "listed"})),
    ];
    let aliases = prop::collection::btree_set(prop::sample::select(vec!["x", "y", "cheap"]), 0..3);
    let strategy = prop_oneof![
        Just(json!({"type": "best"})),
        Just(json!({"type": "pinned", "pinned": {"model": "dear"}})),
        Just(json!({"type": "weighted", "weighted": {"weights": {"cheap": 1, "dear": 0}}})),
    ];
    let dear_first = any::<bool>();
    let route = (prop::sample::select(vec!["a", "b"]), aliases, prop::sample::select(WHENS.to_vec()), callers, strategy, dear_first);
    prop::collection::vec(route, 1..8).prop_map(|routes| {
        let mut source = fixture::source();
        source["models"][2]["id"] = json!("b/pool/dear");
        let base = source["routes"][0].clone();
        source["routes"] = routes
            .into_iter()
            .enumerate()
            .map(|(index, (namespace, aliases, when, callers, strategy, dear_first))| {
                let mut route = base.clone();
                route["id"] = json!(format!("{namespace}/r{index}"));
                route["aliases"] = json!(aliases);
                route["callers"] = callers;
                route["strategy"] = strategy;
                let (cheap, dear) = ("a/pool/cheap", "b/pool/dear");
                route["candidates"] = if dear_first { json!([dear, cheap]) } else { json!([cheap, dear]) };
                if let Some(when) = when {
                    route["when"] = json!(when);
                }
                route
            })
            .collect();
        source
    })
}

/// The route that a data plane of version 1 and 2 gives a call: of the tenant's own, the first that has the alias.
fn old_route(rendered: &Value, tenant: &str, model: &str) -> Option<String> {
    let own = |route: &&Value| namespace(route["id"].as_str().unwrap()) == tenant;
    let routes: Vec<&Value> = rendered["routes"].as_array().unwrap().iter().filter(own).collect();
    let has = |route: &&&Value| route["aliases"].as_array().unwrap().iter().any(|alias| alias == model);
    let names =
        |route: &&&Value| route["candidates"].as_array().unwrap().iter().any(|id| id == model || short_name(id.as_str().unwrap()) == model);
    routes.iter().find(has).or_else(|| routes.iter().find(names)).map(|route| route["id"].as_str().unwrap().to_owned())
}

proptest! {
    #[test]
    fn no_rendering_lets_a_route_take_what_it_does_not_take(
        plan in plans(), schema in OLDEST..=CURRENT, tenant in "[ab]", sidecar in any::<bool>(), hop in any::<bool>(),
        model in prop::sample::select(vec!["x", "y", "cheap", "dear"]), stream in any::<bool>(), json in any::<bool>(),
    ) {
        let full: PlanSource = serde_json::from_value(plan.clone()).unwrap();
        let scope = match sidecar {
            true => Scope::Sidecar { namespace: tenant.clone(), hop: hop.then(|| "http://gateway/v1".to_owned()) },
            false => Scope::Gateway,
        };
        let rendered: Value = serde_json::from_slice(&render(&full, schema, &scope).json).unwrap();
        let format = if json { r#","response_format":{"type":"json_object"}"# } else { "" };
        let body = fixture::body(&format!(r#","stream":{stream}{format}"#));
        let identity = Identity::of(tenant.as_str());
        let request = parse::request(&Call::new(body.as_bytes(), &identity, Dials::default())).unwrap();
        let asked = Asked { namespace: &tenant, identity: &identity, model, facts: &request.facts, details: &request };
        let found = if schema == CURRENT {
            let compiled = fixture::compile(&rendered).unwrap_or_else(|problems| panic!("{problems:?}"));
            compiled.plan.find(&asked).ok().map(|view| view.route.id.to_string())
        } else {
            old_route(&rendered, &tenant, model)
        };
        let Some(found) = found else { return Ok(()) };
        let by_id: BTreeMap<&str, &RouteSource> = full.routes.iter().map(|route| (route.id.as_str(), route)).collect();
        let route = by_id[found.as_str()];
        let holds = route.when.as_deref().is_none_or(|when| When::compile(when).ok().unwrap().holds(&Variables::new(&asked)));
        prop_assert!(holds, "{found} takes a call that its condition declines");
        let lost = lost_aliases(&full);
        let lost = lost.get(&found);
        let left = rendered["routes"].as_array().unwrap().iter().find(|route| route["id"] == json!(found)).unwrap();
        let by_alias = left["aliases"].as_array().unwrap().contains(&json!(model));
        prop_assert!(schema == CURRENT && !sidecar || !by_alias || lost.is_none_or(|lost| !lost.contains(model)), "{found} takes an alias that it has lost");
        prop_assert!(route.aliases.is_empty() || lost.is_none_or(|lost| lost.len() < route.aliases.len()), "{found} takes no call at all");
    }

    #[test]
    fn every_rendering_still_compiles(plan in plans(), schema in OLDEST..=CURRENT, sidecar in any::<bool>(), hop in any::<bool>()) {
        let full: PlanSource = serde_json::from_value(plan).unwrap();
        let scope = match sidecar {
            true => Scope::Sidecar { namespace: "a".to_owned(), hop: hop.then(|| "http://gateway/v1".to_owned()) },
            false => Scope::Gateway,
        };
        let mut rendered: Value = serde_json::from_slice(&render(&full, schema, &scope).json).unwrap();
        if schema == 1 {
            // Version 1 has the profiles inline; the rest is read as it stands.
            let inline: Vec<Value> = rendered["models"].as_array().unwrap().iter().map(|model| model["profile"].clone()).collect();
            rendered["profiles"] = inline.iter().enumerate().map(|(index, profile)| (index.to_string(), profile.clone())).collect();
            for (index, model) in rendered["models"].as_array_mut().unwrap().iter_mut().enumerate() {
                model["profile"] = json!(index.to_string());
            }
        }
        rendered["schema"] = json!(plan::source::SCHEMA);
        prop_assert!(fixture::compile(&rendered).is_ok());
    }
}
