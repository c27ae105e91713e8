//! Conformance over the table of strategies, and golden choices.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::TABLE;
use crate::{Call, Decision, Dials, Error, Hints, Identity, LiveView, Now, decide, fixture, plan::Plan};

fn parameters(name: &str) -> Value {
    match name {
        "pinned" => json!({"model": "middle"}),
        "utility" => json!({"willingness_to_pay_usd": 0.02}),
        "weighted" => json!({"weights": {"cheap": 3, "dear": 1}}),
        _ => json!({}),
    }
}

fn plan(name: &str, change: impl Fn(&mut Value)) -> Plan {
    let mut source = fixture::source();
    let mut strategy = serde_json::Map::new();
    strategy.insert("type".into(), json!(name));
    strategy.insert(name.into(), parameters(name));
    source["routes"][0]["strategy"] = Value::Object(strategy);
    change(&mut source);
    fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan
}

fn check(plan: &Plan, dials: Dials, seed: u64) -> Result<Decision, Error> {
    let identity = Identity::of("a");
    let body = fixture::body("");
    decide(plan, &Call::new(body.as_bytes(), &identity, dials), &Hints::default(), &LiveView::UNKNOWN, Now { unix_ns: 0, seed })
}

fn names(decision: &Decision) -> Vec<&str> {
    decision.ranking.iter().map(|&index| decision.candidates[index].model.0.name()).collect()
}

#[test]
fn each_strategy_chooses_as_its_row_says() {
    let floor = |s: &mut Value| s["routes"][0]["constraints"] = json!({"min_quality": 0.5});
    let choose = |name, change: fn(&mut Value)| names(&check(&plan(name, change), Dials::default(), 1).unwrap()).join(" ");
    assert_eq!(choose("best", |_| {}), "dear middle cheap");
    assert_eq!(choose("cheapest", |_| {}), "cheap middle dear");
    assert_eq!(choose("cheapest", floor), "middle dear");
    assert_eq!(choose("pinned", |_| {}), "middle dear cheap");
    assert_eq!(choose("utility", |s| s["routes"][0]["strategy"]["utility"]["willingness_to_pay_usd"] = json!(0.0)), "cheap middle dear");
    assert_eq!(choose("utility", |s| s["routes"][0]["strategy"]["utility"]["willingness_to_pay_usd"] = json!(9.0)), "dear middle cheap");
}

#[test]
fn the_ranking_is_a_permutation_of_the_admitted_and_repeats() {
    for entry in TABLE {
        let plan = plan(entry.name, |s| s["models"][1]["limits"]["context_tokens"] = json!(3));
        for seed in 0..50 {
            let decision = check(&plan, Dials::default(), seed).unwrap();
            let mut order = decision.ranking.clone();
            order.sort_unstable();
            assert_eq!(order, [0, 2], "{}", entry.name);
            assert_eq!(decision.ranking, check(&plan, Dials::default(), seed).unwrap().ranking);
            assert!(decision.propensity > 0.0 && decision.propensity <= 1.0);
        }
    }
}

#[test]
fn a_dominated_candidate_never_wins_where_the_row_says_so() {
    for entry in TABLE.iter().filter(|entry| entry.never_dominated) {
        let plan = plan(entry.name, |s| {
            s["profiles"]["cheap"]["bias"] = json!(2.9);
            s["profiles"]["middle"]["bias"] = json!(2.8);
        });
        assert_ne!(check(&plan, Dials::default(), 3).unwrap().ranking[0], 1, "{}", entry.name);
    }
}

#[test]
fn a_draw_follows_the_weights_and_reports_its_propensity() {
    let plan = plan("weighted", |_| {});
    let mut cheap = 0;
    for seed in 0..4000 {
        let decision = check(&plan, Dials::default(), seed).unwrap();
        let first = names(&decision)[0].to_owned();
        assert!((decision.propensity - if first == "cheap" { 0.75 } else { 0.25 }).abs() < 1e-12);
        cheap += u32::from(first == "cheap");
    }
    assert!((2850..3150).contains(&cheap), "{cheap} of 4000");
}

#[test]
fn a_willingness_to_pay_that_would_be_ignored_is_refused() {
    let dials = Dials { willingness_to_pay_usd: Some(1.0), max_cost_usd: None };
    for entry in TABLE {
        let result = check(&plan(entry.name, |_| {}), dials, 1);
        assert_eq!(result.is_ok(), entry.name == "utility", "{}", entry.name);
        if let Err(error) = result {
            assert_eq!((error.code.row().code, &*error.path), ("dial_ignored", crate::call::WILLINGNESS_TO_PAY));
        }
    }
}

#[test]
fn a_bad_strategy_is_a_problem_with_a_path_and_the_accepted_values() {
    for (strategy, path, part) in [
        (json!({"type": "cheapst"}), "routes[0].strategy.type", "expected one of `best`, `cheapest`, `pinned`, `utility`, `weighted`"),
        (json!({}), "routes[0].strategy.type", "missing"),
        (json!({"type": "best", "utility": {}}), "routes[0].strategy.utility", "unknown field"),
        (json!({"type": "best", "best": {"x": 1}}), "routes[0].strategy.best", "unknown field `x`"),
        (json!({"type": "utility"}), "routes[0].strategy.utility", "willingness_to_pay_usd"),
        (json!({"type": "pinned", "pinned": {"model": "none"}}), "routes[0].strategy.pinned.model", "expected one of `cheap`"),
        (json!({"type": "weighted", "weighted": {"weights": {"cheap": 0}}}), "routes[0].strategy.weighted.weights", "positive"),
    ] {
        let mut source = fixture::source();
        source["routes"][0]["strategy"] = strategy;
        let problems = fixture::compile(&source).err().unwrap();
        assert_eq!(problems[0].path, path, "{problems:?}");
        assert!(problems[0].message.contains(part), "{problems:?}");
    }
}

proptest! {
    #[test]
    fn a_larger_willingness_to_pay_never_lowers_the_quality(a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let plan = plan("utility", |_| {});
        let quality = |willingness: f64| {
            let dials = Dials { willingness_to_pay_usd: Some(willingness), max_cost_usd: None };
            check(&plan, dials, 1).unwrap().chosen().forecast.quality
        };
        prop_assert!(quality(a.max(b)) >= quality(a.min(b)));
    }
}
