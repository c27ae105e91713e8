//! Exact percentiles: every sample is kept, as eight bytes.

use std::time::Duration;

/// Durations, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    nanoseconds: Vec<u64>,
}

impl Samples {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.nanoseconds.push(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanoseconds.len() as u64
    }

    /// All of them added up, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn total_s(&self) -> f64 {
        self.nanoseconds.iter().map(|&value| value as f64).sum::<f64>() / 1e9
    }

    /// The samples that are at most as large as these shares of all, nearest rank, in microseconds; 0 where there is no sample.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the samples")]
    pub fn percentiles_us<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.nanoseconds.sort_unstable();
        let count = self.nanoseconds.len();
        shares.map(|share| {
            let rank = (share * count as f64).ceil() as usize;
            let sample = self.nanoseconds.get(rank.clamp(1, count.max(1)) - 1).copied().unwrap_or(0);
            sample as f64 / 1e3
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        for (samples, expected) in
            [(vec![], [0.0, 0.0]), (vec![7], [7.0, 7.0]), ((1..=100).rev().collect(), [50.0, 99.0]), (vec![3, 1], [1.0, 3.0])]
        {
            let mut found = Samples::default();
            samples.into_iter().for_each(|us| found.add(Duration::from_micros(us)));
            assert_eq!(found.percentiles_us([0.5, 0.99]), expected);
        }
    }
}
