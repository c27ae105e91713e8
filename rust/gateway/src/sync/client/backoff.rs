//! How long to wait before another try: longer each time, and by chance, so that a thousand data planes do not come at once.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The first wait.
const LEAST: Duration = Duration::from_millis(50);
/// The longest.
const MOST: Duration = Duration::from_secs(2);

/// Waits between tries.
#[derive(Default)]
pub struct Backoff {
    tries: u32,
    chance: RandomState,
}

impl Backoff {
    /// The next wait: between the half and the whole of twice the one before.
    pub fn next(&mut self) -> Duration {
        let whole = (LEAST * 2_u32.saturating_pow(self.tries.min(16))).min(MOST);
        self.tries += 1;
        let draw = self.chance.hash_one(self.tries) % 1_000;
        (whole / 2 + whole / 2 * u32::try_from(draw).unwrap_or(0) / 1_000).max(LEAST)
    }

    /// It went well.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_seconds_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (LEAST..=MOST).contains(wait)), "{waits:?}");
        assert!(waits[39] >= Duration::from_secs(1));
        backoff.reset();
        assert_eq!(backoff.next(), LEAST);
    }
}
