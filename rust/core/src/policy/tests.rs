//! Conformance over the table of policies, and a golden row for each.

use serde_json::{Value, json};

use super::TABLE;
use crate::{
    Call, Decision, Dials, Error, Hints, Identity, LiveView, Now, decide, fixture,
    live::{Reading, Readings},
};

struct Same(Reading);

impl Readings for Same {
    fn model(&self, id: &str) -> Reading {
        if id == "a/pool/cheap" { self.0 } else { Reading::default() }
    }
}

fn check(change: impl Fn(&mut Value), more: &str, dials: Dials, reading: Reading) -> Result<Decision, Error> {
    let mut source = fixture::source();
    change(&mut source);
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let identity = Identity::of("a");
    let body = fixture::body(more);
    let call = Call::new(body.as_bytes(), &identity, dials);
    let models = Same(reading);
    decide(&plan, &call, &Hints::default(), &LiveView { models: &models, ..LiveView::UNKNOWN }, Now { unix_ns: 1_000, seed: 1 })
}

/// A policy's name; then the change of the plan, the fields of the body, the dials and the reading with which it removes `cheap`.
type Case = (&'static str, fn(&mut Value), &'static str, Dials, Reading);

fn cases() -> Vec<Case> {
    let none = Dials::default();
    let idle = Reading::default();
    vec![
        ("labels", |s| s["routes"][0]["constraints"] = json!({"match_labels": {"tier": "dear"}}), "", none, idle),
        ("capability", |s| s["models"][0]["capabilities"] = json!([]), r#","tools":[{}]"#, none, idle),
        ("context_length", |s| s["models"][0]["limits"]["context_tokens"] = json!(20), "", none, idle),
        ("output_length", |s| s["models"][0]["limits"]["output_tokens"] = json!(10), r#","max_tokens":11"#, none, idle),
        ("health", |_| {}, "", none, Reading { resting_until_ns: 2_000, ..idle }),
        ("concurrency", |s| s["models"][0]["limits"]["concurrent_requests"] = json!(3), "", none, Reading { in_flight: 3, ..idle }),
        (
            "max_cost",
            |s| s["models"][0]["price"]["output_nanousd_per_million"] = json!(1_000_000_000_000_i64),
            "",
            Dials { max_cost_usd: Some(0.02), ..none },
            idle,
        ),
        ("min_quality", |s| s["routes"][0]["constraints"] = json!({"min_quality": 0.6}), "", none, idle),
        (
            "first_token",
            |s| s["routes"][0]["constraints"] = json!({"first_token_ms": 150.0}),
            "",
            none,
            Reading { first_token_ms: Some(151.0), ..idle },
        ),
        // 100 ms to the first token, then 50 tokens at 100 a second: 600 ms.
        (
            "duration",
            |s| {
                s["models"][0]["latency"]["output_tokens_per_second"] = json!(100.0);
                s["routes"][0]["timeouts"] = json!({"request_ms": 599});
            },
            r#","max_tokens":50"#,
            none,
            idle,
        ),
    ]
}

#[test]
fn every_policy_removes_where_it_should_and_says_so() {
    let covered: Vec<&str> = cases().iter().map(|case| case.0).collect();
    assert_eq!(covered, TABLE.iter().map(|entry| entry.name).collect::<Vec<_>>(), "one case per row of the table");
    for (name, change, more, dials, reading) in cases() {
        let decision = check(change, more, dials, reading).unwrap();
        assert_eq!(decision.candidates[0].admission.refused_by, Some(name));
        assert!(!decision.ranking.contains(&0), "{name}");
    }
}

#[test]
fn without_a_rule_nothing_is_removed() {
    let decision = check(|_| {}, "", Dials::default(), Reading::default()).unwrap();
    assert_eq!(decision.ranking.len(), 3);
    assert!(decision.relaxed.is_empty());
}

#[test]
fn none_left_is_an_error_that_names_every_policy() {
    let error = check(
        |s| s["routes"][0]["constraints"] = json!({"min_quality": 1.0}),
        "",
        Dials { max_cost_usd: Some(0.0), willingness_to_pay_usd: None },
        Reading::default(),
    )
    .unwrap_err();
    assert_eq!((error.code.row().code, error.message.as_str()), ("no_candidate", "no candidate is left; removed by max_cost"));
    let only_cheap = |s: &mut Value| s["routes"][0]["candidates"] = json!(["a/pool/cheap"]);
    let error = check(only_cheap, "", Dials::default(), Reading { resting_until_ns: 5_001_000, ..Reading::default() }).unwrap_err();
    assert_eq!((error.code.row().code, error.retry_after_ms), ("all_resting", Some(5)));
}

#[test]
fn best_effort_orders_by_the_violation_and_says_what_it_relaxed() {
    let floor = |s: &mut Value| s["routes"][0]["constraints"] = json!({"min_quality": 0.999, "when_unsatisfied": "best_effort"});
    let decision = check(floor, "", Dials::default(), Reading::default()).unwrap();
    assert_eq!(&*decision.chosen().model.0.id, "a/pool/dear", "the smallest miss comes first");
    assert_eq!(decision.relaxed, ["min_quality"]);
    // Hard policies stay hard.
    let both = |s: &mut Value| {
        s["routes"][0]["constraints"] = json!({"min_quality": 0.999, "when_unsatisfied": "best_effort"});
        s["models"][2]["limits"]["context_tokens"] = json!(5);
    };
    let decision = check(both, "", Dials::default(), Reading::default()).unwrap();
    assert_eq!(decision.candidates[2].admission.refused_by, Some("context_length"));
}

#[test]
fn an_answer_that_would_come_too_late_is_last_under_best_effort_and_no_reason_where_the_speed_is_unknown() {
    let slow = |request_ms: u64, when_unsatisfied: &'static str| {
        let change = move |s: &mut Value| {
            s["models"][2]["latency"] = json!({"output_tokens_per_second": 100.0});
            s["routes"][0]["timeouts"] = json!({"request_ms": request_ms});
            s["routes"][0]["strategy"] = json!({"type": "best"});
            s["routes"][0]["constraints"] = json!({"when_unsatisfied": when_unsatisfied});
        };
        check(change, r#","max_tokens":50,"n":2"#, Dials::default(), Reading::default()).unwrap()
    };
    assert_eq!(slow(499, "reject").candidates[2].admission.refused_by, Some("duration"));
    assert_eq!(slow(500, "reject").ranking, [2, 1, 0]);
    assert_eq!(slow(499, "best_effort").ranking, [1, 0, 2]);
}

#[test]
fn a_dial_only_tightens_the_cap() {
    let cap = |s: &mut Value| s["routes"][0]["constraints"] = json!({"max_request_nanousd": 1_000_000});
    let loose = check(cap, "", Dials { max_cost_usd: Some(1.0), willingness_to_pay_usd: None }, Reading::default()).unwrap();
    assert_eq!(loose.candidates[2].admission.refused_by, Some("max_cost"));
    assert_eq!(loose.objective.max_request_usd, Some(0.001));
}
