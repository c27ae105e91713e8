//! Body bytes → decision, parse included, one by one: what a request costs before its upstream is called.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;
use tradewind_core::{Call, Dials, Error, Hints, Identity, LiveView, Now, Plan, decide};

use super::Samples;

/// The most bodies of each size that warm caches and are not counted; a tenth where there are few.
const WARM_UP: usize = 500;

/// How long decisions took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Median, microseconds.
    pub p50_us: f64,
    /// 90th percentile, microseconds.
    pub p90_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// Bodies that were timed, each once.
    pub n: u64,
    /// Decisions per second of one core.
    pub per_s_core: f64,
}

impl Timing {
    /// The figures of samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn of(mut samples: Samples) -> Self {
        let [p50_us, p90_us, p99_us] = samples.percentiles_us([0.5, 0.9, 0.99]);
        let total_s = samples.total_s();
        let n = samples.count();
        Self { p50_us, p90_us, p99_us, n, per_s_core: if total_s > 0.0 { n as f64 / total_s } else { 0.0 } }
    }
}

/// Times the decision on each body, by size. Runs on this thread; [`super::process::pin`] it before.
///
/// # Errors
/// The first body that cannot be decided on.
pub fn time(plan: &Plan, tenant: &str, bodies: &BTreeMap<u32, Vec<Vec<u8>>>) -> Result<BTreeMap<u32, Timing>, Error> {
    let identity = Identity { tenant: tenant.to_owned() };
    let mut timings = BTreeMap::new();
    for (&size, bodies) in bodies {
        let warm_up = WARM_UP.min(bodies.len() / 10);
        let mut samples = Samples::default();
        for (index, body) in bodies.iter().enumerate() {
            let call = Call { body, identity: &identity, dials: Dials::default() };
            let now = Now { unix_ns: 0, seed: index as u64 };
            let started = Instant::now();
            let decision = std::hint::black_box(decide(plan, &call, &Hints {}, &LiveView::UNKNOWN, now)?);
            let elapsed = started.elapsed();
            // The decision is freed outside: who holds it frees it after the answer.
            drop(decision);
            if index >= warm_up {
                samples.add(elapsed);
            }
        }
        timings.insert(size, Timing::of(samples));
    }
    Ok(timings)
}
