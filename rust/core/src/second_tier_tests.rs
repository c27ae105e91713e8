//! The second tier from end to end: who is asked about which calls, how what it says changes a decision, and how that replays.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Call, Code, Decision, Dials, Error, Hints, Identity, LiveView, Now,
    decide::{decide, decide_with_second_tier},
    fixture,
    live::Reading,
    parse,
    plan::{CURRENT, OLDEST, Plan, PlanSource, Scope, render, source::SecondTierUse},
    record::{self, Capture, CaptureKind},
};

const NOW: Now = Now { unix_ns: 7, seed: 3 };

fn plan(source: &Value) -> Plan {
    fixture::compile(source).map_err(|problems| panic!("{problems:?}")).unwrap().plan
}

fn first(plan: &Plan, body: &str, willingness_to_pay_usd: Option<f64>) -> Decision {
    let identity = Identity::of("a");
    let dials = Dials { willingness_to_pay_usd, max_cost_usd: None };
    decide(plan, &Call::new(body.as_bytes(), &identity, dials), &Hints::default(), &LiveView::UNKNOWN, NOW).unwrap()
}

fn both(plan: &Plan, body: &str, dials: Dials) -> Result<Decision, Error> {
    let identity = Identity::of("a");
    let call = Call::new(body.as_bytes(), &identity, dials);
    decide_with_second_tier(plan, &call, &parse::request(&call)?, &LiveView::UNKNOWN, NOW)
}

fn document(decision: &Decision) -> Value {
    serde_json::to_value(decision.document("x")).unwrap()
}

fn inline() -> Value {
    json!({"use": "inline"})
}

#[test]
fn the_margin_is_the_lead_over_the_best_other_in_units_of_quality() {
    let plan = plan(&fixture::source());
    for willingness in [0.0004, 0.02, 9.0] {
        let decision = first(&plan, &fixture::body(""), Some(willingness));
        let utility = |rank: usize| decision.utility(&decision.candidates[decision.ranking[rank]]).unwrap();
        let expected = (utility(0) - utility(1)) / willingness;
        assert!((decision.margin().unwrap() - expected).abs() < 1e-9);
    }
    assert_eq!(first(&plan, &fixture::body(""), Some(0.0)).margin(), None, "quality is worth nothing");
    let named = fixture::body("").replace("auto", "cheap");
    assert_eq!(first(&plan, &named, None).margin(), None, "there is no other");
    let mut best = fixture::source();
    best["routes"][0]["strategy"] = json!({"type": "best"});
    let decision = first(&self::plan(&best), &fixture::body(""), None);
    let quality = |rank: usize| f64::from(decision.candidates[decision.ranking[rank]].forecast.quality);
    assert!((decision.margin().unwrap() - (quality(0) - quality(1))).abs() < 1e-9);
}

#[test]
fn only_a_close_choice_is_doubted() {
    let margin = first(&plan(&fixture::source()), &fixture::body(""), None).margin().unwrap();
    for (ambiguity, doubted) in [(margin * 1.01, true), (margin * 0.99, false), (0.0, false)] {
        let plan = plan(&fixture::with_second_tier(&json!({"ambiguity": ambiguity})));
        assert_eq!(first(&plan, &fixture::body(""), None).doubt.is_some(), doubted, "{ambiguity}");
    }
    let plan = plan(&fixture::with_second_tier(&inline()));
    assert!(first(&plan, &fixture::body("").replace("auto", "cheap"), None).doubt.is_none(), "a named model is no choice");
}

#[test]
fn an_inline_second_tier_is_joined_in_logits_and_may_change_the_choice() {
    let dials = Dials { willingness_to_pay_usd: Some(9.0), max_cost_usd: None };
    let alone = first(&plan(&fixture::source()), &fixture::body(""), Some(9.0));
    let decision = both(&plan(&fixture::with_second_tier(&json!({"use": "inline", "weight": 0.9}))), &fixture::body(""), dials).unwrap();
    assert_eq!((alone.chosen().model.0.name(), decision.chosen().model.0.name()), ("dear", "cheap"));
    let logit = |quality: f32| (quality / (1.0 - quality)).ln();
    for (index, second) in [(0, 0.9_f32), (2, 0.1)] {
        let (one, two) = (alone.candidates[index].forecast.quality, decision.candidates[index].forecast.quality);
        assert!((logit(two) - (0.1 * logit(one) + 0.9 * logit(second))).abs() < 1e-4);
    }
    assert_eq!(alone.candidates[1].forecast, decision.candidates[1].forecast, "`middle` has no column");
    assert!(decision.doubt.is_none());
    let said = &document(&decision)["second_tier"];
    assert_eq!(said["digest"], json!(&**fixture::second_tier().digest()));
    assert_eq!(said["quality"], json!({"a/pool/cheap": 0.9_f32, "a/pool/dear": 0.1_f32}));
    assert!(document(&alone).get("second_tier").is_none(), "nobody was asked");
}

#[test]
fn labels_change_no_decision() {
    let with = plan(&fixture::with_second_tier(&json!({"use": "labels"})));
    let decision = both(&with, &fixture::body(""), Dials::default()).unwrap();
    assert_eq!(decision.doubt.as_ref().map(|tier| tier.purpose), Some(SecondTierUse::Labels));
    let strip = |mut document: Value| {
        document["plan"].take();
        document
    };
    assert_eq!(strip(document(&decision)), strip(document(&first(&plan(&fixture::source()), &fixture::body(""), None))));
}

#[test]
fn a_turn_without_words_is_not_put_to_it() {
    let plan = plan(&fixture::with_second_tier(&inline()));
    let turn = r#"{"model":"auto","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"Continue."}]}"#;
    let decision = both(&plan, turn, Dials::default()).unwrap();
    assert!(decision.doubt.is_some() && decision.opinion.is_none());
}

#[test]
fn what_it_said_and_that_it_said_nothing_replay() {
    let plan = plan(&fixture::with_second_tier(&inline()));
    let (body, identity) = (fixture::body(""), Identity::of("a"));
    let call = Call::new(body.as_bytes(), &identity, Dials::default());
    let asked = both(&plan, &body, Dials::default()).unwrap();
    let unanswered = first(&plan, &body, None);
    assert_ne!(document(&asked), document(&unanswered));
    for decision in [asked, unanswered] {
        for kind in [CaptureKind::Features, CaptureKind::Text] {
            let line = serde_json::to_string(&Capture::of(kind, &call, &decision)).unwrap();
            let again = record::decide_again(&plan, &serde_json::from_str(&line).unwrap()).unwrap();
            assert_eq!(document(&again), document(&decision));
        }
    }
}

#[test]
fn a_plan_that_asks_for_the_first_time_needs_the_text() {
    let (without, with) = (plan(&fixture::source()), plan(&fixture::with_second_tier(&inline())));
    let (body, identity) = (fixture::body(""), Identity::of("a"));
    let call = Call::new(body.as_bytes(), &identity, Dials::default());
    let decision = first(&without, &body, None);
    let again = |kind| record::decide_again(&with, &Capture::of(kind, &call, &decision));
    assert!(again(CaptureKind::Text).unwrap().opinion.is_some());
    let refused = again(CaptureKind::Features).unwrap_err();
    assert_eq!((refused.code, &*refused.path), (Code::InvalidPredictor, "capture.kind"));
    // The other way round, what it said then counts for nothing.
    let asked = Capture::of(CaptureKind::Features, &call, &both(&with, &body, Dials::default()).unwrap());
    assert_eq!(document(&record::decide_again(&without, &asked).unwrap()), document(&decision));
}

#[test]
fn what_it_said_counts_by_another_plan_where_that_would_ask_too() {
    let (body, identity) = (fixture::body(""), Identity::of("a"));
    let call = Call::new(body.as_bytes(), &identity, Dials::default());
    let asked = both(&plan(&fixture::with_second_tier(&inline())), &body, Dials::default()).unwrap();
    let capture = Capture::of(CaptureKind::Features, &call, &asked);
    for (more, counts) in [
        (json!({"use": "inline", "weight": 0.9}), true),
        (json!({"use": "inline", "ambiguity": 0.0}), false),
        (json!({"use": "labels"}), false),
    ] {
        let other = plan(&fixture::with_second_tier(&more));
        let again = record::decide_again(&other, &capture).unwrap();
        assert_eq!(document(&again), document(&both(&other, &body, Dials::default()).unwrap()), "{more}");
        assert_eq!(again.opinion.is_some(), counts, "{more}");
    }
}

#[test]
fn a_decision_is_reconsidered_by_the_readings_that_it_was_made_by() {
    let plan = plan(&fixture::with_second_tier(&inline()));
    let (body, identity) = (fixture::body(""), Identity::of("a"));
    let call = Call::new(body.as_bytes(), &identity, Dials::default());
    let request = parse::request(&call).unwrap();
    let reading = Reading { first_token_ms: Some(120.0), bytes_per_token: Some(3.0), ..Reading::default() };
    let models = BTreeMap::from([("a/pool/cheap".to_owned(), reading)]);
    let decision = decide_with_second_tier(&plan, &call, &request, &LiveView { models: &models, ..LiveView::UNKNOWN }, NOW).unwrap();
    assert!(decision.opinion.is_some());
    assert_eq!(decision.readings(), BTreeMap::from([("a/pool/cheap", reading)]));
}

#[test]
fn a_second_tier_that_fits_no_route_is_refused_with_the_place() {
    for (more, code, path) in [
        (json!({"ambiguity": 1.5}), "invalid_second_tier", "ambiguity"),
        (json!({"weight": -0.1}), "invalid_second_tier", "weight"),
        (json!({"predictor": "sha256:none"}), "missing_predictor", "predictor"),
        (json!({"predictor": &**fixture::predictor().digest()}), "invalid_second_tier", "predictor"),
        (json!({"columns": {}}), "invalid_second_tier", "columns"),
        (json!({"columns": {"a/pool/cheap": 3}}), "invalid_second_tier", "columns.a/pool/cheap"),
        (json!({"columns": {"a/pool/none": 0}}), "unknown_name", "columns.a/pool/none"),
    ] {
        let problems = fixture::compile(&fixture::with_second_tier(&more)).map(|_| ()).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
        assert_eq!(found, [(code, format!("routes[0].second_tier.{path}").as_str())], "{more}");
    }
}

#[test]
fn an_older_reader_decides_by_the_first_tier_alone() {
    let source: PlanSource = serde_json::from_value(fixture::with_second_tier(&inline())).unwrap();
    for schema in OLDEST..=CURRENT {
        let rendered = render(&source, schema, &Scope::Gateway);
        let document: Value = serde_json::from_slice(&rendered.json).unwrap();
        assert_eq!(document["routes"].as_array().unwrap().len(), 1);
        assert_eq!(document["routes"][0].get("second_tier").is_some(), schema == CURRENT);
        assert_eq!(rendered.lacks.contains(&"second_tier"), schema < CURRENT, "version {schema}");
    }
}

#[test]
fn a_sidecar_knows_no_column_of_a_model_that_it_does_not_reach() {
    let mut plan = fixture::with_second_tier(&inline());
    plan["models"][2]["id"] = json!("b/pool/dear");
    plan["routes"][0]["candidates"][2] = json!("b/pool/dear");
    plan["routes"][0]["second_tier"]["columns"] = json!({"a/pool/cheap": 0, "b/pool/dear": 2});
    let source: PlanSource = serde_json::from_value(plan).unwrap();
    let alone = Scope::Sidecar { namespace: "a".to_owned(), hop: None };
    let rendered: Value = serde_json::from_slice(&render(&source, CURRENT, &alone).json).unwrap();
    assert_eq!(rendered["routes"][0]["second_tier"]["columns"], json!({"a/pool/cheap": 0}));
    assert!(fixture::compile(&rendered).is_ok());
}
