//! What to do next, given what happened so far. Failover is the first row; cascades and hedging are later rows.

use std::sync::Arc;

use crate::{
    decision::Decision,
    error::{Code, Error},
    live::{LiveView, Now},
    plan::{Model, Plan},
};

/// One upstream call of a decision, as far as it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Index among the decision's candidates.
    pub candidate: usize,
    /// `None` if the upstream's answer may go to the client.
    pub error: Option<Error>,
    /// Whether a byte of an answer has reached the client: from then on, it has heard this model.
    pub answered: bool,
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Call this candidate.
    Call(Target),
    /// Give the client the answer of this attempt.
    Answer(usize),
    /// Give up with this error.
    Stop(Error),
}

/// A candidate to call.
#[derive(Clone)]
pub struct Target {
    /// Index among the decision's candidates.
    pub candidate: usize,
    /// The model.
    pub model: Arc<Model>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.model.id)
    }
}

/// The next step. Tries each candidate at most once, in the order of the ranking, passing by those that rest or are full.
#[must_use]
pub fn resume(_plan: &Plan, decision: &Decision, attempts: &[Attempt], live: &LiveView<'_>, now: Now) -> Step {
    let Some(last) = attempts.last() else {
        return call(decision, decision.ranking[0]);
    };
    let error = match &last.error {
        None => return Step::Answer(attempts.len() - 1),
        Some(error) => error,
    };
    let spent = attempts.len() > decision.retry_attempts as usize;
    let late = now.unix_ns >= decision.now.unix_ns.saturating_add(decision.timeouts.request_ms.saturating_mul(1_000_000));
    if last.answered || !error.code.row().retry || spent || late {
        return Step::Stop(error.clone());
    }
    let free = |index: &&usize| {
        let model = &decision.candidates[**index].model.0;
        let reading = live.models.model(&model.id);
        let full = model.limits.concurrent_requests.is_some_and(|limit| reading.in_flight >= limit);
        reading.resting_until_ns <= now.unix_ns && !full && attempts.iter().all(|attempt| attempt.candidate != **index)
    };
    match decision.ranking.iter().find(free) {
        Some(&index) => call(decision, index),
        None => Step::Stop(last_word(attempts, error)),
    }
}

fn call(decision: &Decision, candidate: usize) -> Step {
    Step::Call(Target { candidate, model: Arc::clone(&decision.candidates[candidate].model.0) })
}

/// The error for the client when every candidate has failed: the last one, with all models that were tried.
fn last_word(attempts: &[Attempt], error: &Error) -> Error {
    if attempts.len() < 2 {
        return error.clone();
    }
    let mut last = error.clone();
    last.message = format!("{} (after {} models failed)", error.message, attempts.len());
    if last.code == Code::UpstreamRejected {
        last.retry_after_ms = None;
    }
    last
}
