//! The last prediction of each session, so that a turn without words of its own ("continue", a tool result) inherits it.
//!
//! Two generations bound the memory: when the young one is full it becomes the old one, and what was old is forgotten.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tradewind_core::live::Last;

type Generation = HashMap<(String, String), (Arc<Last>, Instant)>;

/// Sessions of all tenants.
#[derive(Debug)]
pub struct Sessions {
    generations: Mutex<(Generation, Generation)>,
    capacity: usize,
    ttl: Duration,
}

impl Sessions {
    /// Remembers at most `capacity` sessions, each for `ttl` after its last turn.
    #[must_use]
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        Self { generations: Mutex::default(), capacity: capacity.div_ceil(2).max(1), ttl }
    }

    /// The session's last prediction.
    #[must_use]
    pub fn last(&self, tenant: &str, session: &str, now: Instant) -> Option<Arc<Last>> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.to_owned(), session.to_owned());
        let (last, at) = generations.0.get(&key).or_else(|| generations.1.get(&key))?;
        (now.duration_since(*at) < self.ttl).then(|| Arc::clone(last))
    }

    /// Remembers a turn.
    pub fn remember(&self, tenant: &str, session: &str, last: Arc<Last>, now: Instant) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.0.len() >= self.capacity {
            generations.1 = mem::take(&mut generations.0);
        }
        generations.0.insert((tenant.to_owned(), session.to_owned()), (last, now));
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::predict::{Dimensions, Prediction};

    use super::*;

    #[test]
    fn sessions_are_per_tenant_bounded_and_forgotten_in_time() {
        let sessions = Sessions::new(4, Duration::from_secs(10));
        let prediction = Prediction::zeros(Dimensions::default());
        let last = Arc::new(Last { predictor: "sha256:x".into(), prediction });
        let start = Instant::now();
        sessions.remember("a", "s", Arc::clone(&last), start);
        assert!(sessions.last("a", "s", start).is_some());
        assert!(sessions.last("b", "s", start).is_none());
        assert!(sessions.last("a", "s", start + Duration::from_secs(11)).is_none());
        for index in 0..4 {
            sessions.remember("a", &index.to_string(), Arc::clone(&last), start);
        }
        assert!(sessions.last("a", "s", start).is_none() && sessions.last("a", "3", start).is_some());
    }
}
