//! Figures of the channel, for the controller's metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::json;

/// Figures since the start.
#[derive(Default)]
pub struct Counters {
    /// Polls that were let in.
    pub polls: AtomicU64,
    /// Answers with something in them.
    pub updates: AtomicU64,
    /// Answers without.
    pub unchanged: AtomicU64,
    /// Predictors given.
    pub predictors: AtomicU64,
    /// Callers' tokens looked up for gateways.
    pub identified: AtomicU64,
    /// Bytes of bodies sent.
    pub bytes: AtomicU64,
    /// Connections open.
    pub connections: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Counts a refusal by its code.
    pub fn refused(&self, code: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// All of them.
    pub fn json(&self) -> Vec<u8> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({
            "polls": read(&self.polls),
            "updates": read(&self.updates),
            "unchanged": read(&self.unchanged),
            "predictors": read(&self.predictors),
            "identified": read(&self.identified),
            "bytes": read(&self.bytes),
            "connections": read(&self.connections),
            "refused": refused,
        })
        .to_string()
        .into_bytes()
    }
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
