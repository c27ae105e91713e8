//! `decide`, `resume` and `record` together, as the gateway and `replay` use them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use crate::{
    Attempt, Call, Code, Decision, Dials, Error, Hints, Identity, LiveView, Now, Step, decide, fixture,
    live::{Given, Last, Reading, Templates, Unknown},
    plan::Plan,
    record::{self, Capture, CaptureKind},
    resume,
};

fn plan() -> Plan {
    fixture::compile(&fixture::source()).map_err(|problems| panic!("{problems:?}")).unwrap().plan
}

fn check(plan: &Plan, body: &str, live: &LiveView<'_>, dials: Dials) -> Decision {
    let identity = Identity::of("a");
    decide(plan, &Call::new(body.as_bytes(), &identity, dials), &Hints::default(), live, Now { unix_ns: 7, seed: 3 }).unwrap()
}

fn failed(candidate: usize, code: Code) -> Attempt {
    Attempt { candidate, error: Some(Error::new(code, "", "it failed")), answered: false }
}

fn step(plan: &Plan, decision: &Decision, attempts: &[Attempt], readings: &BTreeMap<String, Reading>) -> String {
    let live = LiveView { models: readings, ..LiveView::UNKNOWN };
    match resume(plan, decision, attempts, &live, decision.now) {
        Step::Call(target) => format!("call {}", target.model.name()),
        Step::Answer(attempt) => format!("answer {attempt}"),
        Step::Stop(error) => format!("stop {}", error.code.row().code),
    }
}

#[test]
fn failover_follows_the_ranking_and_tries_nobody_twice() {
    let plan = plan();
    let decision = check(&plan, &fixture::body(""), &LiveView::UNKNOWN, Dials { willingness_to_pay_usd: Some(9.0), max_cost_usd: None });
    let ranking = decision.ranking.clone();
    assert_eq!(ranking, [2, 1, 0]);
    let quiet = BTreeMap::new();
    let attempt = |index: usize| failed(ranking[index], Code::UpstreamConnect);
    assert_eq!(step(&plan, &decision, &[], &quiet), "call dear");
    assert_eq!(step(&plan, &decision, &[attempt(0)], &quiet), "call middle");
    assert_eq!(step(&plan, &decision, &[attempt(0), attempt(1)], &quiet), "call cheap");
    assert_eq!(step(&plan, &decision, &[attempt(0), attempt(1), attempt(2)], &quiet), "stop upstream_connect");
    let resting = BTreeMap::from([("a/pool/middle".to_owned(), Reading { resting_until_ns: 99, ..Reading::default() })]);
    assert_eq!(step(&plan, &decision, &[attempt(0)], &resting), "call cheap");
    let good = Attempt { candidate: 2, error: None, answered: true };
    assert_eq!(step(&plan, &decision, &[good], &quiet), "answer 0");
    let broken = Attempt { answered: true, ..failed(2, Code::UpstreamBroken) };
    assert_eq!(step(&plan, &decision, &[broken], &quiet), "stop upstream_broken");
    assert_eq!(step(&plan, &decision, &[failed(2, Code::ClientGone)], &quiet), "stop client_gone");
}

#[test]
fn no_attempt_starts_after_the_requests_time() {
    let plan = plan();
    let decision = check(&plan, &fixture::body(""), &LiveView::UNKNOWN, Dials::default());
    let late = Now { unix_ns: 7 + 60_000_000_000, seed: 0 };
    let next = resume(&plan, &decision, &[failed(decision.ranking[0], Code::UpstreamTimeout)], &LiveView::UNKNOWN, late);
    assert!(matches!(next, Step::Stop(error) if error.code == Code::UpstreamTimeout));
}

#[test]
fn a_turn_without_words_inherits_the_sessions_prediction() {
    let plan = plan();
    let first = check(&plan, &fixture::body(""), &LiveView::UNKNOWN, Dials::default());
    let turn = r#"{"model":"auto","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"Continue."}]}"#;
    let inherited = |predictor: &Arc<str>| {
        let last = Last { predictor: Arc::clone(predictor), prediction: first.prediction.clone() };
        check(&plan, turn, &LiveView { last_prediction: Some(&last), ..LiveView::UNKNOWN }, Dials::default()).prediction
    };
    assert_eq!(inherited(&first.predictor), first.prediction);
    assert_ne!(inherited(&"sha256:another".into()), first.prediction);
    assert_ne!(check(&plan, turn, &LiveView::UNKNOWN, Dials::default()).prediction, first.prediction);
}

#[test]
fn a_template_is_not_what_a_model_is_asked() {
    let plan = plan();
    let body = |text: &str| json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string();
    let of = |text: &str, templates: &dyn Templates| {
        let (body, identity) = (body(text), Identity::of("a"));
        decide(
            &plan,
            &Call::new(body.as_bytes(), &identity, Dials::default()),
            &Hints::default(),
            &LiveView { templates, ..LiveView::UNKNOWN },
            Now::default(),
        )
    };
    let template = "Réponds en une phrase.\n";
    let whole = format!("{template}Why is the sky blue?");
    let cut = of(&whole, &Given(template.len() as u32)).unwrap();
    assert_eq!(cut.prediction, of("Why is the sky blue?", &Unknown).unwrap().prediction);
    assert_ne!(cut.prediction, of(&whole, &Unknown).unwrap().prediction);
    assert_eq!(serde_json::to_value(cut.document("x")).unwrap()["request"]["template_bytes"], template.len());
    for nowhere in [2, 1000] {
        assert_eq!(of(&whole, &Given(nowhere)).unwrap_err().path, "template_bytes");
    }
}

#[test]
fn a_recorded_call_decides_again_to_the_same_bytes() {
    let plan = plan();
    let body = fixture::body(r#","max_tokens":50,"n":3,"tools":[{}]"#);
    let identity = Identity::of("a");
    let dials = Dials { willingness_to_pay_usd: Some(0.0004), max_cost_usd: Some(0.01) };
    let readings = BTreeMap::from([(
        "a/pool/cheap".to_owned(),
        Reading { first_token_ms: Some(7.25), in_flight: 2, bytes_per_token: Some(3.3), ..Reading::default() },
    )]);
    let call = Call::new(body.as_bytes(), &identity, dials);
    let live = LiveView { models: &readings, templates: &Given(8), ..LiveView::UNKNOWN };
    let decision = decide(&plan, &call, &Hints::default(), &live, Now { unix_ns: 5, seed: 6 }).unwrap();
    assert_eq!(decision.template_bytes, 8);
    let expected = serde_json::to_string(&decision.document("x")).unwrap();
    for kind in [CaptureKind::Features, CaptureKind::Text] {
        let line = serde_json::to_string(&Capture::of(kind, &call, &decision)).unwrap();
        assert_eq!(line.contains("sky"), kind == CaptureKind::Text, "text only by explicit choice");
        let again = record::decide_again(&plan, &serde_json::from_str(&line).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&again.document("x")).unwrap(), expected);
    }
    let nothing = Capture::of(CaptureKind::None, &call, &decision);
    assert!(record::decide_again(&plan, &nothing).is_err());
}

#[test]
fn a_recorded_call_to_another_namespace_decides_again_by_its_conditions_and_keeps_no_more_than_they_read() {
    let mut source = fixture::source();
    source["routes"][0]["callers"] = json!({"from": "all"});
    source["routes"][0]["when"] = json!("caller.labels.tier == \"gold\" && request.user == \"ada\"");
    let plan = fixture::compile(&source).map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    let mut identity = Identity::of("b");
    identity.labels.insert("tier".to_owned(), "gold".to_owned());
    let body = fixture::body(r#","user":"ada","metadata":{"secret":"x"}"#);
    let call = Call { namespace: "a", ..Call::new(body.as_bytes(), &identity, Dials::default()) };
    let decision = decide(&plan, &call, &Hints::default(), &LiveView::UNKNOWN, Now { unix_ns: 5, seed: 6 }).unwrap();
    let expected = serde_json::to_string(&decision.document("x")).unwrap();
    let other = fixture::compile(&{
        source["routes"][0]["when"] = json!("request.messages == 1");
        source
    });
    let other = other.map_err(|problems| panic!("{problems:?}")).unwrap().plan;
    for kind in [CaptureKind::Features, CaptureKind::Text] {
        let line = serde_json::to_string(&Capture::of(kind, &call, &decision)).unwrap();
        assert!(line.contains(r#""tenant":"b","namespace":"a","read":{"labels":{"tier":"gold"},"user":"ada"}"#), "{line}");
        assert_eq!(line.contains("secret"), kind == CaptureKind::Text);
        let capture: Capture = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&record::decide_again(&plan, &capture).unwrap().document("x")).unwrap(), expected);
        let again = record::decide_again(&other, &capture);
        match kind {
            CaptureKind::Text => assert_eq!(&*again.unwrap().route, "a/default"),
            _ => assert!(again.unwrap_err().message.contains("reads what was not kept")),
        }
    }
}

#[test]
fn a_named_model_bypasses_the_strategy_and_not_the_policies() {
    let plan = plan();
    let body = r#"{"model":"cheap","messages":[{"role":"user","content":"hi"}]}"#;
    let decision = check(&plan, body, &LiveView::UNKNOWN, Dials { willingness_to_pay_usd: None, max_cost_usd: Some(1.0) });
    assert_eq!(decision.candidates.len(), 1);
    assert_eq!(&*decision.chosen().model.0.id, "a/pool/cheap");
    let identity = Identity::of("a");
    let call = Call::new(body.as_bytes(), &identity, Dials { max_cost_usd: Some(0.0), ..Dials::default() });
    assert_eq!(decide(&plan, &call, &Hints::default(), &LiveView::UNKNOWN, Now::default()).unwrap_err().code, Code::NoCandidate);
}
