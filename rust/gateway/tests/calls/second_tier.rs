//! A second tier beside calls: it changes close choices, labels them, and never holds them up.

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tradewind_core::{
    Code, Error,
    features::Features,
    plan::{self, Predictors},
    predict::{Executor, Graph, Prediction, Predictor, tiny, tiny_own},
    record::{CaptureKind, decide_again},
};
use tradewind_gateway::{Engine, Peer, Settings};

use crate::{
    gateway::{Answered, Gateway, QUESTION, plan as plan_over, read},
    upstream::{Upstream, unary},
};

/// What a graph does when it is run.
enum Manner {
    /// Says that `m1` is right and `m0` wrong.
    Answers,
    Fails,
    /// So often, before it answers.
    Panics(AtomicUsize),
}

/// A graph that is run once for each permission or whenever permissions have ended.
struct Played(Mutex<mpsc::Receiver<()>>, Manner);

impl Executor for Played {
    fn name(&self) -> &'static str {
        "played"
    }

    fn run(&self, _features: &Features) -> Result<Prediction, Error> {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match &self.1 {
            Manner::Answers => {}
            Manner::Fails => return Err(Error::new(Code::PredictorFailed, "predictor", "it is broken")),
            Manner::Panics(left) => {
                let again = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                assert!(again.is_err(), "a panic is played");
            }
        }
        let mut prediction = Prediction::zeros(Graph::read(&tiny_own(2))?.dimensions());
        prediction.parts_mut().quality.copy_from_slice(&[0.05, 0.95]);
        Ok(prediction)
    }
}

struct Stage {
    gateway: Gateway,
    _upstreams: [Upstream; 2],
    /// Of the second tier; dropped, it answers at once.
    permissions: Option<mpsc::Sender<()>>,
    plan: Value,
    predictors: Predictors,
}

impl Stage {
    /// `m0` is better and cheaper by the first tier, by little; the second tier is used so. A call waits for it as long as it takes.
    async fn new(purpose: &str, manner: Manner) -> Self {
        Self::waiting(purpose, manner, 60_000).await
    }

    /// The same where a call waits for so long.
    async fn waiting(purpose: &str, manner: Manner, second_tier_timeout_ms: u64) -> Self {
        let upstreams = [Upstream::start(vec![unary("a", 30, 10)]).await, Upstream::start(vec![unary("b", 30, 10)]).await];
        let bytes = tiny_own(2);
        let (permissions, given) = mpsc::channel();
        let second = Predictor::new(&bytes, &Graph::read(&bytes).unwrap(), Box::new(Played(Mutex::new(given), manner)));
        let second = Arc::new(second);
        let mut plan = plan_over(&[&upstreams[0], &upstreams[1]]);
        plan["routes"][0]["second_tier"] = json!({
            "predictor": &**second.digest(), "ambiguity": 0.2, "use": purpose,
            "columns": {"default/pool/m0": 0, "default/pool/m1": 1},
        });
        let first = Arc::new(Predictor::native(&tiny(|_, _| {})).unwrap());
        let predictors = Predictors::from([first, second].map(|predictor| (predictor.digest().to_string(), predictor)));
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            ledger_dir: Some(folder.path().join("ledger")),
            capture: CaptureKind::Features,
            second_tier_timeout_ms,
            ..Settings::default()
        };
        let engine = Engine::new(settings, predictors.clone()).unwrap();
        engine.swap(plan.to_string().as_bytes(), "test").unwrap();
        Self { gateway: Gateway { engine, folder }, _upstreams: upstreams, permissions: Some(permissions), plan, predictors }
    }

    async fn ask(&self, path: &str, willingness_to_pay: Option<&str>) -> Answered {
        let mut request = Request::post(path);
        if let Some(usd) = willingness_to_pay {
            request = request.header("x-tradewind-willingness-to-pay", usd);
        }
        read(self.gateway.send(request.body(QUESTION.to_owned()).unwrap()).await).await
    }

    /// How often questions ended so.
    async fn count(&self, outcome: &str) -> u64 {
        let metrics = self.gateway.get("/metrics").await.body;
        let line = format!(r#"tradewind_second_tier_questions_total{{route="default/policy",outcome="{outcome}"}} "#);
        metrics.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }
}

const CALL: &str = "/v1/chat/completions";

#[tokio::test]
async fn an_inline_second_tier_changes_a_close_choice_and_leaves_a_clear_one_alone() {
    let mut stage = Stage::new("inline", Manner::Answers).await;
    stage.permissions = None;
    let close = stage.ask(CALL, None).await;
    // Where quality is worth little, the cheaper one is far ahead.
    let clear = stage.ask(CALL, Some("0.0001")).await;
    let models = [&close, &clear].map(|answered| answered.header("x-tradewind-model").to_owned());
    assert_eq!(models, ["default/pool/m1", "default/pool/m0"]);
    let explained = stage.ask("/v1/decide", None).await.json();
    assert_eq!(explained["chosen"], "default/pool/m1", "what is explained is what a call gets");
    assert!(explained["second_tier"]["quality"]["default/pool/m1"].as_f64().unwrap() > 0.9);
    assert_eq!((stage.count("changed").await, stage.count("kept").await), (2, 0));
    let outcomes = stage.gateway.outcomes().await;
    assert_eq!(outcomes[0]["second_tier"], explained["second_tier"]);
    assert!(outcomes[1].get("second_tier").is_none());
    let compiled = plan::compile(stage.plan.to_string().as_bytes(), &stage.predictors).map_err(|problems| format!("{problems:?}"));
    for outcome in outcomes {
        let again = decide_again(&compiled.as_ref().unwrap().plan, &serde_json::from_value(outcome["capture"].clone()).unwrap()).unwrap();
        assert_eq!(json!(&*again.chosen().model.0.id), outcome["chosen"], "no graph runs: the answer was recorded");
    }
}

#[tokio::test]
async fn a_label_comes_into_the_outcome_though_the_call_has_ended() {
    let stage = Stage::new("labels", Manner::Answers).await;
    assert_eq!(stage.ask(CALL, None).await.header("x-tradewind-model"), "default/pool/m0");
    stage.permissions.as_ref().unwrap().send(()).unwrap();
    let outcome = stage.gateway.outcome().await;
    assert_eq!(outcome["chosen"], "default/pool/m0", "a label decides nothing");
    assert_eq!(outcome["second_tier"]["quality"], json!({"default/pool/m0": 0.05, "default/pool/m1": 0.95}));
    assert!(outcome["capture"]["inputs"].get("second_tier").is_none());
    assert_eq!(stage.count("labelled").await, 1);
}

#[tokio::test]
async fn labels_beyond_half_the_queue_are_dropped_and_counted() {
    let mut stage = Stage::new("labels", Manner::Answers).await;
    for _ in 0..34 {
        stage.ask(CALL, None).await;
    }
    assert_eq!(stage.count("queue_full").await, 2);
    stage.permissions = None;
    let outcomes = stage.gateway.outcomes().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.get("second_tier").is_some()).count(), 32);
    assert_eq!((outcomes.len(), stage.count("labelled").await), (34, 32));
}

#[tokio::test]
async fn a_full_queue_or_a_late_answer_leaves_the_first_tiers_decision() {
    let mut stage = Stage::waiting("inline", Manner::Answers, 500).await;
    let calls: Vec<_> = (0..70)
        .map(|_| {
            let engine = Arc::clone(&stage.gateway.engine);
            let request = Request::post(CALL).body(Bytes::from(QUESTION)).unwrap();
            tokio::spawn(async move { read(engine.handle(request, Peer::default()).await).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().header("x-tradewind-model"), "default/pool/m0");
    }
    assert_eq!((stage.count("queue_full").await, stage.count("timeout").await), (6, 64));
    stage.permissions = None;
    let outcomes = stage.gateway.outcomes().await;
    let asked = |outcome: &Value| outcome["capture"]["inputs"]["second_tier"]["predictor"].is_string();
    assert!(outcomes.iter().all(asked), "that there was no answer is recorded");
    let compiled = plan::compile(stage.plan.to_string().as_bytes(), &stage.predictors).map_err(|problems| format!("{problems:?}"));
    let again = decide_again(&compiled.unwrap().plan, &serde_json::from_value(outcomes[0]["capture"].clone()).unwrap()).unwrap();
    assert_eq!(&*again.chosen().model.0.id, "default/pool/m0");
}

#[tokio::test]
async fn a_second_tier_that_fails_is_counted_and_the_call_served() {
    let mut stage = Stage::new("inline", Manner::Fails).await;
    stage.permissions = None;
    assert_eq!(stage.ask(CALL, None).await.header("x-tradewind-model"), "default/pool/m0");
    assert_eq!(stage.count("failed").await, 1);
}

#[tokio::test]
async fn a_panic_of_a_second_tier_is_a_failure_of_one_question_alone() {
    // There are no more threads than cores.
    let panics = thread::available_parallelism().unwrap().get();
    for (purpose, outcome) in [("inline", "changed"), ("labels", "labelled")] {
        let mut stage = Stage::new(purpose, Manner::Panics(panics.into())).await;
        stage.permissions = None;
        for _ in 0..=panics {
            assert_eq!(stage.ask(CALL, None).await.status, 200);
            stage.gateway.engine.flush_ledger().await;
        }
        assert_eq!((stage.count("failed").await, stage.count(outcome).await), (panics as u64, 1));
        assert_eq!(stage.gateway.outcomes().await.len(), panics + 1);
    }
}

#[tokio::test]
async fn outcomes_that_wait_for_a_label_are_written_by_an_engine_that_nobody_closed() {
    let mut stage = Stage::new("labels", Manner::Answers).await;
    for _ in 0..3 {
        stage.ask(CALL, None).await;
    }
    let Gateway { engine, folder } = stage.gateway;
    let engine = Arc::into_inner(engine).unwrap();
    let dropping = tokio::task::spawn_blocking(|| drop(engine));
    stage.permissions = None;
    dropping.await.unwrap();
    let files = fs::read_dir(folder.path().join("ledger")).unwrap();
    let lines: usize = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum();
    assert_eq!(lines, 3);
}

#[tokio::test]
async fn outcomes_that_wait_for_a_label_are_written_at_the_end() {
    let mut stage = Stage::new("labels", Manner::Answers).await;
    for _ in 0..3 {
        stage.ask(CALL, None).await;
    }
    let engine = Arc::clone(&stage.gateway.engine);
    let closing = tokio::task::spawn_blocking(move || engine.close());
    stage.permissions = None;
    closing.await.unwrap();
    assert_eq!(stage.gateway.outcomes().await.len(), 3);
}

#[tokio::test]
async fn a_turn_without_words_is_counted_and_not_asked() {
    let stage = Stage::new("inline", Manner::Answers).await;
    let upstream_called = stage.gateway.answer(&QUESTION.replace("Why is the sky blue?", "continue")).await;
    assert_eq!(upstream_called.header("x-tradewind-model"), "default/pool/m0");
    assert_eq!(stage.count("no_text").await, 1);
}
